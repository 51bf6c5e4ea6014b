"""The points of a search on disk, and what their trials' own files tell of them.

```
<sweep>/search/search.json    what is searched; a search of something else is refused this folder
<sweep>/search/0000.json      a point, in the order in which they were chosen: its values, and its trial
<sweep>/search/chosen.json    the points that were chosen, written before any of them is evaluated
```
A point is an ordinary trial in an ordinary folder. How it did is read from its run; nothing of that is kept here.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from vssl.config.errors import ConfigError, UserError
from vssl.records.atomic import write_json
from vssl.records.folders import BACKBONE
from vssl.records.locks import waiting_lock
from vssl.records.record import NoRecord, read_record
from vssl.sweeps.state import PlanState

SCHEMA = 1
OBJECTIVE = "probe_knn"
WHAT, CHOSEN = "search.json", "chosen.json"


@dataclass(frozen=True)
class Point:
    """Args: values: {axis: number, or the place of a setting}."""

    number: int
    values: dict[str, float]
    trial: str


@dataclass(frozen=True)
class Told:
    """What there is to know of a point.

    Args:
        fate: `trained` to the end of its schedule, `stopped` early, `failed`, or `open`.
        probes: the objective at every measurement so far.
    """

    point: Point
    fate: Literal["trained", "stopped", "failed", "open"]
    probes: tuple[float, ...]

    @property
    def value(self) -> float | None:
        """The objective at the end of the training."""
        return self.probes[-1] if self.fate == "trained" and self.probes else None


class Points:
    """`<sweep>/search/`."""

    def __init__(self, sweep: Path) -> None:
        self.state = PlanState(sweep)
        self.folder = Path(sweep) / "search"

    @property
    def what(self) -> dict[str, Any] | None:
        """What is searched here; None where nothing is."""
        return _read(self.folder / WHAT)

    def begin(self, what: Mapping[str, Any]) -> None:
        """Keeps what is searched."""
        if self.what is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(self.folder / WHAT, {"schema": SCHEMA, **what})

    def refuse_other(self, what: Mapping[str, Any]) -> None:
        """Raises ConfigError where something else is searched here."""
        now = json.loads(json.dumps({"schema": SCHEMA, **what}))
        there = self.what or now
        if other := sorted(key for key in {*there, *now} if there.get(key) != now.get(key)):
            raise ConfigError(
                f"{self.folder.parent} holds a search with another {' and '.join(other)}: {self.folder / WHAT}",
                "give this one a folder of its own: sweep.name=...",
            )

    def held(self) -> AbstractContextManager[None]:
        """For whoever adds a point: several planners take turns."""
        return waiting_lock(self.folder, lambda text: None)

    def add(self, point: Point) -> None:
        write_json(self.folder / f"{point.number:04}.json", asdict(point))

    def __iter__(self) -> Iterator[Point]:
        """In the order of their numbers."""
        for file in sorted(self.folder.glob("[0-9]*.json"), key=lambda file: int(file.stem)):
            if kept := _read(file):
                yield Point(**kept)

    def told(self) -> list[Told]:
        return [self.look(point) for point in self]

    def look(self, point: Point) -> Told:
        state = self.state.read(point.trial)
        run = self.state.sweep / state.run if state.run else None
        probes = tuple(probed(run)) if run else ()
        if run and is_trained(run):
            return Told(point, "trained", probes)
        if state.told == "stopped" and probes:
            return Told(point, "stopped", probes)
        return Told(point, "failed" if state.status == "failed" else "open", probes)

    @property
    def chosen(self) -> list[str]:
        """The trials that were chosen last; empty while none were."""
        return [str(trial) for trial in (_read(self.folder / CHOSEN) or {}).get("trials", ())]

    def choose(self, count: int) -> list[Told]:
        """The points with the highest objective at the end of their training, the first of equal ones first; kept."""
        trained = {one.point.trial: one for one in reversed(self.told()) if one.value is not None}
        best = sorted(trained.values(), key=lambda one: (-(one.value or 0.0), one.point.number))[:count]
        told = {"by": OBJECTIVE, "trials": [one.point.trial for one in best], "values": [one.value for one in best]}
        write_json(self.folder / CHOSEN, {"schema": SCHEMA, **told, "of": len(list(self))})
        return best


def is_trained(run: Path) -> bool:
    """Whether a training has come to its end and left its encoder."""
    try:
        return read_record(run)["status"] == "done" and (run / BACKBONE).is_file()
    except NoRecord:
        return False


def probed(run: Path, before: int | None = None) -> list[float]:
    """The objective at every measurement of a run, or at those `before` a step."""
    try:
        with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row.get(OBJECTIVE)]
    except OSError:
        return []
    return [float(row[OBJECTIVE]) for row in rows if before is None or int(row["step"]) < before]


def _read(path: Path) -> dict[str, Any] | None:
    """None where there is nothing whole. Raises UserError where a newer vssl wrote it."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if kept.get("schema", 0) > SCHEMA:
        raise UserError(f"{path}: written by a newer vssl", "update vssl to go on with this search")
    return dict(kept)
