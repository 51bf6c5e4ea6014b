"""Linear probe: what a single linear layer can read from frozen features.

Source: our choice, close to CVRL's (SGD on fixed features) with the standardisation that MAE's probe gets from its
BatchNorm without affine parameters. Every encoder gets the same grid: a rate that suits one method's features is
another's handicap (V-JEPA 2 trains 20 probes side by side for that reason, but chooses among them on the test split).
"""

import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from vssl.backbones.base import Backbone
from vssl.config.errors import UserError, WorkError
from vssl.evaluation.features import Labelled, join, labelled
from vssl.evaluation.head_rules import Fall, Optimiser
from vssl.evaluation.heads import Heads, Point, fit_heads
from vssl.evaluation.metrics import MAIN, chosen_by, main_metric, measured, merge, predictions
from vssl.evaluation.protocol import Protocol, Results, Task
from vssl.records.atomic import atomic
from vssl.records.hashes import hash_of

PROBE = "probe.safetensors"

Normalise = Literal["standardise", "l2", "none"]

FEATURES = {"standardise": "standardised by training statistics", "l2": "L2-normalised", "none": "as they are"}
NAMES: dict[Optimiser, str] = {"sgd": "SGD", "lars": "LARS", "adam": "Adam"}


class Linear(Protocol):
    """One linear layer on standardised features, at every rate and decay of a grid; the best on the select split is
    trained again on train and select together, and reads the test list once.

    Args:
        lrs: learning rates at the start; they fall to 0 along a cosine.
        weight_decays: L2 penalties on the weights.
        epochs: passes over the training videos.
        batch_size: videos in a step.
        momentum: of SGD and LARS.
        normalise: of features: `standardise` by training statistics, `l2` to length 1, or `none`.
        optimiser: sgd, lars (one trust ratio a head, biases without) or adam.
        warmup_epochs: the rate rises linearly from 0.
        drop_epochs: the rate is multiplied by `drop` after each of them, and falls by steps alone; none is a cosine.
        reference_batch: `lrs` are those of a step of so many videos, and grow with the videos in ours; None: as given.
        init_std: standard deviation of the first weights; biases begin at 0.
    """

    name = "linear"
    multi_label = True

    def __init__(
        self,
        lrs: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0),
        weight_decays: tuple[float, ...] = (0.0, 1e-2, 1e-1),
        epochs: int = 100,
        batch_size: int = 256,
        momentum: float = 0.9,
        normalise: Normalise = "standardise",
        optimiser: Optimiser = "sgd",
        warmup_epochs: float = 0.0,
        drop_epochs: tuple[int, ...] = (),
        drop: float = 0.1,
        reference_batch: int | None = None,
        init_std: float = 0.0,
        **shared,
    ) -> None:
        super().__init__(**shared)
        if not lrs or min(lrs) <= 0:
            raise ValueError(f"lrs={list(lrs)} must be one or more numbers above 0")
        if not weight_decays or min(weight_decays) < 0:
            raise ValueError(f"weight_decays={list(weight_decays)} must be one or more numbers, 0 or above")
        if epochs < 1 or batch_size < 1:
            raise ValueError(f"epochs={epochs} and batch_size={batch_size} must be 1 or more")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum={momentum} must be in [0, 1)")
        if not 0 <= warmup_epochs < epochs or not all(0 < place < epochs for place in drop_epochs):
            raise ValueError(
                f"warmup_epochs={warmup_epochs} and drop_epochs={list(drop_epochs)} must lie within epochs={epochs}"
            )
        if init_std < 0 or drop <= 0 or (reference_batch or 1) < 1:
            raise ValueError(
                f"init_std={init_std} (0 or more), drop={drop} and reference_batch={reference_batch} (above 0)"
            )
        self.normalise, self.optimiser, self.init_std = normalise, optimiser, init_std
        self.fall = Fall(warmup_epochs / epochs, tuple(place / epochs for place in drop_epochs), drop)
        self.schedule = _schedule(warmup_epochs, drop_epochs, drop)
        self.reference_batch = reference_batch
        self.lrs, self.weight_decays = lrs, weight_decays
        self.grid = tuple(Point(lr, decay) for lr, decay in itertools.product(lrs, weight_decays))
        self.epochs, self.batch_size, self.momentum = epochs, batch_size, momentum

    def check(self, task: Task) -> None:
        super().check(task)
        if len(self.grid) > 1 and not len(task.carrying(task.select)):
            raise UserError(
                f"{self.name}: there is no select video to choose among {len(self.grid)} settings on",
                f"give one: eval.{self.name}.lrs=[0.1] eval.{self.name}.weight_decays=[0.0]",
            )
        if not len(task.carrying(task.train)):
            raise UserError(f"{self.name}: all training videos are in the select split; there is none to train on")

    def settings(self, task: Task) -> dict[str, Any]:
        return {
            "features": FEATURES[self.normalise],
            "head": "linear, a sigmoid a class" if task.is_multi else "linear",
            "optimiser": {
                "name": NAMES[self.optimiser], **({} if self.optimiser == "adam" else {"momentum": self.momentum}),
                "schedule": self.schedule, "epochs": self.epochs, "batch_size": self.batch_size,
                # What came later enters where it is used, so that stamps of older records stay comparable.
                **({"reference_batch": self.reference_batch} if self.reference_batch else {}),
                **({"init_std": self.init_std} if self.init_std else {}),
            },
            "grid": {"lrs": list(self.lrs), "weight_decays": list(self.weight_decays)},
            "selection": (
                f"{MAIN[task.is_multi]} on select ({task.select_rule}), then its loss; "
                "trained again on train and select"
                if len(self.grid) > 1
                else "none"
            ),
        }  # fmt: skip

    def run(self, encoder: Backbone, task: Task, out: Path) -> Results:
        train, select = labelled(encoder, task.train, task), labelled(encoder, task.select, task)
        point, chosen = self._choose(train, select, task)
        fit = join(train, select)
        probe = self._fit(fit, (point,), task)
        test = labelled(encoder, task.test, task, self.views)  # after every choice
        merged = merge(probe.probabilities(test.values))
        with atomic(out / PROBE) as temporary:
            save_file(probe.tensors(), temporary)
        return Results(
            metrics=measured(merged.scores, test, task.seed),
            predictions=predictions(test, merged),
            chosen={"lr": point.lr, "weight_decay": point.weight_decay, **chosen},
            stamp=self.stamp(task),
            inputs=hash_of([fit.inputs, test.inputs]),
            artefacts={"probe": PROBE},
        )

    def _choose(self, train: Labelled, select: Labelled, task: Task) -> tuple[Point, dict[str, Any]]:
        """The point with the best top-1 (mAP) on `select`, between equals the lower loss (small lists tie often)."""
        if len(self.grid) == 1:
            return self.grid[0], {}
        logits = self._fit(train, self.grid, task).logits(select.centre())  # [G, n, K]
        value, loss = _judge(logits, select)
        best = min(range(len(self.grid)), key=lambda place: (-value[place], loss[place]))
        if not math.isfinite(loss[best]):
            raise WorkError(
                f"{self.name}: the weights overflowed at every rate", f"give lower ones: eval.{self.name}.lrs=[...]"
            )
        point = self.grid[best]
        at_edge = len(self.lrs) > 1 and point.lr in (min(self.lrs), max(self.lrs))
        return point, {f"select_{main_metric(select)}": value[best], "select_loss": loss[best], "lr_at_edge": at_edge}

    def _fit(self, data: Labelled, grid: tuple[Point, ...], task: Task) -> "Probe":
        values = data.centre()
        values = unit(values) if self.normalise == "l2" else values
        mean, scale = standardisation(values) if self.normalise == "standardise" else unmoved(values)
        features = torch.from_numpy((values - mean) / scale).to(task.device)
        if self.reference_batch:
            factor = min(self.batch_size, len(values)) / self.reference_batch
            grid = tuple(Point(factor * point.lr, point.weight_decay) for point in grid)
        heads = fit_heads(
            features, target_of(data).to(task.device), len(task.classes), grid,
            epochs=self.epochs, batch_size=self.batch_size, momentum=self.momentum, seed=task.seed,
            optimiser=self.optimiser, fall=self.fall, init_std=self.init_std,
        )  # fmt: skip
        return Probe(mean, scale, heads, self.normalise == "l2", task.is_multi)


