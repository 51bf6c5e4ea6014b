"""Schedules: functions of (optimiser step, total steps), so that resuming needs nothing else."""

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up from 0, then `after`.

    Args:
        after: "cosine" to `floor`, or "constant".
        warmup_fraction: share of all steps spent in warm-up; ignored where `warmup_steps` is given.
        warmup_steps: optimiser steps of warm-up.
        floor: lowest multiple of the peak, reached by the cosine one step after the last.
        inclusive: the last step of warm-up already has the peak (VideoMAE, MAE, DINO: a linspace over the warm-up's
            steps); else the first step after it is the first at the peak (MoCo v3, BYOL).
    """

    after: Literal["cosine", "constant"] = "cosine"
    warmup_fraction: float = 0.05
    warmup_steps: int | None = None
    floor: float = 0.0
    inclusive: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.warmup_fraction <= 1 or not 0 <= self.floor <= 1:
            raise ValueError(f"warmup_fraction={self.warmup_fraction} and floor={self.floor} must lie in 0..1")
        if self.warmup_steps is not None and self.warmup_steps < 0:
            raise ValueError(f"warmup_steps={self.warmup_steps} must be 0 or more")

    def warmup(self, total: int) -> int:
        steps = self.warmup_steps if self.warmup_steps is not None else round(self.warmup_fraction * total)
        return min(steps, total)

    def factor(self, step: int, total: int) -> float:
        """Multiple of the peak rate that optimiser step `step` (from 0) uses."""
        warmup = self.warmup(total)
        if step < warmup:
            return step / (warmup - 1) if self.inclusive and warmup > 1 else step / warmup
        if self.after == "constant":
            return 1.0
        through = min(1.0, (step - warmup) / max(1, total - warmup))
        return cosine(1.0, self.floor, through)


def cosine(first: float, last: float, through: float) -> float:
    """Half a cosine from `first` (`through` 0) to `last` (`through` 1)."""
    return last + (first - last) * 0.5 * (1 + math.cos(math.pi * through))
