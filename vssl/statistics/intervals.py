"""How sure one number is: over test videos by the bootstrap, over seeds by Student's t."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

AT_ONCE = 2**22  # resampled counts held in memory at a time


def bootstrap_interval(correct: ArrayLike, n: int = 2000, level: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean over test videos.

    Resampling N videos with replacement is one multinomial draw over the distinct values, so that right-or-wrong lists
    of any length cost two numbers a resample.

    Args:
        correct: [N], a number a video; True or 1 for a right answer.
        n: resamples.
        level: share of the resampled means between the two bounds.
        seed: equal seeds and values give equal intervals.
    Returns:
        (low, high). With all values equal both are that value: the bootstrap cannot see what the sample does not show.
    Raises:
        ValueError: no value, values that are not finite, or a level outside (0, 1).
    """
    values = np.asarray(correct, dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"a list of one or more finite numbers is needed, given is shape {values.shape}")
    if not 0 < level < 1:
        raise ValueError(f"level={level} must be between 0 and 1")
    distinct, counts = np.unique(values, return_counts=True)
    means = resampled_means(distinct, counts, n, np.random.default_rng(seed))
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def resampled_means(
    distinct: NDArray[np.float64], counts: NDArray[np.intp], n: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """[D] values with [D] counts -> [n] means."""
    videos = int(counts.sum())
    rows = max(1, AT_ONCE // len(distinct))
    parts = [
        rng.multinomial(videos, counts / videos, size=min(rows, n - done)) @ distinct / videos
        for done in range(0, n, rows)
    ]
    return np.concatenate(parts)


@dataclass(frozen=True)
class Summary:
    """Runs with different seeds in short.

    Args:
        std: sample standard deviation (n - 1); None for a single value.
        low: lower bound of the t interval of the mean, as `high` is the upper one; None below three values.
    """

    n: int
    mean: float
    std: float | None
    low: float | None
    high: float | None


def mean_std_t(values: Sequence[float], level: float = 0.95) -> Summary:
    """Mean, sample standard deviation, and from three values on the t interval of the mean.

    Two values have a t interval too; with one degree of freedom it is 12.7 standard errors wide and says nothing.

    Raises:
        ValueError: no values.
    """
    n = len(values)
    if n == 0:
        raise ValueError("no values to summarise")
    mean = math.fsum(values) / n
    if n == 1:
        return Summary(n, mean, None, None, None)
    std = float(np.std(np.asarray(values, dtype=np.float64), ddof=1))
    if n == 2:
        return Summary(n, mean, std, None, None)
    half = float(stdtrit(n - 1, (1 + level) / 2)) * std / math.sqrt(n)
    return Summary(n, mean, std, mean - half, mean + half)
