"""The state of a plan: one folder a trial with one JSON file, claimed by a lock that dies with its process."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from vssl.records.atomic import remove_leftovers, write_json
from vssl.records.locks import FolderLock

Status = Literal["waiting", "running", "done", "failed"]


@dataclass(frozen=True)
class TrialState:
    """What is known of a trial. `run` is its folder relative to the plan's."""

    name: str
    status: Status = "waiting"
    run: str | None = None
    error: str | None = None


class PlanState:
    """`<folder>/trials/<id>/trial.json` for every trial; any number of planners may work on one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "trials"

    def read(self, trial_id: str) -> TrialState | None:
        """None where nothing is written, or nothing whole: then the trial's run tells what there is of it."""
        try:
            return TrialState(**json.loads((self.folder / trial_id / "trial.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, trial_id: str, state: TrialState) -> None:
        (self.folder / trial_id).mkdir(parents=True, exist_ok=True)
        write_json(self.folder / trial_id / "trial.json", asdict(state))

    @contextmanager
    def claim(self, trial_id: str) -> Iterator[None]:
        """Hold a trial; a second planner is refused while this process lives, and takes over when it is gone.

        Raises:
            Busy: another live process holds it.
        """
        folder = self.folder / trial_id
        folder.mkdir(parents=True, exist_ok=True)
        with FolderLock(folder):
            remove_leftovers(folder)
            yield
