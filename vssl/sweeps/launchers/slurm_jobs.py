"""Which jobs of Slurm carry out which trials: kept beside the trials, and looked up in squeue's list."""

import getpass
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vssl.config.errors import WorkError
from vssl.records.atomic import write_json
from vssl.sweeps.state import PlanState

JOB = "job.json"
ANSWER_S = 60.0


@dataclass(frozen=True)
class Submitted:
    """Trials that are submitted together, in the order of their array.

    Args:
        name: of the job; no other submission has it.
    """

    name: str
    trials: Sequence[str]


class Jobs:
    """`trials/<id>/job.json`: {"name": of the job, "place": in its array, "job": its number once that is known}.

    It is written before the job is submitted: a planner that is killed in between finds its job by the name.
    """

    def __init__(self, state: PlanState) -> None:
        self.state = state
        self.there: dict[tuple[str, int], str] = {}

    def look(self) -> None:
        """Asks squeue; where it does not answer, what it said last holds on."""
        try:
            self.there = self.ask()
        except WorkError:
            return

    @staticmethod
    def ask() -> dict[tuple[str, int], str]:
        """The user's jobs that wait or run: {(name, place in the array): number}. Raises WorkError without answer."""
        command = ["squeue", "--noheader", "--array", f"--user={getpass.getuser()}", "--format=%i|%j"]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_S, check=True).stdout
        except (OSError, subprocess.SubprocessError) as error:
            told = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1]
            raise WorkError(f"Slurm does not answer: {told}", "see sinfo; slurmctld may be down") from error
        found = {}
        for line in answer.splitlines():
            job, _, name = line.strip().partition("|")
            place = job.partition("_")[2]
            found[name, int(place) if place.isdigit() else 0] = job
        return found

    def keep(self, submitted: Submitted, jobs: Sequence[str | None] = ()) -> None:
        """Writes it beside the trials; without `jobs` before they are submitted."""
        for place, trial in enumerate(submitted.trials):
            job = jobs[place] if jobs else None
            write_json(self._file(trial), {"name": submitted.name, "place": place, "job": job})
            if job is not None:
                self.there[submitted.name, place] = job

    def forget(self, trials: Sequence[str]) -> None:
        for trial in trials:
            self._file(trial).unlink(missing_ok=True)

    def is_there(self, trial: str) -> bool:
        """Whether a job of the trial waits or runs, as far as squeue said last."""
        kept = self._kept(trial)
        return (kept.get("name"), kept.get("place")) in self.there

    def of(self, trial: str) -> str | None:
        """The number of the trial's last job."""
        kept = self._kept(trial)
        return kept.get("job") or self.there.get((kept.get("name", ""), kept.get("place", 0)))

    def _kept(self, trial: str) -> dict[str, Any]:
        try:
            kept = json.loads(self._file(trial).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return kept if isinstance(kept, dict) else {}

    def _file(self, trial: str) -> Path:
        return self.state.folder / trial / JOB


def scancel(jobs: Sequence[str]) -> None:
    """Raises WorkError where Slurm refuses."""
    try:
        subprocess.run(["scancel", *jobs], capture_output=True, text=True, timeout=ANSWER_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        told = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1]
        raise WorkError(f"jobs were not cancelled: {told}", f"scancel {' '.join(jobs)}") from error
