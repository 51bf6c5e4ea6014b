"""Shares of right answers, each with the interval that other test videos would have moved it in."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vssl.evaluation.features import Labelled
from vssl.statistics import bootstrap_interval

RESAMPLES = 2000
LEVEL = 0.95

Metric = dict[str, float]


def classification(scores: NDArray[np.floating], label: NDArray[np.int64], seed: int = 0) -> dict[str, Metric]:
    """Top-1, top-5 and mean-class accuracy.

    Args:
        scores: [N, K], higher is more likely. label: int64 [N].
    Returns:
        {"top1" | "top5" | "mean_class": {"value", "low", "high"}}, shares in [0, 1] with a 95 % bootstrap interval over
        videos. Mean-class is the mean recall of the classes that the test list shows.
    """
    right = predicted(scores) == label
    among_five = right | in_top(scores, label, 5)
    return {
        "top1": _share(right, seed),
        "top5": _share(among_five, seed),
        "mean_class": _mean_class(right, label, scores.shape[1], seed),
    }


def predicted(scores: NDArray[np.floating]) -> NDArray[np.int64]:
    """[N, K] -> int64 [N]; between equal scores the first class."""
    best: NDArray[np.int64] = scores.argmax(axis=1)
    return best


def in_top(scores: NDArray[np.floating], label: NDArray[np.int64], k: int) -> NDArray[np.bool_]:
    """[N, K], [N] -> whether fewer than k (at most K) other classes score as high as the right one.

    Ties count against it: a class without a single vote is among no five.
    """
    own = np.take_along_axis(scores, label[:, None], axis=1)
    found: NDArray[np.bool_] = (scores >= own).sum(axis=1) - 1 < min(k, scores.shape[1])
    return found


def predictions(test: Labelled, scores: NDArray[np.floating]) -> pd.DataFrame:
    """One row a test video: id, label, prediction (class indices), scores (list of K float32)."""
    return pd.DataFrame(
        {
            "id": test.id.tolist(),
            "label": test.label,
            "prediction": predicted(scores),
            "scores": list(scores.astype(np.float32)),
        }
    )


def _share(right: NDArray[np.bool_], seed: int) -> Metric:
    low, high = bootstrap_interval(right, n=RESAMPLES, level=LEVEL, seed=seed)
    return {"value": float(right.mean()), "low": float(low), "high": float(high)}


def _mean_class(right: NDArray[np.bool_], label: NDArray[np.int64], classes: int, seed: int) -> Metric:
    """Resampling N videos with replacement is one multinomial draw over the 2 K cells (class, right or wrong)."""
    cells = np.bincount(2 * label + right, minlength=2 * classes)
    resampled = np.random.default_rng(seed).multinomial(len(label), cells / len(label), size=RESAMPLES)
    low, high = np.quantile(_mean_recall(resampled), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"value": float(_mean_recall(cells[None])[0]), "low": float(low), "high": float(high)}


def _mean_recall(cells: NDArray[np.int64]) -> NDArray[np.float64]:
    """[R, 2 K] counts of (class, wrong) and (class, right) -> [R]; classes without a video do not enter the mean."""
    wrong, right = cells[:, 0::2], cells[:, 1::2]
    shown = wrong + right > 0
    recall = right / np.maximum(wrong + right, 1)
    mean: NDArray[np.float64] = np.where(shown, recall, 0).sum(axis=1) / shown.sum(axis=1)
    return mean
