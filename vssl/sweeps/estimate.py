"""How long trials will take, from a few steps of each kind of them."""

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vssl.config.bind import construct
from vssl.config.compose import Composed
from vssl.method import Progress
from vssl.records.hashes import hash_of
from vssl.sweeps.plan import Trial
from vssl.sweeps.work import placed
from vssl.training.budgets import Budget
from vssl.training.build import Study, assemble
from vssl.training.optimisers import Optimiser

MOST_PROBES = 12
LEAST_STEPS, MOST_STEPS, ENOUGH_S = 2, 6, 2.0
# A step takes as long whatever these are.
_SAME_COST = ("seed", "budget", "eval", "optim", "logger", "run")


@dataclass(frozen=True)
class Cost:
    """Of one training: optimiser steps, and seconds on this machine."""

    steps: int
    seconds: float


@dataclass(frozen=True)
class Estimate:
    """Args: costs: by trial; seconds: of all trainings together, each once; None where nothing was probed."""

    costs: dict[str, Cost]
    seconds: float | None
    probed: int


def estimated(trials: Sequence[Trial], folder: Path, most: int = MOST_PROBES) -> Estimate:
    """Times one step of every kind of training, of `most` kinds; the others are taken to be as slow as the mean."""
    pretrainings = {trial.pretraining: trial for trial in reversed(trials) if trial.pretraining is not None}
    kinds: dict[str, list[Trial]] = {}
    for trial in pretrainings.values():
        kinds.setdefault(_kind(trial), []).append(trial)
    per_step: dict[str, tuple[Study, float]] = {}
    for kind, members in list(kinds.items())[:most]:
        study = assemble(_composed(members[0], folder))
        study.attach()
        per_step[kind] = (study, _seconds_a_step(study))
    by_pretraining = {
        trial.pretraining: _cost(trial, *per_step[kind])
        for kind, members in kinds.items()
        if kind in per_step
        for trial in members
    }
    costs = {trial.id: by_pretraining[trial.pretraining] for trial in trials if trial.pretraining in by_pretraining}
    if not by_pretraining:
        return Estimate({}, None, 0)
    mean = sum(cost.seconds for cost in by_pretraining.values()) / len(by_pretraining)
    return Estimate(costs, mean * len(pretrainings), len(per_step))


def _kind(trial: Trial) -> str:
    return hash_of({node: digest for node, digest in trial.hashes.items() if node not in _SAME_COST})


def _composed(trial: Trial, folder: Path) -> Composed:
    return Composed(placed(trial.bound, folder), trial.choices)


def _cost(trial: Trial, study: Study, seconds_a_step: float) -> Cost:
    """A trial of the same kind, of its own budget."""
    budget = construct(trial.bound["budget"], Budget, "budget")
    steps = budget.to_steps(
        batch_size=study.train.batch_size,
        batches_per_epoch=study.datamodule.sampler().batches_per_epoch,
        views=len(study.views.positions),
        flops_per_step=lambda: study.flops_per_step,
        seconds_per_step=lambda: seconds_a_step,
    )
    own = steps
    if trial.trunk is not None:
        own -= construct(trial.bound["optim"], Optimiser, "optim").schedule.stable_until(steps)
    return Cost(steps, own * seconds_a_step)


def _seconds_a_step(study: Study) -> float:
    """Of forward and backward on the first micro-batch, loading apart: the quickest of a few, which others disturb
    least."""
    twin, batch = copy.deepcopy(study.method).train(), study.datamodule.first_batch()
    twin.progress = Progress(0, 1)
    took: list[float] = []
    while len(took) < MOST_STEPS and (len(took) < LEAST_STEPS or sum(took) < ENOUGH_S):
        begun = time.perf_counter()
        twin.losses(batch["views"], batch)["loss"].backward()  # type: ignore[arg-type, no-untyped-call]
        took.append(time.perf_counter() - begun)
    return min(took) * study.train.accumulate
