"""Slurm: a job a trial, in arrays that submitit makes; a trial whose job is preempted or out of time goes on in it.

```
<sweep>/slurm/                  scripts, and what jobs told beside their trials' logs
<sweep>/trials/<id>/job.json    the job of a trial, so that a planner that is started again submits nothing twice
```
Whether a job is still there is asked of squeue; what became of its trial stands in the trial's own files.
"""

import secrets
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vssl.config.errors import ConfigError, UserError
from vssl.sweeps.launchers.base import Launcher
from vssl.sweeps.launchers.slurm_jobs import Jobs, Submitted, scancel
from vssl.sweeps.launchers.slurm_script import parameters
from vssl.sweeps.launchers.slurm_task import become_worker
from vssl.sweeps.queue import Queue
from vssl.sweeps.state import PlanState
from vssl.sweeps.work import Ticket

LOOK_EVERY_S = 1.0
ASK_EVERY_S = 5.0  # squeue costs a busy controller something
GONE_S = 30.0  # what a job wrote last may be seen that much later on a network file system
COMMANDS = ("sbatch", "squeue", "scancel", "scontrol", "srun")


class Slurm(Launcher):
    """Jobs of a Slurm cluster, whose nodes see this folder and this Python at the same paths.

    Args:
        minutes: time limit of a job. A trial that takes longer writes a checkpoint `end_s` before, and goes on.
        jobs: trials at the same time, at most, of those submitted together.
        nodes: of one trial; above 1 `run.devices` counts the processes on all of them.
        gpus: of each node, for one trial; None asks for none.
        cpus: cores of each node, for one trial; None: what the cluster gives.
        mem_gb: memory of each node, for one trial; None: what the cluster gives.
        setup: lines of the job's script before the trial: `module load cuda`, `conda activate vssl`.
        options: further options of sbatch, without their dashes: `options.reservation=video`.
        end_s: seconds before the time limit at which a trial is told to write its checkpoint.
        array: trials in one array job, at most; the cluster's own limit is MaxArraySize.
        cancel: whether jobs are cancelled when this process is interrupted; else they go on without it.
    """

    def __init__(
        self, minutes: int = 1440, partition: str | None = None, account: str | None = None, qos: str | None = None,
        jobs: int = 256, nodes: int = 1, gpus: int | None = None, cpus: int | None = None, mem_gb: int | None = None,
        setup: Sequence[str] = (), options: Mapping[str, Any] | None = None, end_s: int = 120, array: int = 1000,
        cancel: bool = False,
    ) -> None:  # fmt: skip
        counts = {"minutes": minutes, "jobs": jobs, "nodes": nodes, "array": array, "end_s": end_s}
        for key, value in {**counts, "gpus": gpus, "cpus": cpus, "mem_gb": mem_gb}.items():
            if value is not None and value < 1:
                raise ValueError(f"{key}={value} must be 1 or more")
        if end_s >= minutes * 60:
            raise ValueError(f"end_s={end_s} leaves a trial no time: minutes={minutes} is {minutes * 60} s")
        self.minutes, self.partition, self.account, self.qos = minutes, partition, account, qos
        self.jobs, self.nodes, self.gpus, self.cpus, self.mem_gb = jobs, nodes, gpus, cpus, mem_gb
        self.setup, self.options, self.end_s, self.array = tuple(setup), dict(options or {}), end_s, array
        self.cancel = cancel
        self.needed = 1

    def check(self, needed: int) -> None:
        if absent := [command for command in COMMANDS if shutil.which(command) is None]:
            raise UserError(
                f"launcher=slurm: there is no {absent[0]} on this machine",
                "start the sweep where sbatch works, on a login node of the cluster; launcher=local needs no Slurm",
            )
        try:
            import submitit  # noqa: F401
        except ImportError as error:
            raise UserError(
                "launcher=slurm needs submitit, which is not installed", "pip install 'vssl[slurm]'"
            ) from error
        if needed % self.nodes:
            raise ConfigError(
                f"launcher.nodes={self.nodes}: run.devices={needed} cannot be divided among so many",
                "run.devices counts the processes of a training on all nodes",
            )
        if self.gpus is not None and self.gpus < needed // self.nodes:
            raise ConfigError(
                f"launcher.gpus={self.gpus}: a trial trains on {needed // self.nodes} device(s) of a node (run.devices)"
            )
        Jobs.ask()  # a controller that does not answer is found now
        self.needed = needed

    def run(self, folder: Path, queue: Queue, watch: Callable[[], None]) -> None:
        """Interrupted, it leaves the jobs to Slurm unless `cancel` is set, and says how they are cancelled."""
        sweep = _Sweep(self, folder.absolute(), queue)
        try:
            while queue:
                sweep.look()
                watch()
                time.sleep(LOOK_EVERY_S)
        except (KeyboardInterrupt, SystemExit):
            self._leave(sweep.jobs_out())
            raise

    def _leave(self, jobs: Sequence[str]) -> None:
        if not jobs:
            return
        if self.cancel:
            scancel(jobs)
            _say(f"cancelled {len(jobs)} job(s)")
        else:
            arrays = sorted({job.partition("_")[0] for job in jobs})
            _say(f"{len(jobs)} job(s) go on; the same command watches them again, scancel {' '.join(arrays)} ends them")