@dataclass(frozen=True)
class Probe:
    """Heads together with what they were trained under: mean [D], scale [D], features of length 1 where `l2`, a sigmoid
    a class where `several` may be right."""

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    heads: Heads
    l2: bool = False
    several: bool = False

    def logits(self, values: NDArray[np.float32]) -> Tensor:
        """Features as the encoder gives them, [N, D] -> [G, N, K]."""
        values = unit(values) if self.l2 else values
        return self.heads.logits(torch.from_numpy((values - self.mean) / self.scale).to(self.heads.weight.device))

    def probabilities(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of a single head and several views: [N, V, D] -> [N, V, K]."""
        (logits,) = self.logits(values.reshape(-1, values.shape[-1]))
        found: NDArray[np.float32] = (logits.sigmoid() if self.several else logits.softmax(dim=1)).cpu().numpy()
        return found.reshape(*values.shape[:2], -1)

    def tensors(self) -> dict[str, Tensor]:
        """mean, scale [D], weight [D, K], bias [K] of a single head: logits = (x - mean) / scale @ weight + bias, x of
        length 1 with normalise=l2."""
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


def unmoved(values: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The mean 0 and the scale 1, [D] each, of features that are taken as they are."""
    width = values.shape[1]
    return np.zeros(width, np.float32), np.ones(width, np.float32)


def unit(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """[N, D] -> rows of length 1; a row of zeros stays."""
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)


def _schedule(warmup_epochs: float, drop_epochs: tuple[int, ...], drop: float) -> str:
    begin = f"{warmup_epochs:g} epochs of warm-up, " if warmup_epochs else ""
    steps = f"times {drop:g} after epochs {', '.join(map(str, drop_epochs))}"
    return begin + (steps if drop_epochs else "cosine to 0")


def target_of(data: Labelled) -> Tensor:
    """int64 [n], or bool [n, K] where videos may carry several classes."""
    return torch.from_numpy(data.label if data.truth is None else data.truth)


def _judge(logits: Tensor, select: Labelled) -> tuple[list[float], list[float]]:
    """Top-1 (mAP) and loss of every head, [G, n, K]; a head that overflowed gets 0 and infinity."""
    target = target_of(select).to(logits.device)
    finite = logits.isfinite().all(dim=2).all(dim=1)
    if select.truth is None:
        value = ((logits.argmax(dim=2) == target).float().mean(dim=1) * finite).tolist()
        each = F.cross_entropy(logits.flatten(0, 1), target.repeat(len(logits)), reduction="none")
    else:
        scores = logits.nan_to_num().cpu().numpy()
        value = [chosen_by(found, select) if ok else 0.0 for found, ok in zip(scores, finite.tolist(), strict=True)]
        each = F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype).expand_as(logits), reduction="none")
        each = each.sum(dim=2)
    loss = each.reshape(len(logits), -1).mean(dim=1).where(finite, torch.inf)
    return value, loss.tolist()
