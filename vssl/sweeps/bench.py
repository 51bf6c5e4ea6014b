"""A bench: a named plan carried out here, one trial after the other, with the table at its end."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from vssl.evaluation.online import online_probe
from vssl.evaluation.run import evaluate
from vssl.records.atomic import writable
from vssl.records.locks import POLL_S, Busy
from vssl.report.files import write_all
from vssl.report.table import comparison
from vssl.sweeps.plan import Plan, Trial, plan
from vssl.sweeps.state import PlanState, TrialState
from vssl.training.build import assemble
from vssl.training.run import pretrain


def bench(
    name: str,
    overrides: Sequence[str],
    paths: Mapping[str, str],
    config_dirs: Sequence[Path] = (),
    console: Console | None = None,
) -> int:
    """Carry out `bench=name`; what is finished is kept, what is missing is made, the table shows all of it.

    Any number of processes may do so on one folder: each trial is made once, and each process ends with the table.

    Returns:
        0, or 1 where a trial failed (the table lists it with its error; the others are finished nevertheless).
    Raises:
        UserError: a trial that cannot work, before one of them has begun.
    """
    console = console or Console(stderr=True)
    begun = time.perf_counter()
    todo = plan(name, overrides, paths, config_dirs)
    folder = Path(todo.trials[0].bound["run"]["out"]) / "bench" / name
    writable(folder, keep=False)
    places = [_checked_place(trial, folder) for trial in todo.trials]
    writable(folder)
    state = PlanState(folder)
    failed = _carry_out_all(name, todo, state, folder, console)
    shown = list(places)  # a failed one is listed with its error
    for encoder, trial in _baselines(todo):
        console.rule(f"{name}: {encoder}, {trial.backbone}, seed {trial.bound['seed']}", style="dim")
        shown += _evaluate(trial, encoder, folder, console)
    table = comparison(folder, only=shown)
    notes = [todo.note] if todo.note else []
    files = write_all(table, folder, notes=notes)
    Console().print(table.to_screen(notes=notes))
    console.print(f"{time.perf_counter() - begun:.0f} s; {', '.join(str(file) for file in files)}", highlight=False)
    return 1 if failed else 0


def _checked_place(trial: Trial, folder: Path) -> Path:
    """Where the trial's run will lie. Raises UserError where it cannot work."""
    study = assemble(trial.composed, _placed(trial.bound, folder))
    study.check()
    return study.folder


def _carry_out_all(name: str, todo: Plan, state: PlanState, folder: Path, console: Console) -> int:
    """How many trials failed. What another process works on is put off: in the end it is there, or its turn comes."""
    failed = 0
    waiting = list(enumerate(todo.trials, 1))
    told: set[str] = set()
    while waiting:
        busy = []
        for number, trial in waiting:
            title = f"{name}: {number} of {len(todo.trials)}: {trial.name}"
            try:
                failed += not _carry_out(trial, title, trial.id in told, state, folder, console)
            except Busy as error:
                busy.append((number, trial))
                if trial.id not in told:
                    first = str(error).splitlines()[0]
                    console.print(f"{trial.name} is put off: {first}", highlight=False, soft_wrap=True)
                told.add(trial.id)
        if len(busy) == len(waiting):
            time.sleep(POLL_S)
        waiting = busy
    return failed


def _carry_out(trial: Trial, title: str, after_another: bool, state: PlanState, folder: Path, console: Console) -> bool:
    """Pretrain and evaluate one trial; a failure is written down and does not stop the others.

    Args:
        after_another: another process had it: where it failed there, it is not tried a second time.
    Raises:
        Busy: another process works on it.
    """
    with state.claim(trial.id):
        if after_another and (known := state.read(trial.id)) is not None and known.status == "failed":
            return False
        console.rule(title, style="dim")
        bound = _placed(trial.bound, folder)
        state.write(trial.id, TrialState(trial.name, "running"))
        try:
            run = pretrain(trial.composed, bound, console, online_probe)
            _evaluate(trial, str(run), folder, console)
        except Busy:
            state.write(trial.id, TrialState(trial.name, "waiting"))
            raise
        except Exception as error:  # noqa: BLE001  (a fault in one method must not cost the others their turn)
            first = (str(error) or type(error).__name__).splitlines()[0]
            console.print(f"error: {trial.name}: {error}", style="red", highlight=False, soft_wrap=True)
            state.write(trial.id, TrialState(trial.name, "failed", error=first))
            return False
        state.write(trial.id, TrialState(trial.name, "done", run=run.name))
        return True


def _evaluate(trial: Trial, encoder: str, folder: Path, console: Console) -> list[Path]:
    placed = _placed(trial.bound, folder)
    return evaluate(placed, trial.composed.choices, encoder, folder, console=console, leave_out=True)


def _baselines(todo: Plan) -> list[tuple[str, Trial]]:
    """Encoders without training, on the trials' data: `mean_frame` once, any other once a backbone and seed."""
    first = {(trial.backbone, trial.bound["seed"]): trial for trial in reversed(todo.trials)}
    once = sorted(first.values(), key=todo.trials.index)
    return [(encoder, trial) for encoder in todo.encoders for trial in (once if encoder == "random" else once[:1])]


def _placed(bound: dict[str, Any], folder: Path) -> dict[str, Any]:
    return {**bound, "run": {**bound["run"], "out": str(folder), "name": None}}
