"""Schedules: functions of (optimiser step, total steps), so that resuming needs nothing else."""

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up from 0, then `after`.

    Args:
        after: "cosine" to `floor`; "constant"; or "cooldown": constant until the last `cooldown_fraction` of all steps,
            then down to `floor` by 1 - sqrt(share of the cool-down). Runs that differ in their length only are then
            equal until the shorter one cools down (`run.branch_of`).
        warmup_fraction: share of all steps spent in warm-up; ignored where `warmup_steps` is given.
        warmup_steps: optimiser steps of warm-up.
        cooldown_fraction: share of all steps spent in the cool-down.
        floor: lowest multiple of the peak, reached one step after the last.
        inclusive: the last step of warm-up already has the peak (VideoMAE, MAE, DINO: a linspace over the warm-up's
            steps); else the first step after it is the first at the peak (MoCo v3, BYOL).

    Source of the cool-down and its form: arXiv:2405.18392 ("Scaling Laws and Compute-Optimal Training Beyond Fixed
    Training Durations"), which finds 1 - sqrt better than a straight line and 20 % of the steps enough.
    """

    after: Literal["cosine", "constant", "cooldown"] = "cosine"
    warmup_fraction: float = 0.05
    warmup_steps: int | None = None
    cooldown_fraction: float = 0.2
    floor: float = 0.0
    inclusive: bool = False

    def __post_init__(self) -> None:
        for name in ("warmup_fraction", "cooldown_fraction", "floor"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)} must lie in 0..1")
        if self.warmup_steps is not None and self.warmup_steps < 0:
            raise ValueError(f"warmup_steps={self.warmup_steps} must be 0 or more")

    def warmup(self, total: int) -> int:
        steps = self.warmup_steps if self.warmup_steps is not None else round(self.warmup_fraction * total)
        return min(steps, total)

    def stable_until(self, total: int) -> int:
        """The first step whose rate follows from how many there are in all, warm-up apart."""
        if self.after == "cooldown":
            return max(self.warmup(total), total - round(self.cooldown_fraction * total))
        return total if self.after == "constant" else self.warmup(total)

    def factor(self, step: int, total: int) -> float:
        """Multiple of the peak rate that optimiser step `step` (from 0) uses."""
        warmup = self.warmup(total)
        if step < warmup:
            return step / (warmup - 1) if self.inclusive and warmup > 1 else step / warmup
        begin = self.stable_until(total)
        if self.after == "constant" or step < begin:
            return 1.0
        through = min(1.0, (step - begin) / max(1, total - begin))
        return cosine(1.0, self.floor, through) if self.after == "cosine" else slope(1.0, self.floor, through)


def slope(first: float, last: float, through: float) -> float:
    """From `first` to `last` by the square root of `through`: steep at its beginning."""
    return last + (first - last) * (1 - math.sqrt(through))


def cosine(first: float, last: float, through: float) -> float:
    """Half a cosine from `first` (`through` 0) to `last` (`through` 1)."""
    return last + (first - last) * 0.5 * (1 + math.cos(math.pi * through))
