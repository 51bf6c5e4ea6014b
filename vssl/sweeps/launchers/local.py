"""This machine: processes side by side, its cores and GPUs shared out among them."""

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from vssl.config.errors import ConfigError, WorkError
from vssl.sweeps.launchers.base import Launcher
from vssl.sweeps.queue import Queue
from vssl.sweeps.work import Ticket, carry_out
from vssl.training.settings import cores

LOOK_EVERY_S = 0.5
END_S = 60.0  # for a last checkpoint, once a process is told to end


@dataclass(frozen=True)
class Share:
    """What one process may use: cores, and GPUs as CUDA_VISIBLE_DEVICES names them; None: all of them."""

    cores: tuple[int, ...] | None
    gpus: tuple[str, ...] | None


class Local(Launcher):
    """Processes on this machine, each of which carries out one trial after the other.

    Args:
        jobs: trials side by side; None: one a GPU (or as many GPUs as `run.devices` takes), without GPUs one. 0: in
            this very process, with its bar: for a debugger.
    """

    def __init__(self, jobs: int | None = None) -> None:
        if jobs is not None and jobs < 0:
            raise ValueError(f"jobs={jobs} must be 0 or more")
        self.jobs = jobs
        self._shares: list[Share] = []

    def check(self, needed: int) -> None:
        gpus = _gpus()
        side_by_side = max(1, len(gpus) // max(1, needed)) if self.jobs is None else self.jobs
        if gpus and needed * side_by_side > len(gpus):
            raise ConfigError(
                f"launcher.jobs={side_by_side}: so many trials of {needed} GPU(s) need {needed * side_by_side}, "
                f"this machine has {len(gpus)}"
            )
        self._shares = _shares(side_by_side, gpus, needed)

    def run(self, folder: Path, queue: Queue, watch: Callable[[], None]) -> None:
        if not self._shares:
            _run_here(folder, queue)
            return
        pool = _Pool(folder, self._shares, queue)
        try:
            pool.work(watch)
        finally:
            pool.end()


def _run_here(folder: Path, queue: Queue) -> None:
    while queue:
        if (ticket := queue.take()) is None:
            time.sleep(LOOK_EVERY_S)
        else:
            queue.ended(ticket.trial, carry_out(folder, ticket))


class _Pool:
    """Processes that wait for trials, one a share; one that dies is replaced when there is work for it."""

    def __init__(self, folder: Path, shares: Sequence[Share], queue: Queue) -> None:
        self.folder, self.queue = folder, queue
        self.idle = list(shares)
        self.selector = selectors.DefaultSelector()
        self.waiting: list[_Worker] = []
        self.busy: dict[_Worker, Ticket] = {}

    def work(self, watch: Callable[[], None]) -> None:
        while self.queue:
            self._hand_out()
            for key, _ in self.selector.select(LOOK_EVERY_S):
                self._heard(key.data)
            watch()

    def _hand_out(self) -> None:
        while self.waiting or self.idle:
            if (ticket := self.queue.take()) is None:
                return
            worker = self.waiting.pop() if self.waiting else self._start(self.idle.pop(0))
            self.busy[worker] = ticket
            worker.tell(ticket)

    def _start(self, share: Share) -> "_Worker":
        worker = _Worker(self.folder, share)
        self.selector.register(worker.answers, selectors.EVENT_READ, worker)
        return worker

    def _heard(self, worker: "_Worker") -> None:
        line = worker.answers.readline()
        ticket = self.busy.pop(worker, None)
        if line.endswith(b"\n"):
            if ticket:
                self.queue.ended(ticket.trial, json.loads(line)["outcome"])
            self.waiting.append(worker)
            return
        self._bury(worker)
        self.idle.append(worker.share)
        if ticket:
            self.queue.died(ticket.trial, worker.how_it_ended())

    def _bury(self, worker: "_Worker") -> None:
        self.selector.unregister(worker.answers)
        if worker in self.waiting:
            self.waiting.remove(worker)

    def end(self) -> None:
        """Ends all processes; those at work write a checkpoint first."""
        workers = [*self.waiting, *self.busy]
        for worker in workers:
            worker.ask_to_end()
        for worker in workers:
            worker.end()
        self.selector.close()


class _Worker:
    """A process of `vssl.sweeps.worker`. It ends when this one does, however that comes about."""

    def __init__(self, folder: Path, share: Share) -> None:
        self.share = share
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        if share.gpus is not None:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(share.gpus)
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115  (what it tells while no trial's log is open)
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "vssl.sweeps.worker", str(folder)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, env=environment,
                start_new_session=True,  # Ctrl-C is this process's to hear, and to pass on
            )  # fmt: skip
        except OSError as error:
            raise WorkError(f"a process for a trial could not be started: {error}") from error
        if share.cores is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(self.process.pid, share.cores)
        assert self.process.stdin is not None and self.process.stdout is not None
        self.words, self.answers = self.process.stdin, self.process.stdout

    def tell(self, ticket: Ticket) -> None:
        try:
            self.words.write(json.dumps(asdict(ticket)).encode() + b"\n")
            self.words.flush()
        except BrokenPipeError:
            pass  # it died before it was asked: the end of its answers tells

    def how_it_ended(self) -> str:
        code = self.process.wait()
        if code < 0:
            hint = " (the system kills so when memory runs out)" if code == -signal.SIGKILL else ""
            return f"its process was killed by {signal.Signals(-code).name}{hint}"
        self.errors.seek(0)
        lines = self.errors.read().decode("utf-8", "replace").strip().splitlines()
        return f"its process ended with exit code {code}" + (f": {lines[-1]}" if lines else "")

    def ask_to_end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def end(self) -> None:
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for file in (self.words, self.answers, self.errors):
            file.close()


def _gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in visible.split(",") if name.strip() not in ("", "-1")]
    import torch

    return [str(place) for place in range(torch.cuda.device_count())]


def _shares(jobs: int, gpus: Sequence[str], needed: int) -> list[Share]:
    """Cores as even as they come, neighbours together; GPUs in their order."""
    available = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(cores()))
    shares = []
    for job in range(jobs):
        own = available[len(available) * job // jobs : len(available) * (job + 1) // jobs]
        mine = tuple(gpus[job * needed : (job + 1) * needed]) if gpus else None
        shares.append(Share(tuple(own) if own and jobs > 1 else None, mine))
    return shares
