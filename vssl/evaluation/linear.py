"""Linear probe: what a single linear layer can read from frozen features.

Source: our choice, close to CVRL's (SGD on fixed features) with the standardisation that MAE's probe gets from its
BatchNorm without affine parameters. Every encoder gets the same grid: a rate that suits one method's features is
another's handicap (V-JEPA 2 trains 20 probes side by side for that reason, but chooses among them on the test split).
"""

import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from vssl.backbones.base import Backbone
from vssl.config.errors import UserError, WorkError
from vssl.evaluation.features import Labelled, join, labelled
from vssl.evaluation.heads import Heads, Point, fit_heads
from vssl.evaluation.metrics import classification, predictions
from vssl.evaluation.protocol import Protocol, Results, Task
from vssl.records.atomic import atomic
from vssl.records.hashes import hash_of

PROBE = "probe.safetensors"


class Linear(Protocol):
    """One linear layer on standardised features, at every rate and decay of a grid; the best on the select split is
    trained again on train and select together, and reads the test list once.

    Args:
        lrs: learning rates at the start; they fall to 0 along a cosine.
        weight_decays: L2 penalties on the weights.
        epochs: passes over the training videos.
        batch_size: videos in a step.
        momentum: of SGD.
    """

    name = "linear"

    def __init__(
        self,
        lrs: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0),
        weight_decays: tuple[float, ...] = (0.0, 1e-2, 1e-1),
        epochs: int = 100,
        batch_size: int = 256,
        momentum: float = 0.9,
    ) -> None:
        if not lrs or min(lrs) <= 0:
            raise ValueError(f"lrs={list(lrs)} must be one or more numbers above 0")
        if not weight_decays or min(weight_decays) < 0:
            raise ValueError(f"weight_decays={list(weight_decays)} must be one or more numbers, 0 or above")
        if epochs < 1 or batch_size < 1:
            raise ValueError(f"epochs={epochs} and batch_size={batch_size} must be 1 or more")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum={momentum} must be in [0, 1)")
        self.lrs, self.weight_decays = lrs, weight_decays
        self.grid = tuple(Point(lr, decay) for lr, decay in itertools.product(lrs, weight_decays))
        self.epochs, self.batch_size, self.momentum = epochs, batch_size, momentum

    def check(self, task: Task) -> None:
        super().check(task)
        if len(self.grid) > 1 and not len(task.carrying(task.select)):
            raise UserError(
                f"linear: there is no select video to choose among {len(self.grid)} settings on",
                "give one: eval.linear.lrs=[0.1] eval.linear.weight_decays=[0.0]",
            )
        if not len(task.carrying(task.train)):
            raise UserError("linear: all training videos are in the select split; there is none to train on")

    def settings(self, task: Task) -> dict[str, Any]:
        return {
            "features": "standardised by training statistics",
            "head": "linear",
            "optimiser": {
                "name": "SGD", "momentum": self.momentum, "schedule": "cosine to 0", "epochs": self.epochs,
                "batch_size": self.batch_size,
            },
            "grid": {"lrs": list(self.lrs), "weight_decays": list(self.weight_decays)},
            "selection": (
                f"top-1 on select ({task.select_rule}), then its loss; trained again on train and select"
                if len(self.grid) > 1
                else "none"
            ),
        }  # fmt: skip

    def run(self, encoder: Backbone, task: Task, out: Path) -> Results:
        train, select = labelled(encoder, task.train, task), labelled(encoder, task.select, task)
        point, chosen = self._choose(train, select, task)
        fit = join(train, select)
        probe = self._fit(fit, (point,), task)
        test = labelled(encoder, task.test, task)  # after every choice
        scores = probe.logits(test.values)[0].softmax(dim=1).cpu().numpy()
        with atomic(out / PROBE) as temporary:
            save_file(probe.tensors(), temporary)
        return Results(
            metrics=classification(scores, test.label, task.seed),
            predictions=predictions(test, scores),
            chosen={"lr": point.lr, "weight_decay": point.weight_decay, **chosen},
            stamp=self.stamp(task),
            inputs=hash_of([fit.inputs, test.inputs]),
            artefacts={"probe": PROBE},
        )

    def _choose(self, train: Labelled, select: Labelled, task: Task) -> tuple[Point, dict[str, Any]]:
        """The point with the best top-1 on `select`, between equals the lower loss there (small lists tie often)."""
        if len(self.grid) == 1:
            return self.grid[0], {}
        logits = self._fit(train, self.grid, task).logits(select.values)  # [G, n, K]
        top1, loss = _judge(logits, torch.from_numpy(select.label).to(logits.device))
        best = min(range(len(self.grid)), key=lambda place: (-top1[place], loss[place]))
        if not math.isfinite(loss[best]):
            raise WorkError("linear: the weights overflowed at every rate", "give lower ones: eval.linear.lrs=[...]")
        point = self.grid[best]
        at_edge = len(self.lrs) > 1 and point.lr in (min(self.lrs), max(self.lrs))
        return point, {"select_top1": top1[best], "select_loss": loss[best], "lr_at_edge": at_edge}

    def _fit(self, data: Labelled, grid: tuple[Point, ...], task: Task) -> "Probe":
        mean, scale = standardisation(data.values)
        features = torch.from_numpy((data.values - mean) / scale).to(task.device)
        heads = fit_heads(
            features, torch.from_numpy(data.label).to(task.device), len(task.classes), grid,
            epochs=self.epochs, batch_size=self.batch_size, momentum=self.momentum, seed=task.seed,
        )  # fmt: skip
        return Probe(mean, scale, heads)


@dataclass(frozen=True)
class Probe:
    """Heads together with the standardisation that they were trained under: mean [D], scale [D]."""

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    heads: Heads

    def logits(self, values: NDArray[np.float32]) -> Tensor:
        """Features as the encoder gives them, [N, D] -> [G, N, K]."""
        return self.heads.logits(torch.from_numpy((values - self.mean) / self.scale).to(self.heads.weight.device))

    def tensors(self) -> dict[str, Tensor]:
        """mean, scale [D], weight [D, K], bias [K] of a single head: logits = (x - mean) / scale @ weight + bias."""
        return {
            "mean": torch.from_numpy(self.mean),
            "scale": torch.from_numpy(self.scale),
            "weight": self.heads.weight[:, 0].cpu().contiguous(),
            "bias": self.heads.bias[0].cpu().contiguous(),
        }


def standardisation(values: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation, [D] each, of [N, D]; 1 in place of a deviation that is nothing but rounding."""
    mean, std = values.mean(axis=0, dtype=np.float64), values.std(axis=0, dtype=np.float64)
    scale = np.where(std > 1e-5 * np.abs(mean), std, 1.0)
    return mean.astype(np.float32), scale.astype(np.float32)


def _judge(logits: Tensor, label: Tensor) -> tuple[list[float], list[float]]:
    """Top-1 and loss of every head, [G, N, K] and [N]; a head that overflowed gets 0 and infinity."""
    points = len(logits)
    finite = logits.isfinite().all(dim=2).all(dim=1)
    top1 = (logits.argmax(dim=2) == label).float().mean(dim=1) * finite
    each = F.cross_entropy(logits.flatten(0, 1), label.repeat(points), reduction="none")
    loss = each.view(points, -1).mean(dim=1).where(finite, torch.inf)
    return top1.tolist(), loss.tolist()
