"""A sweep from its plan to its table; the same call again goes on where it was, or finds it done."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from vssl.config.bind import construct
from vssl.config.errors import UserError
from vssl.records.atomic import writable
from vssl.records.folders import BACKBONE
from vssl.records.record import owner, read_record
from vssl.report.files import write_all
from vssl.report.table import comparison
from vssl.sweeps.check import check_all
from vssl.sweeps.launchers.base import Launcher
from vssl.sweeps.plan import Plan, Trial, plan
from vssl.sweeps.progress import Watched
from vssl.sweeps.published import published_beside
from vssl.sweeps.queue import Queue
from vssl.sweeps.search.outcome import Found, found
from vssl.sweeps.search.search import Search, SearchQueue, check_search, refuse_search
from vssl.sweeps.state import PlanState, TrialState
from vssl.sweeps.view import View

LOCAL = "vssl.sweeps.launchers.local.Local"


def sweep(
    group: str,
    name: str | None,
    overrides: Sequence[str],
    paths: Mapping[str, str],
    config_dirs: Sequence[Path] = (),
    console: Console | None = None,
) -> int:
    """Carry out the sweep `name` of `group`, or one of axes alone: what is finished is kept, what is missing is made.

    Any number of processes may do so on one folder: each trial is made once, and each process ends with the table.

    Returns:
        0, or 1 where a trial failed (the table lists it with its error; the others are finished nevertheless).
    Raises:
        UserError: a trial that cannot work, before one of them has begun.
    """
    console = console or Console(stderr=True)
    begun = time.perf_counter()
    todo = plan(group, name, overrides, paths, config_dirs)
    launcher = launcher_of(todo.launcher)
    writable(todo.folder, keep=False)
    (check_search if todo.space else refuse_search)(todo)
    launcher.check(check_all(todo))
    writable(todo.folder)
    state = PlanState(todo.folder)
    failed: set[str] = set()
    notes: tuple[str, ...] = ()
    if todo.space:
        chosen, failed = _searched(todo, state, launcher, console)
        todo, notes = chosen.todo, chosen.notes
    for trial in todo.trials:
        state.add(trial)
    failed |= _carried_out(todo, state, launcher, console)
    _show(todo, state, notes)
    console.print(f"{time.perf_counter() - begun:.0f} s; {todo.folder}", highlight=False, soft_wrap=True)
    return 1 if failed else 0


def launcher_of(node: Mapping[str, Any] | None) -> Launcher:
    """The launcher that a composed node describes. Raises ConfigError: wrong keys and values."""
    return construct({"_target_": LOCAL, **(node or {})}, Launcher, "launcher")


def _carried_out(todo: Plan, state: PlanState, launcher: Launcher, console: Console) -> set[str]:
    """The trials that failed."""
    there = {trial.id: state.read(trial.id) for trial in todo.trials}
    left = {one for one, known in there.items() if known.status == "failed" and todo.settings.failed == "leave"}
    missing = [one for one, known in there.items() if one not in left and not _is_whole(todo.folder, known)]
    if len(missing) < len(there):
        told = f"{len(there) - len(missing)} of {len(there)} trials were there already"
        console.print(f"{todo.title}: {told}", highlight=False, soft_wrap=True)
    queue = Queue(state, missing, todo.settings.retries)
    watched = Watched(state, {trial.id: trial.name for trial in todo.trials})
    with View(todo.title, watched, console) as view:
        launcher.run(todo.folder, queue, view.look)
    return queue.failed | left


def _searched(todo: Plan, state: PlanState, launcher: Launcher, console: Console) -> tuple[Found, set[str]]:
    """Tries the points of a search; what it came to, and the points that failed."""
    search = Search(todo, state)
    left = {one for one in search.begun() if todo.settings.failed == "leave" and state.read(one).status == "failed"}
    queue = SearchQueue(search, [one for one in search.begun() if one not in left])
    with View(todo.title, Watched(state, search.names), console) as view:
        launcher.run(todo.folder, queue, view.look)
    return found(search), queue.failed | left


def _is_whole(folder: Path, state: TrialState) -> bool:
    """Whether a trial is done and everything that it left is still there."""
    if state.status != "done" or state.part:
        return False
    try:
        records = {place: read_record(folder / place) for place in state.shown}
    except UserError:
        return False
    return all(
        record["status"] == "done" and (record["kind"] != "pretrain" or (folder / place / BACKBONE).is_file())
        for place, record in records.items()
    )


def _show(todo: Plan, state: PlanState, said: Sequence[str] = ()) -> None:
    """Writes and prints the table of these trials alone, failed ones listed."""
    known = [(trial, state.read(trial.id)) for trial in todo.trials]
    places = [todo.folder / place for _, one in known for place in (*one.shown, *([one.run] if one.run else []))]
    table = comparison(todo.folder, only=places)
    listed = " ".join(table.troubles)
    untold = [_trouble(trial, one) for trial, one in known if one.status != "done" and (one.error or "") not in listed]
    table = replace(table, troubles=[*table.troubles, *untold])
    notes = [*([todo.settings.note] if todo.settings.note else []), *said]
    write_all(table, todo.folder, notes=notes)
    Console().print(table.to_screen(notes=notes))
    if beside := published_beside(todo, table, _folders(todo, known)):
        beside.write(todo.folder)
        Console().print(beside.to_screen())


def _folders(todo: Plan, known: Sequence[tuple[Trial, TrialState]]) -> dict[Path, Trial]:
    """The trial behind each folder of a run or of an encoder without training."""
    runs = {todo.folder / state.run: trial for trial, state in known if state.run}
    return runs | {owner(todo.folder / one): trial for trial, state in known if not state.run for one in state.shown}


def _trouble(trial: Trial, state: TrialState) -> str:
    return f"{trial.name}: failed: {state.error}" if state.status == "failed" else f"{trial.name}: {state.status}"
