"""What Optuna is asked: the next point, and whether a training goes on.

Each answer is a function of what the points' own files tell: a study lives for one question, in memory, and its sampler
is seeded by the number of the point. So there is no second state beside the files that a kill could part from them.
"""

import importlib.util
import random
from collections.abc import Mapping, Sequence
from typing import Any

from vssl.config.errors import UserError
from vssl.sweeps.axes import Axis
from vssl.sweeps.search.points import Told
from vssl.sweeps.settings import Sweep

POINTS = "points"  # what the axis without a key is called


def check_installed(search: str) -> None:
    """Raises UserError where Optuna is missing."""
    if importlib.util.find_spec("optuna") is None:
        raise UserError(f"sweep.search={search} needs Optuna, which is not installed", "pip install 'vssl[search]'")


def suggested(settings: Sweep, axes: Sequence[Axis], told: Sequence[Told], number: int, draw: int) -> dict[str, float]:
    """The values of point `number`: a number of each range, the place of a setting of any other axis.

    Args:
        told: of the points before it.
        draw: counts what was suggested for it and could not be taken.
    """
    optuna = _optuna()
    seed = random.Random(f"{settings.search_seed} {number} {draw}").getrandbits(32)
    samplers = optuna.samplers
    sampler = samplers.TPESampler(seed=seed) if settings.search == "tpe" else samplers.RandomSampler(seed=seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    space = {axis.key or POINTS: _distribution(axis) for axis in axes}
    for one in told:
        study.add_trial(_frozen(one, space))
    params = study.ask(space).params
    ranges = {axis.key: axis.range for axis in axes}
    return {key: found.rounded(value) if (found := ranges.get(key)) else value for key, value in params.items()}


def stops(others: Sequence[Sequence[float]], own: Sequence[float], reduction_factor: int) -> bool:
    """Whether asynchronous successive halving ends a training whose objective so far is `own`.

    Its rungs are after 1, r, r^2, ... measurements; at one of them it goes on if it is among the best 1/r of all
    that have come there, or, while fewer than r have, if it is the best.
    """
    optuna = _optuna()
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=reduction_factor)
    study = optuna.create_study(direction="maximize", pruner=pruner, sampler=optuna.samplers.RandomSampler(seed=0))
    verdict = False
    for probes in [*others, own]:
        trial = study.ask()
        for place, value in enumerate(probes, 1):
            trial.report(value, place)
            verdict = trial.should_prune()
    return verdict


def _frozen(one: Told, space: Mapping[str, Any]) -> Any:
    """A failed point counts as the worst, so that its surroundings are avoided: a rate may be too high."""
    optuna = _optuna()
    states = optuna.trial.TrialState
    state = {"stopped": states.PRUNED, "failed": states.PRUNED, "open": states.RUNNING}.get(one.fate, states.COMPLETE)
    if state == states.COMPLETE and one.value is None:
        state = states.FAIL  # trained, but never measured: nothing is known of it
    probes = dict(enumerate(one.probes, 1)) if one.fate == "stopped" else {}
    return optuna.trial.create_trial(
        state=state, params=one.point.values, distributions=dict(space), intermediate_values=probes,
        value=one.value if state == states.COMPLETE else None,
    )  # fmt: skip


def _distribution(axis: Axis) -> Any:
    distributions = _optuna().distributions
    if (found := axis.range) is None:
        return distributions.CategoricalDistribution(tuple(range(len(axis.settings))))
    if found.whole:
        return distributions.IntDistribution(int(found.low), int(found.high), log=found.log, step=int(found.step or 1))
    return distributions.FloatDistribution(found.low, found.high, log=found.log, step=found.step)


def _optuna() -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
