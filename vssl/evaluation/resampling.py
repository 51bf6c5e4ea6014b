"""Means over test videos, each with the interval that other test videos would have moved it in."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vssl.evaluation.metrics import LEVEL, RESAMPLES, Metric
from vssl.statistics import bootstrap_interval


def mean_metric(values: ArrayLike, seed: int = 0) -> Metric:
    """The mean of [N], a number a video; of right-or-wrong lists a share, of their differences a paired gap."""
    each = np.asarray(values, dtype=np.float64)
    low, high = bootstrap_interval(each, n=RESAMPLES, level=LEVEL, seed=seed)
    return {"value": float(each.mean()), "low": low, "high": high}


def class_balanced_metric(values: NDArray[np.floating], label: NDArray[np.int64], seed: int = 0) -> Metric:
    """The mean over classes of the mean over a class's videos; classes without a video do not enter.

    Args:
        values: [N], a number a video. label: int64 [N].
    """
    rng, videos = np.random.default_rng(seed), len(label)
    resampled = [_class_mean(values[rows], label[rows]) for rows in rng.integers(videos, size=(RESAMPLES, videos))]
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"value": _class_mean(values, label), "low": float(low), "high": float(high)}


def _class_mean(values: NDArray[np.floating], label: NDArray[np.int64]) -> float:
    counts = np.bincount(label)
    shown = counts > 0
    return float((np.bincount(label, weights=values)[shown] / counts[shown]).mean())
