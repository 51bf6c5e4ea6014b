"""Whether two encoders, or two methods, differ on the same test videos."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, gammaln, stdtrit

from vssl.statistics.intervals import bootstrap_interval, resampled_means


@dataclass(frozen=True)
class Paired:
    """Encoder a against encoder b on the same videos, a - b.

    Args:
        difference: of the means.
        low: lower bound of the interval of the difference, as `high` is the upper one.
        p: two-sided, of the hypothesis that both are equally good.
    """

    difference: float
    low: float
    high: float
    p: float


def mcnemar(right_a: ArrayLike, right_b: ArrayLike, mid_p: bool = False) -> float:
    """Two-sided p of McNemar's exact test: are the videos that one encoder alone gets right shared out evenly?

    Args:
        right_a: [N] bool, a video each; `right_b` of the same videos in the same order.
        mid_p: counts what is as extreme as the observation by half, not in full: less conservative, no longer exact
            (Fagerland, Lydersen and Laake 2013, doi:10.1186/1471-2288-13-91).
    Returns:
        p in (0, 1]; 1 where no video tells the two apart.
    Raises:
        ValueError: lists of different lengths, empty ones, or values other than 0 and 1.
    """
    a, b = _pair(right_a, right_b)
    if not np.isin(np.concatenate([a, b]), (0, 1)).all():
        raise ValueError("right or wrong is asked for: values must be 0 or 1")
    only_a, only_b = int(((a == 1) & (b == 0)).sum()), int(((a == 0) & (b == 1)).sum())
    told_apart, fewer = only_a + only_b, min(only_a, only_b)
    if told_apart == 0:
        return 1.0
    p = min(1.0, 2 * float(bdtr(fewer, told_apart, 0.5)))
    if not mid_p:
        return p
    as_extreme = math.exp(
        gammaln(told_apart + 1) - gammaln(fewer + 1) - gammaln(told_apart - fewer + 1) - told_apart * math.log(2)
    )
    return p - (as_extreme / 2 if only_a == only_b else as_extreme)


def paired_bootstrap(a: ArrayLike, b: ArrayLike, n: int = 2000, level: float = 0.95, seed: int = 0) -> Paired:
    """The difference of two encoders when other test videos are drawn, the same ones for both.

    Args:
        a: [N], a number a video (right or wrong, a score); `b` of the same videos in the same order.
        n: resamples. level, seed: as in `bootstrap_interval`.
    Returns:
        The percentile interval; p is twice the smaller share of resampled differences at or beyond 0, each share with
        one resample added, so that it is never below 2 / (n + 1).
    Raises:
        ValueError: as `bootstrap_interval`, or lists of different lengths.
    """
    first, second = _pair(a, b)
    difference = first - second
    low, high = bootstrap_interval(difference, n, level, seed)
    distinct, counts = np.unique(difference, return_counts=True)
    means = resampled_means(distinct, counts, n, np.random.default_rng(seed))
    beyond = min(int((means <= 0).sum()), int((means >= 0).sum()))
    return Paired(float(difference.mean()), low, high, min(1.0, 2 * (beyond + 1) / (n + 1)))


def paired_over_seeds(a: ArrayLike, b: ArrayLike, level: float = 0.95) -> Paired:
    """The difference of two methods when both other seeds and other test videos are drawn.

    Each source has its own Student's half width, over the differences of S seeds and over those of N videos; squared
    they add up. Seeds alone give the paired t interval, two of them say as little as two can. What belongs to a seed
    and a video together is in both, so the interval is rather too wide.

    Args:
        a: [S, N], a row a seed, a column a video; `b` of the same seeds and videos, S >= 2.
    Returns:
        p is 1 - level of the interval that ends at 0. Where neither seeds nor videos vary there is no spread to measure
        by: 1 without a difference, else the least p that N videos can give to McNemar's test.
    Raises:
        ValueError: other shapes, fewer than two seeds or videos, or a level outside (0, 1).
    Source: Howe 1974, Journal of the American Statistical Association 69:789-794. (Satterthwaite's degrees of freedom
        err in 10 of 100 cases with two seeds that differ much, in place of 5.)
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 2 or min(first.shape) < 2:
        raise ValueError(f"two equal shapes [seeds >= 2, videos >= 2] are needed, given {first.shape}, {second.shape}")
    if not np.isfinite(first - second).all():
        raise ValueError("values must be finite numbers")
    if not 0 < level < 1:
        raise ValueError(f"level={level} must be between 0 and 1")
    each = first - second
    mean = float(each.mean())
    sources = [(len(means), float(means.std(ddof=1)) / math.sqrt(len(means))) for means in (each.mean(1), each.mean(0))]
    half = _half_width(sources, 1 - level)
    if half > 0:
        return Paired(mean, mean - half, mean + half, _p_of(sources, abs(mean)))
    return Paired(mean, mean, mean, 1.0 if mean == 0 else math.ldexp(1.0, max(1 - each.shape[1], -1000)))


def _half_width(sources: Sequence[tuple[int, float]], p: float) -> float:
    """Of the interval of level 1 - p; sources are (values, standard error of their mean)."""
    return math.hypot(*(float(stdtrit(n - 1, p / 2)) * error for n, error in sources))


def _p_of(sources: Sequence[tuple[int, float]], distance: float) -> float:
    """The p at which the half width is `distance`, by halving the logarithm's range; at least 1e-12."""
    low, high = math.log(1e-12), 0.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _half_width(sources, math.exp(middle)) > distance else (low, middle)
    return math.exp(high)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values, in the order given: below 0.05 where the whole family errs in at most 5 % of cases.

    Source: Holm 1979, Scandinavian Journal of Statistics 6:65-70; no assumption on how the tests depend.

    Raises:
        ValueError: a value outside [0, 1].
    """
    if not all(0 <= p <= 1 for p in p_values):
        raise ValueError(f"p values must lie in [0, 1]: {list(p_values)}")
    adjusted, highest = [1.0] * len(p_values), 0.0
    for place, which in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[which]))
        adjusted[which] = highest
    return adjusted


def _pair(a: ArrayLike, b: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape or first.size == 0:
        raise ValueError(f"two lists of the same videos are needed, given are shapes {first.shape} and {second.shape}")
    return first, second
