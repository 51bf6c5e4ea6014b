"""The verdicts on many files, from worker processes that may hang, crash or grow without harm to the others."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import wait

from vssl.config.errors import WorkError
from vssl.video.check import Finding, Look, check_file
from vssl.video.checks import at_least, within
from vssl.video.errors import Limits

START_S = 120.0  # for a worker to import what it needs, from a slow disk too
GRACE_S = 30.0  # past its time a file's process ends itself, should this one be gone
LONGEST_S = 7 * 86400.0
SIGNALS = {signal.SIGINT, signal.SIGTERM}


@dataclass(frozen=True)
class CheckSettings:
    """How files are checked.

    Args:
        workers: files decoded at a time; None: one a core.
        timeout_s: what takes longer than this, one file at a time, is too slow.
        memory_bytes: what decoding one file may take beyond the worker itself; the default holds 8K video.
        limits: what is too large.
    """

    workers: int | None = None
    timeout_s: float = 60.0
    memory_bytes: int = 2_147_483_648
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.workers is not None:
            at_least(1, "workers", self.workers)
        within(0.1, LONGEST_S, "timeout_s", self.timeout_s)
        within(1e6, 1e15, "memory_bytes", self.memory_bytes)


def check_all(paths: Sequence[str], settings: CheckSettings, look: Look = check_file) -> Generator[Finding]:
    """One finding for each path, as they come. Closing the iterator ends the workers.

    Args:
        look: gives the verdict on one file, within a worker; picklable.
    Raises:
        WorkError: a worker does not even start.
    """
    remaining, workers = deque(paths), list[_Worker]()
    at_a_time = settings.workers or len(os.sched_getaffinity(0))
    try:
        while len(workers) < min(at_a_time, len(paths)):
            workers.append(_Worker(settings, look))
        while workers:
            for worker in _heard(workers):
                if (finding := worker.answer()) is not None:
                    yield finding
                if not remaining:
                    worker.end()
                    workers.remove(worker)
                elif worker.ended:
                    workers[workers.index(worker)] = _Worker(settings, look)
                else:
                    worker.begin(remaining.popleft())
    finally:
        for worker in workers:
            worker.end()


def _heard(workers: Sequence["_Worker"]) -> list["_Worker"]:
    """Waits until a worker says something, dies or is late; gives all those."""
    patience = max(0.0, min(worker.deadline for worker in workers) - time.monotonic())
    spoke = wait([worker.connection for worker in workers], patience)
    now = time.monotonic()
    return [worker for worker in workers if worker.connection in spoke or worker.deadline <= now]


class _Worker:
    """One process, and the file that it is at; None until it has started."""

    def __init__(self, settings: CheckSettings, look: Look) -> None:
        self.settings = settings
        self.path: str | None = None
        self.ended = False
        self.deadline = time.monotonic() + START_S
        self.connection, theirs = Pipe()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `end`)
        with theirs, _signals_held():
            self.process = subprocess.Popen(
                # -P: the working directory may hold a numpy.py; what this process can import is handed on instead.
                [sys.executable, "-P", "-m", "vssl.video.check_worker", str(theirs.fileno())],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._errors,
                pass_fds=[theirs.fileno()],
            )  # fmt: skip
        with suppress(BrokenPipeError):  # told by `answer`
            self.connection.send((settings.limits, look, settings.timeout_s + GRACE_S, settings.memory_bytes))

    def begin(self, path: str) -> None:
        self.path, self.deadline = path, time.monotonic() + self.settings.timeout_s
        with suppress(BrokenPipeError):
            self.connection.send(path)

    def answer(self) -> Finding | None:
        """The verdict on its file, which the end of the process is, too; None from a worker that has just started."""
        try:
            if self.connection.poll():
                finding: Finding | None = self.connection.recv()
                return finding
        except (EOFError, ConnectionError):
            return self._crashed()
        self.end()
        if self.path is None:
            raise WorkError(f"a worker of the check has not started within {START_S:g} s")
        return Finding(self.path, "too_slow", reason=f"not decoded within {self.settings.timeout_s:g} s (timeout_s)")

    def _crashed(self) -> Finding:
        code = self.process.wait()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        if self.path is None:
            self._errors.seek(0)
            last = self._errors.read().decode(errors="replace").strip().rpartition("\n")[2]
            raise WorkError(f"a worker of the check does not start: {how}{': ' if last else ''}{last}")
        self.end()
        memory = "; the machine was out of memory, perhaps" if code == -signal.SIGKILL else ""
        return Finding(self.path, "unreadable", reason=f"the process that decoded it {how}{memory}")

    def end(self) -> None:
        """Kills the process, whatever it does: there is nothing that it could leave half done."""
        self.ended = True
        self.process.kill()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(5)  # reading from a dead network drive it cannot even die; the check goes on
        self.connection.close()
        self._errors.close()


@contextmanager
def _signals_held() -> Iterator[None]:
    """A process started inside never hears Ctrl-C or SIGTERM, not even while it starts: its parent ends it.

    Where a signal stops the parent in here, before it knows the process, that finds its pipe closed and ends at once.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
