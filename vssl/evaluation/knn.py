"""k nearest neighbours: the training videos most alike vote, the more alike the more.

Source: Wu et al. 2018, arXiv:1805.01978, Eq. 8; facebookresearch/dino eval_knn.py.
Deviation: settings are chosen on held-back training videos, never on the test list.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from vssl.backbones.base import Backbone
from vssl.config.errors import UserError
from vssl.evaluation.features import Labelled, join, labelled
from vssl.evaluation.metrics import MAIN, chosen_by, main_metric, measured, merge, predictions
from vssl.evaluation.protocol import Protocol, Results, Task
from vssl.records.hashes import hash_of

logger = logging.getLogger(__name__)

SIMILARITIES = 2**26  # at most so many at once


class Knn(Protocol):
    """Cosine similarity s on L2-normalised features; each of the k nearest training videos votes exp(s / temperature).

    Args:
        k: neighbours; several are a grid, chosen by top-1 on the select split. Of a grid, values above the number of
            training videos are left out and named; where none is left, all training videos vote.
        temperature: lower makes near neighbours count more.
    """

    name = "knn"
    multi_label = True

    def __init__(self, k: int | tuple[int, ...] = (20,), temperature: float = 0.07, **shared) -> None:
        super().__init__(**shared)
        grid = (k,) if isinstance(k, int) else tuple(k)
        if not grid or min(grid) < 1:
            raise ValueError(f"k={k} must be 1 or more")
        if temperature <= 0:
            raise ValueError(f"temperature={temperature} must be above 0")
        self.by_hand = isinstance(k, int)
        self.grid, self.temperature = grid, temperature

    def check(self, task: Task) -> None:
        super().check(task)
        videos = len(task.carrying(task.train)) + len(task.carrying(task.select))
        if self.by_hand and self.grid[0] > videos:
            raise UserError(
                f"k={self.grid[0]} is above the {videos} training videos that carry the label '{task.label}'",
                f"eval.knn.k={videos} lets all of them vote; values of a list that are too large are left out",
            )
        if len(self._usable(videos)) > 1 and not len(task.carrying(task.select)):
            raise UserError(f"k={list(self.grid)}: no select video is there to choose on", "give one: eval.knn.k=20")

    def settings(self, task: Task) -> dict[str, Any]:
        return {
            "features": "L2-normalised",
            "head": "votes of the k nearest by cosine, weighted exp(cosine / temperature)",
            "temperature": self.temperature,
            "optimiser": None,
            "grid": {"k": list(self.grid)},
            "selection": _selection(task) if len(self.grid) > 1 else "none",
        }

    def run(self, encoder: Backbone, task: Task, out: Path) -> Results:
        train, select = labelled(encoder, task.train, task), labelled(encoder, task.select, task)
        fit = join(train, select)
        usable = self._usable(len(fit.label))
        if left_out := [k for k in self.grid if k not in usable]:
            logger.warning("knn: k=%s left out: there are %d training videos", left_out, len(fit.label))
        k, chosen = self._choose(usable, train, select, task)
        test = labelled(encoder, task.test, task, self.views)  # after every choice
        (found,) = self._scores(test.values.reshape(-1, test.values.shape[-1]), fit, (k,), task)
        merged = merge(found.reshape(len(test.id), -1, len(task.classes)))
        return Results(
            metrics=measured(merged.scores, test, task.seed),
            predictions=predictions(test, merged),
            chosen={"k": k, **chosen, "left_out": left_out},
            stamp=self.stamp(task),
            inputs=hash_of([fit.inputs, test.inputs]),
        )

    def _usable(self, videos: int) -> list[int]:
        return [k for k in self.grid if k <= videos] or [videos]

    def _choose(self, grid: list[int], train: Labelled, select: Labelled, task: Task) -> tuple[int, dict[str, Any]]:
        """The k with the best top-1 (mAP) on `select`; between equals the first of the grid."""
        if len(grid) == 1:
            return grid[0], {}
        found = [chosen_by(scores, select) for scores in self._scores(select.centre(), train, grid, task)]
        best = int(np.argmax(found))
        return grid[best], {f"select_{main_metric(select)}": found[best]}

    def _scores(
        self, queries: NDArray[np.float32], bank: Labelled, ks: Sequence[int], task: Task
    ) -> list[NDArray[np.float32]]:
        found = votes(
            torch.from_numpy(queries).to(task.device), torch.from_numpy(bank.centre()).to(task.device),
            torch.from_numpy(bank.label if bank.truth is None else bank.truth).to(task.device), len(task.classes), ks,
            self.temperature,
        )  # fmt: skip
        return list(found.cpu().numpy())


def votes(queries: Tensor, bank: Tensor, label: Tensor, classes: int, ks: Sequence[int], temperature: float) -> Tensor:
    """Shares of the votes, for several numbers of neighbours at once.

    Args:
        queries: [Q, D]. bank: [N, D].
        label: int64 [N], of the bank; or bool [N, classes], where each votes for all classes that it carries.
        ks: neighbours; more than N are N.
    Returns:
        [len(ks), Q, classes], shares of the weight; of one class a video they sum to 1.
    """
    queries, bank = F.normalize(queries, dim=1), F.normalize(bank, dim=1)
    chunks = torch.split(queries, max(1, SIMILARITIES // len(bank)))
    return torch.cat([_votes(chunk, bank, label, classes, ks, temperature) for chunk in chunks], dim=1)


def _votes(queries: Tensor, bank: Tensor, label: Tensor, classes: int, ks: Sequence[int], temperature: float) -> Tensor:
    similarity, place = (queries @ bank.T).topk(min(max(ks), len(bank)), dim=1)  # [Q, k], nearest first
    # The nearest one's weight is set to 1, which changes no share and cannot overflow at low temperatures.
    weight = ((similarity - similarity[:, :1]) / temperature).exp()
    tallies = torch.zeros(len(ks), len(queries), classes, dtype=weight.dtype, device=weight.device)
    if label.ndim == 2:
        for tally, k in zip(tallies, ks, strict=True):
            share = weight[:, :k] / weight[:, :k].sum(dim=1, keepdim=True)
            tally.copy_(torch.einsum("qk,qkc->qc", share, label[place[:, :k]].to(weight.dtype)))
        return tallies
    for tally, k in zip(tallies, ks, strict=True):
        tally.scatter_add_(1, label[place[:, :k]], weight[:, :k])
    return tallies / tallies.sum(dim=2, keepdim=True)


def _selection(task: Task) -> str:
    return f"{MAIN[task.is_multi]} on select ({task.select_rule}), the first of equals; bank of train and select"
