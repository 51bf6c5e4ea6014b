"""Average precision, for videos that may carry several classes at once."""

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
LEVEL = 0.95
_AT_ONCE = 2**23  # resampled counts held in memory at a time


def average_precisions(scores: NDArray[np.floating], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """[K]: of each class, the mean over its steps of recall of the precision there; equal scores are one step.

    Args:
        scores: [N, K], higher is more likely. truth: bool [N, K].
    Returns:
        NaN for a class that no video carries. Equal to scikit-learn's `average_precision_score`.
    """
    ones = np.ones((1, len(scores)))
    return np.array([_weighted(scores[:, place], truth[:, place], ones)[0] for place in range(scores.shape[1])])


def mean_average_precision(scores: NDArray[np.floating], truth: NDArray[np.bool_], seed: int = 0) -> dict[str, float]:
    """{"value", "low", "high"}: the mean over the classes that a test video carries, and a 95 % bootstrap interval over
    videos, of the same resamples for all classes; each resample over the classes that it shows.

    Videos drawn twice stand side by side in the order and raise the precision: resampled means lie above the value, so
    that the percentiles are taken with the correction for bias (Efron 1987, doi:10.2307/2289144, with a = 0).
    """
    value = float(np.nanmean(average_precisions(scores, truth)))
    rng, videos = np.random.default_rng(seed), len(scores)
    rows = max(1, _AT_ONCE // videos)
    means = []
    for begin in range(0, RESAMPLES, rows):
        counts = rng.multinomial(videos, np.full(videos, 1 / videos), size=min(rows, RESAMPLES - begin))
        total, shown = np.zeros(len(counts)), np.zeros(len(counts))
        for place in np.flatnonzero(truth.any(axis=0)):
            found = _weighted(scores[:, place], truth[:, place], counts)
            total += np.nan_to_num(found)
            shown += ~np.isnan(found)
        means.append(total / np.maximum(shown, 1))
    low, high = _unbiased_percentiles(np.concatenate(means), value)
    return {"value": value, "low": float(low), "high": float(high)}


def _unbiased_percentiles(resampled: NDArray[np.float64], value: float) -> tuple[float, float]:
    normal = NormalDist()
    edge = 0.5 / len(resampled)
    below = np.mean(resampled < value) + np.mean(resampled == value) / 2
    bias = normal.inv_cdf(float(np.clip(below, edge, 1 - edge)))
    reach = normal.inv_cdf((1 + LEVEL) / 2)
    low, high = np.quantile(resampled, [normal.cdf(2 * bias - reach), normal.cdf(2 * bias + reach)])
    return float(low), float(high)


def sets_of(carried: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """[N, K] -> the class indices of each row."""
    return [np.flatnonzero(row) for row in carried]


def _weighted(
    scores: NDArray[np.floating], truth: NDArray[np.bool_], counts: NDArray[np.number]
) -> NDArray[np.float64]:
    """[R]: of one class, each video counted as often as `counts` [R, N] says; NaN without a positive one."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    taken = counts[:, order]
    positives = (taken * truth[order]).cumsum(axis=1, dtype=np.float64)[:, ends]
    all_of_them = taken.cumsum(axis=1, dtype=np.float64)[:, ends]
    precision = positives / np.maximum(all_of_them, 1e-300)
    steps = np.diff(positives, axis=1, prepend=0.0)
    with np.errstate(invalid="ignore"):
        found: NDArray[np.float64] = (steps * precision).sum(axis=1) / positives[:, -1]
    return found
