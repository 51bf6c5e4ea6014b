"""The plan of a sweep in words: trials, what they share, what is there already, how long the rest may take."""

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from vssl.records.atomic import writable
from vssl.sweeps.check import check_all
from vssl.sweeps.estimate import Estimate, estimated
from vssl.sweeps.plan import Plan, plan
from vssl.sweeps.run import launcher_of
from vssl.sweeps.search.points import Points
from vssl.sweeps.search.search import check_search, refuse_search, told_space
from vssl.sweeps.state import PlanState

ROWS = 40


def dry_run(
    group: str, name: str | None, overrides: Sequence[str], paths: Mapping[str, str], config_dirs: Sequence[Path] = ()
) -> int:
    """Prints the plan; nothing is trained or written, but data that a made set draws on goes into the cache.

    Raises:
        UserError: as the sweep itself would, before one of its trials has begun.
    """
    todo = plan(group, name, overrides, paths, config_dirs)
    writable(todo.folder, keep=False)
    launcher = launcher_of(todo.launcher)
    (check_search if todo.space else refuse_search)(todo)
    launcher.check(check_all(todo))
    if todo.space:
        for line in told_search(todo, estimated(todo.trials, todo.folder)):
            Console().print(line, highlight=False, soft_wrap=True)
        return 0
    state = PlanState(todo.folder)
    statuses = {trial.id: state.seen(trial.id).status for trial in todo.trials}
    estimate = estimated([trial for trial in todo.trials if statuses[trial.id] not in ("done",)], todo.folder)
    console = Console()
    console.print(_trials(todo, statuses, estimate))
    for line in told(todo, statuses, estimate):
        console.print(line, highlight=False, soft_wrap=True)
    return 0


def _trials(todo: Plan, statuses: Mapping[str, str], estimate: Estimate) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("trial", "id", "status", "steps", "training"):
        table.add_column(column, overflow="fold" if column == "trial" else "ellipsis")
    for trial in todo.trials[:ROWS]:
        cost = estimate.costs.get(trial.id)
        steps, took = (str(cost.steps), _duration(cost.seconds)) if cost else ("", "")
        table.add_row(trial.name, trial.id[:8], statuses[trial.id], steps, took)
    if len(todo.trials) > ROWS:
        table.add_row(f"and {len(todo.trials) - ROWS} more")
    return table


def told_search(todo: Plan, estimate: Estimate) -> list[str]:
    """What a search will do, a line a thing."""
    settings, there = todo.settings, len(list(Points(todo.folder)))
    lines = [
        f"{settings.search}: {settings.trials} points in {todo.folder}, {there} of them there already, chosen from"
    ]
    lines += [f"  {line}" for line in told_space(todo)]
    if estimate.seconds is not None and settings.trials:
        each = estimate.seconds / len({trial.pretraining for trial in todo.trials})
        most = ", less what is stopped early" if settings.search == "asha" else ""
        lines.append(
            f"about {_duration(each * settings.trials)} of training for all of them{most}, by {estimate.probed} timed "
            f"probe{'s' * (estimate.probed != 1)} of points at the ends on this machine, one trial after the other"
        )
    who = "point" if settings.finalists == 1 else f"{settings.finalists} points"
    lines.append(f"Only the {who} with the highest online probe will be evaluated.")
    lines.append("The values and ends of every axis fit; nothing was started or written.")
    return lines


def told(todo: Plan, statuses: Mapping[str, str], estimate: Estimate) -> list[str]:
    """What the plan comes to, a line a thing."""
    trainings = [trial for trial in todo.trials if trial.encoder is None]
    distinct = len({trial.pretraining for trial in trainings})
    encoders = len(todo.trials) - len(trainings)
    lines = [
        f"{len(todo.trials)} trials in {todo.folder}: {distinct} trainings"
        + (f", shared by {len(trainings)} evaluations of them" if distinct < len(trainings) else "")
        + (f", {encoders} encoders without training" if encoders else "")
        + (f"; {todo.excluded} combinations left out" if todo.excluded else "")
    ]
    if branches := sum(trial.trunk is not None for trial in todo.trials):
        lines.append(f"{branches} of the trainings begin with the checkpoint of a longer one, and only cool down")
    done = sum(status == "done" for status in statuses.values())
    if done:
        lines.append(f"{done} are done already")
    if estimate.seconds is not None:
        probed = f"by {estimate.probed} timed probes on this machine, one trial after the other"
        lines.append(f"about {_duration(estimate.seconds)} of training left {probed}, evaluations apart")
    lines.append("Every trial's configuration fits; nothing was started or written.")
    return lines


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else str(datetime.timedelta(seconds=round(seconds)))
