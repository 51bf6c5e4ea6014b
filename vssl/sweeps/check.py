"""Whether the trials of a plan can work, before one of them has begun."""

from collections.abc import Sequence

from vssl.config.compose import Composed
from vssl.sweeps.plan import Plan, Trial
from vssl.sweeps.work import placed
from vssl.training.build import assemble


def check_all(todo: Plan) -> int:
    """Builds one trial of every setting of every axis; seeds alone tell no two apart.

    Returns:
        The most devices that a trial trains on.
    Raises:
        UserError: one of them cannot work; the message names it.
    """
    devices = 1
    for trial in covering([trial for trial in todo.trials if trial.encoder is None]):
        study = assemble(Composed(placed(trial.bound, todo.folder), trial.choices), placed(trial.bound, todo.folder))
        study.check()
        devices = max(devices, study.devices)
    return devices


def covering(trials: Sequence[Trial]) -> list[Trial]:
    """The first trial of every method, backbone, and setting of an axis other than the seed."""
    seen: set[tuple[str, str]] = set()
    chosen = []
    for trial in trials:
        own = {("method", trial.choices.get("method", "")), ("backbone", trial.backbone), *trial.values.items()}
        own = {(axis, told) for axis, told in own if axis != "seed"}
        if own - seen:
            chosen.append(trial)
            seen |= own
    return chosen
