"""The state of a sweep on disk: a folder a trial, with its plan, its state, and a lock that dies with its process.

```
<sweep>/trials/<id>/plan.json     what it is: words, bound configuration, encoder; written once
<sweep>/trials/<id>/trial.json    what became of it
<sweep>/trials/<id>/log.txt       what its processes told
```
Whoever holds the lock of a trial writes `trial.json`; anybody may read it. Nothing else is known of a trial anywhere.
"""

import datetime
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from vssl.config.errors import UserError
from vssl.records.atomic import remove_leftovers, write_json
from vssl.records.locks import FolderLock, is_held
from vssl.sweeps.plan import Trial

SCHEMA = 1
PLAN, STATE, LOG = "plan.json", "trial.json", "log.txt"
Status = Literal["waiting", "running", "interrupted", "done", "failed"]


@dataclass(frozen=True)
class TrialState:
    """What is known of a trial.

    Args:
        attempts: how often it was begun anew; going on after a kill is none.
        run: its folder relative to the sweep's; `shown` are those of its evaluations.
        error: last line of the last failure.
        part: what of it a search had done, where that is not all: "trained", and not evaluated, or "stopped by asha at
            step 12".
        where: host and process that were last at it.
        started, finished: of the last attempt (ISO 8601, UTC).
    """

    status: Status = "waiting"
    attempts: int = 0
    run: str | None = None
    shown: tuple[str, ...] = ()
    error: str | None = None
    where: str | None = None
    started: str | None = None
    finished: str | None = None
    part: str | None = None

    @property
    def said(self) -> str:
        """The status, and of a trial that was stopped by what and where."""
        return self.part if self.status == "done" and self.part else self.status

    @property
    def told(self) -> str:
        """The status in a word."""
        return self.said.split()[0]


@dataclass(frozen=True)
class Work:
    """What a process needs to carry out a trial: `Trial` as it is kept on disk."""

    name: str
    values: dict[str, str]
    words: list[str]
    bound: dict[str, Any]
    choices: dict[str, str]
    encoder: str | None
    pretraining: str | None
    trunk: str | None = None


class PlanState:
    """`<folder>/trials/`; any number of planners may work on one folder."""

    def __init__(self, folder: Path) -> None:
        self.sweep = Path(folder)
        self.folder = self.sweep / "trials"

    def ids(self) -> list[str]:
        """Of all trials that were ever planned here."""
        return sorted(path.parent.name for path in self.folder.glob(f"*/{PLAN}"))

    def add(self, trial: Trial) -> None:
        """Keeps what the trial is, unless that is there already."""
        if self._work(trial.id) is None:
            (self.folder / trial.id).mkdir(parents=True, exist_ok=True)
            work = Work(
                trial.name, trial.values, list(trial.words), trial.bound, trial.choices, trial.encoder,
                trial.pretraining, trial.trunk,
            )  # fmt: skip
            write_json(self.folder / trial.id / PLAN, {"schema": SCHEMA, **asdict(work)})

    def work(self, trial_id: str) -> Work:
        """Raises UserError where no such trial was planned, or what is kept of it is not whole."""
        work = self._work(trial_id)
        if work is None:
            raise UserError(f"{self.folder / trial_id / PLAN}: no whole plan of a trial", "start the sweep again")
        return work

    def _work(self, trial_id: str) -> Work | None:
        kept = _read(self.folder / trial_id / PLAN)
        try:
            return Work(**{key: value for key, value in kept.items() if key != "schema"}) if kept else None
        except TypeError:
            return None

    def read(self, trial_id: str) -> TrialState:
        """`waiting` where nothing is written, or nothing whole: then the trial's run tells what there is of it."""
        kept = _read(self.folder / trial_id / STATE) or {}
        try:
            return TrialState(**{**kept, "shown": tuple(kept.get("shown", ()))})
        except TypeError:
            return TrialState()

    def seen(self, trial_id: str) -> TrialState:
        """As `read`, but a trial whose process is gone is "interrupted" and not "running"."""
        state = self.read(trial_id)
        if state.status == "running" and not is_held(self.folder / trial_id):
            return replace(state, status="interrupted")
        return state

    def write(self, trial_id: str, state: TrialState) -> None:
        (self.folder / trial_id).mkdir(parents=True, exist_ok=True)
        write_json(self.folder / trial_id / STATE, asdict(state))

    def begin(self, trial_id: str) -> TrialState:
        """Writes that this process is at it: a new attempt, unless a killed one goes on."""
        before = self.read(trial_id)
        again = before.status == "running"
        state = TrialState(
            "running", before.attempts + (not again), before.run, before.shown, before.error,
            f"{socket.gethostname()}:{os.getpid()}", _now(),
        )  # fmt: skip
        self.write(trial_id, state)
        return state

    def end(
        self,
        trial_id: str,
        status: Status,
        error: str | None = None,
        shown: tuple[str, ...] = (),
        part: str | None = None,
    ) -> None:
        before = self.read(trial_id)
        self.write(trial_id, replace(before, status=status, error=error, shown=shown, part=part, finished=_now()))

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


def _read(path: Path) -> dict[str, Any] | None:
    """None where there is nothing whole. Raises UserError where a newer vssl wrote it."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(kept, dict):
        return None
    if isinstance(kept.get("schema"), int) and kept["schema"] > SCHEMA:
        raise UserError(
            f"{path}: written by a newer vssl (schema {kept['schema']}, this one reads up to {SCHEMA})",
            "update vssl to go on with this sweep",
        )
    return kept


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
