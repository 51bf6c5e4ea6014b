"""How far a sweep is, read from the files of its trials."""

import csv
import datetime
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vssl.config.errors import UserError
from vssl.records.record import read_record
from vssl.sweeps.state import PlanState, TrialState

TAIL_BYTES = 8192


@dataclass(frozen=True)
class Progress:
    """A training on its way: optimiser steps done, of how many, and the seconds that they took."""

    step: int
    total: int | None
    seconds: float

    @property
    def left_s(self) -> float | None:
        if not self.total or not self.step:
            return None
        return self.seconds / self.step * (self.total - self.step)


@dataclass(frozen=True)
class Seen:
    """One trial as its files show it."""

    trial: str
    name: str
    state: TrialState
    progress: Progress | None = None


class Watched:
    """The trials of a sweep; what is done or has failed for good is read once."""

    def __init__(self, state: PlanState, names: dict[str, str]) -> None:
        self.state, self.names = state, names
        self._ended: dict[str, Seen] = {}

    def look(self) -> list[Seen]:
        """In the order of `names`."""
        return [self._ended.get(trial) or self._look(trial) for trial in self.names]

    def _look(self, trial: str) -> Seen:
        state = self.state.seen(trial)
        progress = None
        if state.status in ("running", "interrupted") and state.run:
            progress = progress_of(self.state.sweep / state.run)
        seen = Seen(trial, self.names[trial], state, progress)
        if state.status == "done":
            self._ended[trial] = seen
        return seen


def progress_of(run: Path) -> Progress | None:
    """None where no step is written yet."""
    last = _last_row(run / "metrics.csv")
    if last is None:
        return None
    try:
        total = read_record(run)["budget"].get("steps")
    except (UserError, KeyError):
        total = None
    return Progress(int(last["step"]), total, float(last["seconds"]))


def counts(seen: Sequence[Seen]) -> Counter[str]:
    return Counter(one.state.told for one in seen)


def left_s(seen: Sequence[Seen], side_by_side: int = 1) -> float | None:
    """Seconds until the end, from the trials that have ended and those that run; None where neither tells."""
    ended = [took for one in seen if one.state.status == "done" and (took := _took_s(one.state)) is not None]
    running = [one.progress.left_s for one in seen if one.state.status == "running" and one.progress]
    known = [value for value in running if value is not None]
    if not ended and not known:
        return None
    whole = [_whole_s(one.progress) for one in seen if one.progress]
    typical = sum(ended) / len(ended) if ended else max(filter(None, whole), default=0.0)
    waiting = sum(one.state.status in ("waiting", "interrupted") for one in seen)
    return max([*known, (sum(known) + waiting * typical) / max(1, side_by_side, len(running))])


def _whole_s(progress: Progress) -> float | None:
    return progress.seconds / progress.step * progress.total if progress.total and progress.step else None


def _took_s(state: TrialState) -> float | None:
    if not state.started or not state.finished:
        return None
    begun, ended = (datetime.datetime.fromisoformat(moment) for moment in (state.started, state.finished))
    return (ended - begun).total_seconds()


def _last_row(path: Path) -> dict[str, str] | None:
    """The last whole row of a CSV that may just be written."""
    try:
        with path.open("rb") as file:
            header = file.readline().decode()
            file.seek(max(file.tell(), os.fstat(file.fileno()).st_size - TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines(keepends=True)
    except OSError:
        return None
    whole = [line for line in lines if line.endswith("\n") and line.count(",") == header.count(",")]
    if not header or not whole:
        return None
    row = next(iter(csv.DictReader([header, whole[-1]])))
    return row if row.get("step", "").isdigit() and row.get("seconds") else None
