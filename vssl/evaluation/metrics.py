"""Shares of right answers, each with the interval that other test videos would have moved it in."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vssl.evaluation.features import Labelled
from vssl.evaluation.precision import average_precisions, mean_average_precision, sets_of
from vssl.records.atomic import write_text
from vssl.statistics import bootstrap_interval

RESAMPLES = 2000
LEVEL = 0.95
LIKELY = 0.5  # a class with more than this share or probability is predicted, where a video may carry several
PER_CLASS, CONFUSION = "per_class.csv", "confusion.csv"

Metric = dict[str, float]
MAIN = {False: "top-1", True: "mAP"}  # what settings are chosen by: of one class a video, and of several


def measured(scores: NDArray[np.floating], test: Labelled, seed: int = 0) -> dict[str, Metric]:
    """The metrics of a list: of videos with one class each, or with several."""
    if test.truth is None:
        return classification(scores, test.label, seed)
    return {"map": mean_average_precision(scores, test.truth, seed)}


def main_metric(data: Labelled) -> str:
    """What settings are chosen by, as records call it."""
    return "top1" if data.truth is None else "map"


def chosen_by(scores: NDArray[np.floating], select: Labelled) -> float:
    """The main metric of scores [n, K]."""
    if select.truth is None:
        return float((predicted(scores) == select.label).mean())
    return float(np.nanmean(average_precisions(scores, select.truth))) if select.truth.any() else 0.0


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


@dataclass(frozen=True)
class Merged:
    """Scores of videos that were read in several views: of each view [N, V, K], and of the video [N, K]."""

    of_views: NDArray[np.floating]
    scores: NDArray[np.floating]


def merge(of_views: NDArray[np.floating]) -> Merged:
    """The mean over views of probabilities, or of shares of votes, [N, V, K].

    Source: MCG-NJU/VideoMAE@14ef8d8: engine_for_finetuning.py, merge (softmax of each view, then the mean). How votes
    of kNN are merged is not published: they are averaged alike, which is our choice.
    """
    return Merged(of_views, of_views[:, 0] if of_views.shape[1] == 1 else of_views.mean(axis=1))


def predictions(test: Labelled, found: Merged | NDArray[np.floating]) -> pd.DataFrame:
    """One row a test video: id, label, prediction (class indices), scores (list of K float32).

    Where a video may carry several classes, label and prediction are lists of them, predicted those above `LIKELY`.

    Args:
        found: scores [N, K]; merged from several views they bring `view_scores`, V lists of K.
    """
    merged = found if isinstance(found, Merged) else Merged(found[:, None], found)
    columns: dict[str, Any] = {
        "id": test.id.tolist(),
        "label": test.label if test.truth is None else sets_of(test.truth),
        "prediction": predicted(merged.scores) if test.truth is None else sets_of(merged.scores > LIKELY),
        "scores": list(merged.scores.astype(np.float32)),
    }
    if merged.of_views.shape[1] > 1:
        columns["view_scores"] = [list(views) for views in merged.of_views.astype(np.float32)]
    return pd.DataFrame(columns)


def write_class_tables(out: Path, predictions: pd.DataFrame, classes: Sequence[str]) -> dict[str, str]:
    """`per_class.csv`, a row a class of the test list, and `confusion.csv`, a row a true class, a column a predicted
    one, counts of test videos; of videos with several classes average precisions alone. Returns the names of the files
    by artefact."""
    if not pd.api.types.is_integer_dtype(predictions["label"]):
        return _write_precisions(out, predictions, classes)
    label, prediction = predictions["label"].to_numpy(), predictions["prediction"].to_numpy()
    table = confusion(label, prediction, len(classes))
    right, videos, called = table.diagonal(), table.sum(axis=1), table.sum(axis=0)
    rows = pd.DataFrame(
        {
            "class": list(classes),
            "videos": videos,
            "right": right,
            "recall": np.where(videos > 0, right / np.maximum(videos, 1), np.nan),
            "predicted": called,
            "precision": np.where(called > 0, right / np.maximum(called, 1), np.nan),
        }
    )
    matrix = pd.DataFrame(table, index=pd.Index(classes, name="class"), columns=list(classes))
    write_text(out / PER_CLASS, rows.to_csv(index=False, lineterminator="\n"))
    write_text(out / CONFUSION, matrix.to_csv(lineterminator="\n"))
    return {"per_class": PER_CLASS, "confusion": CONFUSION}


def _write_precisions(out: Path, predictions: pd.DataFrame, classes: Sequence[str]) -> dict[str, str]:
    scores = np.stack(predictions["scores"].to_list())
    truth = np.zeros(scores.shape, np.bool_)
    for row, carried in zip(truth, predictions["label"], strict=True):
        row[carried] = True
    precision = average_precisions(scores, truth)
    rows = pd.DataFrame({"class": list(classes), "videos": truth.sum(axis=0), "average_precision": precision})
    write_text(out / PER_CLASS, rows.to_csv(index=False, lineterminator="\n"))
    return {"per_class": PER_CLASS}


def confusion(label: NDArray[np.int64], prediction: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """[K, K] counts: row true class, column predicted one."""
    counts = np.bincount(label * classes + prediction, minlength=classes * classes)
    return counts.reshape(classes, classes)


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
