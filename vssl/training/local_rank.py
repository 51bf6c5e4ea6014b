"""The process of a further rank, on the machine of whoever starts it."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

READY = b"ready\n"  # what it answers once it has nothing left to do but train


class LocalRank:
    """A process of `vssl.training.launch`; it ends when this one does, however that comes about."""

    def __init__(self) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the process)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "vssl.training.launch"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )  # fmt: skip

    def start(self, message: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.stdin.flush()

    def is_ready(self) -> bool:
        """Waits until the rank has nothing left to do but train; False where it has ended."""
        assert self._process.stdout is not None
        ready = self._process.stdout.readline() == READY
        if not ready:
            self._process.wait()
        return ready

    def poll(self) -> int | None:
        return self._process.poll()

    def wait(self) -> int:
        return self._process.wait()

    @property
    def said(self) -> str:
        """Its last line."""
        self._errors.seek(0)
        return (self._errors.read().decode("utf-8", "replace").strip().splitlines() or ["it left no message"])[-1]

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self, patience_s: float) -> None:
        """Waits for its end, and brings it about where it takes too long."""
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._errors.close()
