"""Low-shot: the linear probe when only a few of the training videos may be looked at with their labels.

Source: our choice; the video papers that we read state no protocol. Shares of 1 and 10 % are usual on images.
"""

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vssl.backbones.base import Backbone
from vssl.config.errors import UserError
from vssl.evaluation.features import Labelled, join, labelled
from vssl.evaluation.heads import Point
from vssl.evaluation.linear import Linear, Probe
from vssl.evaluation.metrics import Metric, classification, merge, predicted, predictions
from vssl.evaluation.protocol import Results, Task
from vssl.records.hashes import hash_of
from vssl.statistics import mean_std_t
from vssl.video.draws import permutation

logger = logging.getLogger(__name__)


class LowShot(Linear):
    """The linear probe on subsets of the training videos: for each share several draws, stratified by class, with one
    video a class at least. Of one draw, the videos of a smaller share are among those of a larger one.

    No label beyond the subset is used: settings are chosen on those of its videos that lie in the select split. Where
    these are fewer than the classes, the point in the middle of the grid is taken.

    Args:
        shares: of the training videos, train and select together.
        draws: subsets of each share.
    """

    name = "lowshot"
    multi_label = False  # a share of the labels is drawn class by class

    def __init__(self, shares: tuple[float, ...] = (0.01, 0.05, 0.1, 0.5), draws: int = 5, **shared) -> None:
        super().__init__(**shared)
        if not shares or min(shares) <= 0 or max(shares) > 1:
            raise ValueError(f"shares={list(shares)} must be one or more numbers above 0, up to 1")
        if draws < 1:
            raise ValueError(f"draws={draws} must be 1 or more")
        self.shares, self.draws = tuple(sorted(set(shares))), draws

    def check(self, task: Task) -> None:
        super().check(task)
        label = np.concatenate([task.carrying(task.train), task.carrying(task.select)])
        if len(label) < len(task.classes):
            raise UserError(
                f"lowshot: {len(label)} training videos carry the label '{task.label}', fewer than its "
                f"{len(task.classes)} classes; a subset needs one of each",
                "give more training videos, or evaluate with eval=knn",
            )

    def settings(self, task: Task) -> dict[str, Any]:
        return {
            **super().settings(task),
            "shares": list(self.shares),
            "draws": self.draws,
            "subsets": "by class, at least one video each, nested; of train and select",
            "selection": (
                f"top-1 on the subset's part of select ({task.select_rule}), then its loss; the middle of the grid "
                "where that part has fewer videos than there are classes; trained again on the subset"
            ),
            "predictions": f"softmax averaged over the draws at {max(self.shares):g}",
        }

    def run(self, encoder: Backbone, task: Task, out: Path) -> Results:
        train, select = (labelled(encoder, samples, task) for samples in (task.train, task.select))
        pool, held_back = join(train, select), np.arange(len(train.label) + len(select.label)) >= len(train.label)
        rows = {
            share: [subset(pool.label, share, task.seed, draw) for draw in range(self.draws)] for share in self.shares
        }
        smallest = np.unique(pool.label, return_counts=True)[1].min()
        if lifted := [share for share in self.shares if share * smallest < 0.5]:
            logger.warning("lowshot: shares %s are less than a video of some class, which has one then", lifted)
        fitted = {share: [self._subset_probe(pool, held_back, part, task) for part in rows[share]] for share in rows}
        test = labelled(encoder, task.test, task, self.views)  # after every choice
        found = {share: [probe.probabilities(test.values) for probe, _ in fitted[share]] for share in fitted}
        right = {
            share: [float((predicted(merge(one).scores) == test.label).mean()) for one in of_draws]
            for share, of_draws in found.items()
        }
        merged = merge(np.mean(found[max(self.shares)], axis=0))
        return Results(
            metrics={
                **classification(merged.scores, test.label, task.seed),
                **{f"top1_at_{share:g}": over_draws(values) for share, values in right.items()},
            },
            predictions=predictions(test, merged),
            chosen={
                f"at_{share:g}": {
                    "labels": len(rows[share][0]),
                    "top1": right[share],
                    "points": [{"lr": point.lr, "weight_decay": point.weight_decay} for _, point in fitted[share]],
                }
                for share in self.shares
            },
            stamp=self.stamp(task),
            inputs=hash_of([pool.inputs, test.inputs]),
        )

    def _subset_probe(
        self, pool: Labelled, held_back: NDArray[np.bool_], rows: NDArray[np.int64], task: Task
    ) -> tuple[Probe, Point]:
        held, kept = taken(pool, rows[held_back[rows]]), taken(pool, rows[~held_back[rows]])
        point = self.grid[len(self.grid) // 2]
        if len(held.label) >= len(task.classes) and len(np.unique(kept.label)) > 1:
            point, _ = self._choose(kept, held, task)
        return self._fit(taken(pool, rows), (point,), task), point


def subset(label: NDArray[np.int64], share: float, seed: int, draw: int) -> NDArray[np.int64]:
    """Rows of a stratified subset, ascending: of each class the share, rounded half up, at least one.

    A pure function of (seed, draw) and the list; the rows of a smaller share are among those of a larger one.
    """
    order = permutation(seed, draw, len(label))
    chosen = []
    for one in np.unique(label):
        of_class = order[label[order] == one]
        chosen.append(of_class[: max(1, math.floor(share * len(of_class) + 0.5))])
    return np.sort(np.concatenate(chosen))


def over_draws(values: Sequence[float]) -> Metric:
    """The mean with its t interval from three draws on, with the least and greatest below; within [0, 1]."""
    summary = mean_std_t(values)
    low, high = summary.low, summary.high
    if low is None or high is None:
        low, high = min(values), max(values)
    return {"value": summary.mean, "low": max(0.0, low), "high": min(1.0, high)}


def taken(data: Labelled, rows: NDArray[np.int64]) -> Labelled:
    return Labelled(data.id[rows], data.values[rows], data.label[rows], data.inputs)
