"""The points of a search as a planner sees them: chosen when there is somebody to carry them out, and trained."""

from collections.abc import Mapping, Sequence
from typing import Any

from vssl.config.compose import Composed
from vssl.config.errors import ConfigError
from vssl.evaluation.online import online_probe
from vssl.sweeps.plan import Plan, Space, Trial
from vssl.sweeps.queue import Queue
from vssl.sweeps.search.advice import POINTS, check_installed, suggested
from vssl.sweeps.search.points import Point, Points, Told
from vssl.sweeps.settings import Sweep
from vssl.sweeps.state import PlanState
from vssl.sweeps.work import Ticket, placed
from vssl.training.build import assemble

DRAWS = 100  # of a point, before a space is taken to hold no other one


def check_search(todo: Plan) -> None:
    """Raises UserError where the search of a plan cannot work; nothing was started."""
    settings, space = todo.settings, space_of(todo)
    assert settings.search is not None
    check_installed(settings.search)
    Points(todo.folder).refuse_other(_what(todo))
    for axis in space.axes:
        key = axis.key or ""
        if key == "seed":
            hint = "search at one seed, and train what was chosen with several: seed=0,1,2"
            raise ConfigError("seed: a search compares points, and seeds are not better or worse", hint)
        if key == "data" or key.split(".")[0] == "run":
            why = "probes of two data sets do not compare" if key == "data" else "it changes no trial"
            raise ConfigError(f"{key}: no axis for a search: {why}", "a grid takes it")
    trial = todo.trials[0]
    bound = placed(trial.bound, todo.folder)
    if off := online_probe(assemble(Composed(bound, trial.choices))).off:
        raise ConfigError(f"sweep.search chooses by the online probe, and there is none: {off}")
    if settings.search == "asha" and bound["run"]["probe_times"] < 2:
        raise ConfigError("sweep.search=asha stops between measurements, and there is one", "run.probe_times=10")


def refuse_search(todo: Plan) -> None:
    """Raises ConfigError where the folder of a grid holds a search: its trials are not all trained to the end."""
    if Points(todo.folder).what is not None:
        raise ConfigError(f"{todo.folder} holds a search", "give the grid a folder of its own: sweep.name=...")


class Search:
    """The points of a plan, for the process that chooses them; others may do so in the same folder.

    Args:
        names: {trial: name}, which grows with the points.
    """

    def __init__(self, todo: Plan, state: PlanState) -> None:
        self.todo, self.state, self.settings, self.space = todo, state, todo.settings, space_of(todo)
        self.points = Points(todo.folder)
        self.points.begin(_what(todo))
        self.names: dict[str, str] = {}
        self.trials: dict[str, Trial] = {}
        self.exhausted = False
        self._composed: dict[tuple[float, ...], Trial | None] = {}
        for point in self.points:
            self._keep(point)

    @property
    def is_complete(self) -> bool:
        return self.exhausted or len(self.trials) >= self._wanted

    @property
    def _wanted(self) -> int:
        assert self.settings.trials is not None
        return self.settings.trials

    def more(self) -> list[str]:
        """Trials of the next point, and of those that others have chosen meanwhile; empty where none is left."""
        with self.points.held():
            told = self.points.told()
            new = [one.point for one in told if one.point.trial not in self.trials]
            if not new and len(told) < self._wanted and (point := self._chosen(told)):
                self.points.add(point)
                new = [point]
        for point in new:
            self._keep(point)
        return [point.trial for point in new]

    def _chosen(self, told: Sequence[Told]) -> Point | None:
        number = 1 + max((one.point.number for one in told), default=-1)
        for draw in range(DRAWS):
            values = suggested(self.settings, self.space.axes, told, number, draw)
            trial = self._trial(values)
            if trial is not None and trial.id not in self.trials:
                return Point(number, values, trial.id)
        self.exhausted = True
        return None

    def _keep(self, point: Point) -> None:
        trial = self._trial(point.values)
        if trial is None or trial.id != point.trial:
            file = self.points.folder / f"{point.number:04}.json"
            raise ConfigError(f"{file}: this point is another trial by now", "give the search another sweep.name")
        self.state.add(trial)
        self.trials[trial.id], self.names[trial.id] = trial, trial.name

    def _trial(self, values: Mapping[str, float]) -> Trial | None:
        key = tuple(values[axis.key or POINTS] for axis in self.space.axes)
        if key not in self._composed:
            settings = [axis.at(value) for axis, value in zip(self.space.axes, key, strict=True)]
            self._composed[key] = self.space.trial(settings)
        return self._composed[key]

    def begun(self) -> list[str]:
        """Trials of the points so far that are not over."""
        over = {
            one.point.trial
            for one in self.points.told()
            if one.fate in ("trained", "stopped") and self.state.read(one.point.trial).status == "done"
        }
        return [trial for trial in self.trials if trial not in over]


class SearchQueue(Queue):
    """The trials of a search; a point is chosen when there is somebody to carry it out."""

    def __init__(self, search: Search, trials: Sequence[str]) -> None:
        super().__init__(search.state, trials, search.settings.retries)
        self.search = search

    def __bool__(self) -> bool:
        return super().__bool__() or not self.search.is_complete

    def take(self) -> Ticket | None:
        ticket = super().take()
        if ticket is not None or self._is_full or self.search.is_complete:
            return ticket
        for trial in self.search.more():
            self._waiting.append((0.0, trial))
            self._attempts[trial] = self.state.read(trial).attempts
        return super().take()

    @property
    def _is_full(self) -> bool:
        """Points drawn at random need not know how others end."""
        return self.search.settings.search == "tpe" and len(self._out) >= self.search.settings.at_once


def space_of(todo: Plan) -> Space:
    assert todo.space is not None, "the plan of a grid has no space"
    return todo.space


def told_space(todo: Plan) -> list[str]:
    """What is searched, a line an axis."""
    return [f"{axis.key or POINTS}: {axis.told()}" for axis in space_of(todo).axes]


def _what(todo: Plan) -> dict[str, Any]:
    """What must be the same for points to belong to one search; `trials` may grow."""
    settings: Sweep = todo.settings
    run = todo.trials[0].bound["run"]
    return {
        "search": settings.search,
        "search_seed": settings.search_seed,
        "reduction_factor": settings.reduction_factor if settings.search == "asha" else None,
        "axes": {axis.key or POINTS: axis.told() for axis in space_of(todo).axes},
        "exclude": [dict(condition) for condition in settings.exclude],
        "probe": {key: run[key] for key in ("probe_times", "probe_videos")},
        "configuration": sorted(trial.id for trial in todo.trials),
    }
