"""Work on many files in processes that may hang, crash or grow without harm to the others."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import wait
from typing import Generic, TypeVar

from vssl.config.errors import WorkError
from vssl.video.checks import at_least, within
from vssl.video.decoding.errors import Limits, Verdict

START_S = 120.0  # for a worker to import what it needs, from a slow disk too
GRACE_S = 30.0  # past its time a task's process ends itself, should this one be gone
LONGEST_S = 7 * 86400.0
SIGNALS = {signal.SIGINT, signal.SIGTERM}

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class PoolSettings:
    """What the processes may take.

    Args:
        workers: files at a time; None: one a core.
        timeout_s: what takes longer than this, one file at a time, is too slow.
        memory_bytes: what one file may take beyond the worker itself; the default holds 8K video.
        limits: what of a file is too large.
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


@dataclass(frozen=True)
class Trouble:
    """What became of a task whose process did not live to tell."""

    verdict: Verdict
    reason: str


def each_apart(
    tasks: Sequence[Task], settings: PoolSettings, work: Callable[[Task, Limits], Result]
) -> Generator[tuple[Task, Result | Trouble]]:
    """Every task with what `work` made of it, as they come. Closing the iterator ends the workers.

    Args:
        tasks: picklable.
        work: is called within a worker; picklable, as is what it returns, which is never None.
    Raises:
        WorkError: a worker does not even start.
    """
    remaining, workers = deque(tasks), list[_Worker[Task, Result]]()
    at_a_time = settings.workers or len(os.sched_getaffinity(0))
    try:
        while len(workers) < min(at_a_time, len(tasks)):
            workers.append(_Worker(settings, work))
        while workers:
            for worker in _heard(workers):
                if (answer := worker.answer()) is not None:
                    yield worker.tasks[-1], answer
                if not remaining:
                    worker.end()
                    workers.remove(worker)
                elif worker.ended:
                    workers[workers.index(worker)] = _Worker(settings, work)
                else:
                    worker.begin(remaining.popleft())
    finally:
        for worker in workers:
            worker.end()


def _heard(workers: Sequence["_Worker[Task, Result]"]) -> "list[_Worker[Task, Result]]":
    """Waits until a worker says something, dies or is late; gives all those."""
    patience = max(0.0, min(worker.deadline for worker in workers) - time.monotonic())
    spoke = wait([worker.connection for worker in workers], patience)
    now = time.monotonic()
    return [worker for worker in workers if worker.connection in spoke or worker.deadline <= now]


class _Worker(Generic[Task, Result]):
    """One process, and the task that it is at, the last of `tasks`; none until it has started."""

    def __init__(self, settings: PoolSettings, work: Callable[[Task, Limits], Result]) -> None:
        self.settings = settings
        self.tasks: deque[Task] = deque(maxlen=1)
        self.ended = False
        self.deadline = time.monotonic() + START_S
        self.connection, theirs = Pipe()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `end`)
        with theirs, _signals_held():
            self.process = subprocess.Popen(
                # -P: the working directory may hold a numpy.py; what this process can import is handed on instead.
                [sys.executable, "-P", "-m", "vssl.video.upkeep.check_worker", str(theirs.fileno())],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._errors,
                pass_fds=[theirs.fileno()],
            )  # fmt: skip
        with suppress(BrokenPipeError):  # told by `answer`
            self.connection.send((settings.limits, work, settings.timeout_s + GRACE_S, settings.memory_bytes))

    def begin(self, task: Task) -> None:
        self.tasks.append(task)
        self.deadline = time.monotonic() + self.settings.timeout_s
        with suppress(BrokenPipeError):
            self.connection.send(task)

    def answer(self) -> Result | Trouble | None:
        """What it made of its task, which the end of the process is, too; None from a worker that has just started."""
        try:
            if self.connection.poll():
                answer: Result | None = self.connection.recv()
                return answer
        except (EOFError, ConnectionError):
            return self._crashed()
        self.end()
        if not self.tasks:
            raise WorkError(f"a worker has not started within {START_S:g} s")
        return Trouble("too_slow", f"not decoded within {self.settings.timeout_s:g} s (timeout_s)")

    def _crashed(self) -> Trouble:
        code = self.process.wait()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        if not self.tasks:
            self._errors.seek(0)
            last = self._errors.read().decode(errors="replace").strip().rpartition("\n")[2]
            raise WorkError(f"a worker does not start: {how}{': ' if last else ''}{last}")
        self.end()
        memory = "; the machine was out of memory, perhaps" if code == -signal.SIGKILL else ""
        return Trouble("unreadable", f"the process that decoded it {how}{memory}")

    def end(self) -> None:
        """Kills the process, whatever it does: what it writes is written atomically."""
        self.ended = True
        self.process.kill()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(5)  # reading from a dead network drive it cannot even die; the others go on
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