class _Sweep:
    """The trials that a planner has taken: those to be submitted, and those whose jobs are out."""

    def __init__(self, launcher: Slurm, folder: Path, queue: Queue) -> None:
        self.launcher, self.folder, self.queue = launcher, folder, queue
        self.state = PlanState(folder)
        self.jobs = Jobs(self.state)
        self.out: dict[str, Ticket] = {}
        self.were_ended: dict[str, bool] = {}
        self.adopted: set[str] = set()  # their jobs are an earlier planner's
        self.gone: dict[str, float] = {}
        self.asked = -ASK_EVERY_S

    def look(self) -> None:
        self._ask()
        taken = self._taken()
        adopted = {ticket.trial for ticket in taken if self.jobs.is_there(ticket.trial)}
        if adopted:
            _say(f"{len(adopted)} trial(s) are with jobs of an earlier start")
        self.adopted |= adopted
        self._submit([ticket for ticket in taken if ticket.trial not in self.adopted])
        for ticket in list(self.out.values()):
            self._judge(ticket)

    def jobs_out(self) -> list[str]:
        return [job for trial in self.out if (job := self.jobs.of(trial)) and job in self.jobs.there.values()]

    def _ask(self) -> None:
        """What squeue says is asked before the trials' files are read: a job that is gone has written its last."""
        if time.monotonic() - self.asked >= ASK_EVERY_S:
            self.jobs.look()
            self.asked = time.monotonic()

    def _taken(self) -> list[Ticket]:
        taken: list[Ticket] = []
        while len(taken) < self.launcher.array and (ticket := self.queue.take()) is not None:
            taken.append(ticket)
            self.out[ticket.trial] = ticket
            known = self.state.read(ticket.trial)
            self.were_ended[ticket.trial] = known.status in ("done", "failed") and known.attempts <= ticket.attempts
        return taken

    def _submit(self, tickets: Sequence[Ticket]) -> None:
        if not tickets:
            return
        trials = [ticket.trial for ticket in tickets]
        submitted = Submitted(f"vssl-{self.folder.name}-{secrets.token_hex(4)}", trials)
        self.jobs.keep(submitted)
        try:
            jobs = self._submitted(submitted)
        except BaseException:
            self.jobs.forget(trials)
            raise
        self.jobs.keep(submitted, jobs)
        _say(f"submitted {len(jobs)} trial(s) as job {jobs[0].partition('_')[0]}")

    def _submitted(self, submitted: Submitted) -> list[str]:
        """Numbers of the jobs, as `12` or, of an array, `12_0`."""
        import submitit
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        executor = submitit.SlurmExecutor(self.folder / "slurm")
        executor.update_parameters(**parameters(self.launcher, submitted.name))
        try:
            with submitit.helpers.clean_env():  # the planner may itself be a job
                jobs = executor.map_array(become_worker, [str(self.folder)] * len(submitted.trials), submitted.trials)
        except (FailedJobError, FailedSubmissionError) as error:
            told = [line for line in str(error).splitlines() if "error:" in line] or [str(error)]
            raise UserError(
                f"sbatch took no job: {told[-1].removeprefix('sbatch: error: ')}",
                "see launcher.partition, account, qos, gpus, mem_gb, minutes, options",
            ) from error
        return [job.job_id for job in jobs]

    def _judge(self, ticket: Ticket) -> None:
        trial = ticket.trial
        known = self.state.seen(trial)
        as_before = self.were_ended[trial] and known.attempts <= ticket.attempts
        if known.status in ("done", "failed") and not as_before:
            self._drop(trial)
            self.queue.ended(trial, "done" if known.status == "done" else "failed")
        elif self.jobs.is_there(trial) or known.status == "running":
            self.gone.pop(trial, None)
        elif time.monotonic() - self.gone.setdefault(trial, time.monotonic()) >= GONE_S:
            if trial in self.adopted:  # it went before this planner came: nothing of this one has failed
                self.adopted.remove(trial)
                self._submit([ticket])
            else:
                how = f"its job {self.jobs.of(trial)} ended without it: {self.folder / 'slurm'}"
                self._drop(trial)
                self.queue.died(trial, how)

    def _drop(self, trial: str) -> None:
        del self.out[trial]
        self.gone.pop(trial, None)
        self.adopted.discard(trial)
        self.jobs.forget([trial])


def _say(text: str) -> None:
    print(f"slurm: {text}", file=sys.stderr, flush=True)
