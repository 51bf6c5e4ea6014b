"""How small a difference n seeds could show."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq
from scipy.special import nctdtr, stdtrit

ALPHA, POWER = 0.05, 0.8
"""Two-sided level, and share of cases in which a difference is to be found: what is usual."""


def pooled_std(groups: Sequence[Sequence[float]]) -> float:
    """Standard deviation within groups of values, each group about its own mean: `[G][n]`, groups of 1 say nothing.

    Raises:
        ValueError: no group has two values.
    """
    arrays = [np.asarray(group, dtype=np.float64) for group in groups]
    freedom = sum(len(array) - 1 for array in arrays if len(array) > 1)
    if freedom < 1:
        raise ValueError("at least one group of two or more values is needed")
    return math.sqrt(math.fsum(float(((array - array.mean()) ** 2).sum()) for array in arrays if len(array)) / freedom)


def smallest_difference(std: float, n: int, alpha: float = ALPHA, power: float = POWER) -> float:
    """The true difference that a paired t test over n seeds finds with probability `power`, in the unit of `std`.

    Found is what is significant with the right sign.

    Args:
        std: standard deviation of the seeds' differences.
        n: seeds that both have, at least 2.
        alpha: two-sided level of the test.
    Raises:
        ValueError: fewer than two seeds, a negative `std`, or shares outside 0 < alpha < power < 1.
    Source: Cohen 1988, Statistical Power Analysis for the Behavioral Sciences, chapter 2: under a true difference d the
        statistic has Student's t distribution, n - 1 degrees of freedom, noncentrality d sqrt(n) / std.
    """
    if n < 2 or std < 0 or not 0 < alpha < power < 1:
        raise ValueError(f"n={n} >= 2, std={std} >= 0 and 0 < alpha={alpha} < power={power} < 1 are needed")
    critical = float(stdtrit(n - 1, 1 - alpha / 2))

    def lacking(noncentrality: float) -> float:
        return power - (1 - float(nctdtr(n - 1, noncentrality, critical)))

    highest = 1.0
    while lacking(highest) > 0:
        highest *= 2
    return float(brentq(lacking, 0.0, highest)) * std / math.sqrt(n)
