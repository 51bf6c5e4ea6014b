"""Faults that are done and not played: a small disk that fills up, a read-only one, processes that are killed."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from vssl.records.record import read_record
from vssl.training.run import BACKBONE

PAGE = 4096  # bytes; a tmpfs hands out whole pages
DEADLINE_S = 120


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def message(self) -> str:
        """The one message of a command that failed; what comes before it are progress and start-up lines."""
        assert self.code in (1, 2), f"exit code {self.code}\n{self.err}"
        assert self.err.count("error: ") == 1, self.err
        for unwanted in ("Traceback", "Exception ignored", "--traceback", "Errno"):
            assert unwanted not in self.err, self.err
        return self.err[self.err.index("error: ") :].strip()


class Running:
    """A command at work."""

    def __init__(self, pid: int, out: Path, err: Path) -> None:
        self.pid, self.out, self.err = pid, out, err
        self._code = err.with_suffix(".code")

    def poll(self) -> int | None:
        return int(self._code.read_text()) if self._code.exists() else None

    @property
    def said(self) -> str:
        """What stands on its stderr so far."""
        return self.err.read_text() if self.err.exists() else ""

    def wait(self) -> Done:
        wait_for(lambda: self.poll() is not None)
        code = self.poll()
        assert code is not None
        return Done(code, self.out.read_text() if self.out.is_file() else "", self.err.read_text())

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """As a full memory or a scheduler does it: nothing of the process runs any more."""
        self.signal(signal.SIGKILL)
        assert self.wait().code == -signal.SIGKILL


class Vssl:
    """The command line in processes of their own, in the working directory and environment of the test."""

    def __init__(self, launcher: "subprocess.Popen[str]", folder: Path) -> None:
        self.launcher, self.folder = launcher, folder
        self.started: list[Running] = []

    def __call__(self, *words: str) -> Done:
        return self.start(*words).wait()

    def start(self, *words: str, out: Path | None = None) -> Running:
        own = self.folder / str(len(self.started))
        out, err = out or own.with_suffix(".out"), own.with_suffix(".err")
        asked = {"words": words, "cwd": os.getcwd(), "env": dict(os.environ), "out": str(out), "err": str(err)}
        assert self.launcher.stdin is not None and self.launcher.stdout is not None
        print(json.dumps(asked), file=self.launcher.stdin, flush=True)
        self.started.append(Running(int(self.launcher.stdout.readline()), out, err))
        return self.started[-1]

    def end(self) -> None:
        for running in self.started:
            if running.poll() is None:
                running.kill()


class Disk:
    """A file system of its own in memory, of a size that can be changed while it is in use."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def mount(self, size: int) -> None:
        self.folder.mkdir(parents=True)
        tried = _mount("-t", "tmpfs", "-o", f"size={size}", "none", str(self.folder))
        if tried.returncode != 0:
            pytest.skip(f"a file system cannot be mounted here: {tried.stderr.strip()}")

    def resize(self, size: int) -> None:
        assert _mount("-o", f"remount,size={size}", str(self.folder)).returncode == 0

    def read_only(self, yes: bool = True) -> None:
        done = _mount("-o", f"remount,{'ro' if yes else 'rw'}", str(self.folder))
        assert done.returncode == 0, done.stderr

    def fill(self) -> None:
        """Not a byte more can be written."""
        with self._ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(PAGE))
            except OSError:
                return

    def empty(self) -> None:
        self._ballast.unlink()

    @property
    def used(self) -> int:
        """Bytes in whole pages."""
        state = os.statvfs(self.folder)
        return (state.f_blocks - state.f_bfree) * state.f_frsize

    def unmount(self) -> None:
        subprocess.run(["umount", "-l", str(self.folder)], capture_output=True, check=False)


MakeDisk = Callable[[int], Disk]


def _mount(*words: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return subprocess.CompletedProcess(words, 1, "", "there is no command mount")


def wait_for(there: Callable[[], Any], process: Running | None = None) -> None:
    """Waits until `there()` holds; fails where `process` ends before it."""
    end = time.monotonic() + DEADLINE_S
    while not there():
        assert time.monotonic() < end, "it did not come to pass"
        assert process is None or process.poll() is None, process.wait()
        time.sleep(0.002)


def leftovers(folder: Path) -> list[str]:
    """Temporary files and locks below `folder`."""
    return sorted(path.name for path in folder.rglob("*") if ".tmp" in path.name or path.name == ".lock")


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_same_run(one: Path, other: Path) -> None:
    """Two finished runs of one configuration are equal in weights, clips and curve, bit by bit."""
    first, second = load_file(one / BACKBONE), load_file(other / BACKBONE)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert read_record(one)["status"] == read_record(other)["status"] == "done"
    assert read_record(one)["clips"] == read_record(other)["clips"]
    curves = [pd.read_csv(run / "metrics.csv").drop(columns=["seconds", "wait_share"]) for run in (one, other)]
    assert curves[0].equals(curves[1])
    assert leftovers(one) == leftovers(other) == []
