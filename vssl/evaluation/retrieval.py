"""Retrieval: the training videos most alike a test video; how often is one of its class among them?

Source: CoCLR, Han et al. 2020, arXiv:2010.09709; TengdaHan/CoCLR: eval/main_classifier.py.
Deviations: the released code keeps its colour jitter at test time and pads short videos on the left; nothing is drawn
here, and clips are those of every other protocol. The mean average precision is ours.
"""

import logging
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from vssl.backbones.base import Backbone
from vssl.evaluation.features import Labelled, join, labelled
from vssl.evaluation.metrics import Metric, merge, predictions
from vssl.evaluation.protocol import Protocol, Results, Task
from vssl.evaluation.resampling import class_balanced_metric, mean_metric
from vssl.records.hashes import hash_of

logger = logging.getLogger(__name__)

Centring = Literal["own", "gallery", "none"]

SIMILARITIES = 2**24  # at most so many at once; each is ranked
NEVER = -1.0  # the least cosine: of a class that the gallery does not show


class Retrieval(Protocol):
    """Test videos ask, training videos (select among them) are the gallery; features are averaged over the views of a
    video, centred, and compared by cosine. Nothing is trained.

    Args:
        ks: R@k is the share of queries with a video of their class among the k nearest. Values above the gallery's size
            are left out and named.
        centring: `own` takes from each set its own mean, as CoCLR does: the queries are then not answered one by one,
            each depends on all of them (transductive). `gallery` takes the gallery's mean from both.
    """

    name = "retrieval"

    def __init__(self, ks: tuple[int, ...] = (1, 5, 10, 20, 50), centring: Centring = "own", **shared) -> None:
        super().__init__(**shared)
        if not ks or min(ks) < 1:
            raise ValueError(f"ks={list(ks)} must be one or more numbers, 1 or above")
        self.ks, self.centring = tuple(sorted({1, *ks})), centring

    def settings(self, task: Task) -> dict[str, Any]:
        return {
            "features": "mean over the views of a video, L2-normalised after centring",
            "centring": {
                "own": "each set by its own mean", "gallery": "both sets by the gallery's mean", "none": "none",
            }[self.centring],
            "transductive": self.centring == "own",
            "gallery": "train and select, read with the same views",
            "head": "none: cosine",
            "ks": list(self.ks),
            "optimiser": None,
            "grid": None,
            "selection": "none",
        }  # fmt: skip

    def run(self, encoder: Backbone, task: Task, out: Path) -> Results:
        gallery = join(*(labelled(encoder, samples, task, self.views) for samples in (task.train, task.select)))
        test = labelled(encoder, task.test, task, self.views)
        ks = [k for k in self.ks if k <= len(gallery.label)]
        if left_out := [k for k in self.ks if k not in ks]:
            logger.warning("retrieval: R@%s left out: there are %d gallery videos", left_out, len(gallery.label))
        found = self._search(gallery, test, task, ks)
        recall = {f"recall_at_{k}": mean_metric(hit, task.seed) for k, hit in zip(ks, found.hits.T, strict=True)}
        precision: dict[str, Metric] = {"map": class_balanced_metric(found.precision, test.label, task.seed)}
        return Results(
            # R@1 is the accuracy of one nearest neighbour, under the name that every protocol has.
            metrics={"top1": recall["recall_at_1"], **recall, **precision},
            predictions=predictions(test, merge(found.scores[:, None])),
            chosen={"left_out": left_out},
            stamp=self.stamp(task),
            inputs=hash_of([gallery.inputs, test.inputs]),
        )

    def _search(self, gallery: Labelled, test: Labelled, task: Task, ks: list[int]) -> "Found":
        queries, bank = self._centred(test.values.mean(axis=1), gallery.values.mean(axis=1))
        label, asked = (torch.from_numpy(part.label).to(task.device) for part in (gallery, test))
        return search(
            torch.from_numpy(queries).to(task.device), torch.from_numpy(bank).to(task.device),
            asked, label, len(task.classes), ks,
        )  # fmt: skip

    def _centred(
        self, queries: NDArray[np.float32], gallery: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if self.centring == "none":
            return queries, gallery
        centre = gallery.mean(axis=0)
        return queries - (queries.mean(axis=0) if self.centring == "own" else centre), gallery - centre


class Found:
    """What was found for each query.

    Args:
        hits: bool [Q, len(ks)], whether one of the k nearest is of the query's class.
        precision: [Q], the average precision of the ranked gallery.
        scores: [Q, K], the cosine of the nearest video of each class.
    """

    def __init__(self, hits: Tensor, precision: Tensor, scores: Tensor) -> None:
        self.hits, self.precision, self.scores = (part.cpu().numpy() for part in (hits, precision, scores))


def search(queries: Tensor, gallery: Tensor, asked: Tensor, label: Tensor, classes: int, ks: list[int]) -> Found:
    """Ranks the gallery for every query; of equals the first in the gallery comes first.

    Args:
        queries: [Q, D], of the classes `asked`, int64 [Q]. gallery: [N, D], of the classes `label`, int64 [N].
    """
    queries, gallery = F.normalize(queries, dim=1), F.normalize(gallery, dim=1)
    rows = max(1, SIMILARITIES // len(gallery))
    parts = [
        _search(part, gallery, of_part, label, classes, ks)
        for part, of_part in zip(torch.split(queries, rows), torch.split(asked, rows), strict=True)
    ]
    return Found(*(torch.cat(part) for part in zip(*parts, strict=True)))


def _search(
    queries: Tensor, gallery: Tensor, asked: Tensor, label: Tensor, classes: int, ks: list[int]
) -> tuple[Tensor, Tensor, Tensor]:
    similarity = queries @ gallery.T
    order = similarity.argsort(dim=1, descending=True, stable=True)
    relevant = label[order] == asked[:, None]  # [Q, N], nearest first
    hits = torch.stack([relevant[:, :k].any(dim=1) for k in ks], dim=1)
    rank = torch.arange(1, len(gallery) + 1, device=queries.device)
    share = relevant.cumsum(dim=1).double() / rank  # of the first r, how many are of the class
    precision = (share * relevant).sum(dim=1) / relevant.sum(dim=1).clamp(min=1)
    scores = similarity.new_full((len(queries), classes), NEVER)
    scores = scores.scatter_reduce(1, label.expand_as(similarity), similarity, "amax")
    return hits, precision, scores
