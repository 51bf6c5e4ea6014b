"""Trials that differ in their length only, under a schedule that cools down at its end: the longest trains for all."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from vssl.config.bind import construct, import_target
from vssl.records.hashes import hash_of

if TYPE_CHECKING:
    from vssl.sweeps.plan import Trial


def with_trunks(trials: Sequence["Trial"]) -> list["Trial"]:
    """The same trials, in their order; each longest one keeps checkpoints for the others, and they know it."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        if trial.encoder is None and trial.bound["optim"].get("schedule", {}).get("after") == "cooldown":
            alike = {node: digest for node, digest in trial.hashes.items() if node not in ("budget", "eval")}
            groups.setdefault(hash_of([alike, _unit(trial)]), []).append(trial)
    changed: dict[str, Trial] = {}
    for group in groups.values():
        lengths = sorted({_length(trial) for trial in group})
        if len(lengths) == 1 or not _share_their_beginning(group[0]):
            continue
        *shorter, longest = lengths
        trunk = next(trial for trial in group if _length(trial) == longest)
        for trial in group:
            if _length(trial) < longest:
                changed[trial.id] = replace(trial, trunk=trunk.id)
            else:
                run = {**trial.bound["run"], "branches": shorter}
                changed[trial.id] = replace(trial, bound={**trial.bound, "run": run})
    return [changed.get(trial.id, trial) for trial in trials]


def _share_their_beginning(trial: "Trial") -> bool:
    from vssl.training.branches import dependence
    from vssl.training.budgets import Budget
    from vssl.training.optimisers import Optimiser

    optimiser = construct(trial.bound["optim"], Optimiser, "optim")
    budget = construct(trial.bound["budget"], Budget, "budget")
    return dependence(optimiser, import_target(trial.bound["method"]["_target_"]), budget) is None


def _unit(trial: "Trial") -> str:
    return next(key for key in _given(trial))


def _length(trial: "Trial") -> float:
    return next(value for value in _given(trial).values())


def _given(trial: "Trial") -> dict[str, float]:
    return {key: value for key, value in trial.bound["budget"].items() if key != "_target_" and value is not None}
