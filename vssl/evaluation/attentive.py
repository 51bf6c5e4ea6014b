"""Attentive probe: a learned query looks over all tokens of all clips of a video.

Source: V-JEPA, Bardes et al. 2024, arXiv:2404.08471, facebookresearch/jepa; V-JEPA 2, Assran et al. 2025,
arXiv:2506.09985, facebookresearch/vjepa2: evals/video_classification_frozen.
Deviations: tokens are frozen and kept, so training clips are not augmented (released: RandAugment, crops, erasing), and
in fp32 (released: float16). Rates and decays are chosen on the select split (V-JEPA 2: on the test split).
"""

import itertools
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn

from vssl.backbones.base import Backbone
from vssl.config.errors import UserError, WorkError
from vssl.evaluation.attentive_fit import Recipe, State, fit_probes
from vssl.evaluation.attentive_head import AttentiveHead, Output
from vssl.evaluation.eval_views import EvalViews
from vssl.evaluation.features import Labelled, join, labelled
from vssl.evaluation.heads import Point
from vssl.evaluation.metrics import Merged, classification, merge, predicted, predictions
from vssl.evaluation.protocol import Protocol, Results, Task
from vssl.records.atomic import atomic
from vssl.records.hashes import hash_of

PROBE = "probe.safetensors"
HEAD_DIM = 64  # width of a head where `heads` is not given, as in ViT-S, B and L
GB = 1e9

Tokens = NDArray[np.float32]


class Attentive(Protocol):
    """Cross-attention of one query on all tokens, an MLP and a linear layer; the tokens of all clips of a video (and of
    one crop) are looked over together, in training too. Softmax is averaged over crops.

    Args:
        blocks: 1 is V-JEPA's probe; more put self-attention before the query, 4 is V-JEPA 2's.
        heads: of every attention; None: so many that each is about 64 wide (released: the encoder's number, or 16).
        output: output layer of the cross-attention: `none` as both released codes run, or `linear`.
        lrs: learning rates at the start; they fall to 0 along a cosine, without warm-up.
        weight_decays: AdamW's at the start, on all but biases and norms.
        final_decay: what decays fall to along a cosine, where they are above it; None: they stay.
        epochs: passes over the training videos.
        batch_size: most videos in a step.
        clip_grad: largest norm of a probe's gradient; None leaves it as it is.
        features_gb: most that the tokens of a list may take, in memory and in the cache.
    """

    name = "attentive"

    def __init__(
        self,
        blocks: int = 1,
        heads: int | None = None,
        output: Output = "none",
        lrs: tuple[float, ...] = (3e-4, 1e-3, 3e-3),
        weight_decays: tuple[float, ...] = (0.01, 0.1),
        final_decay: float | None = 1e-6,
        epochs: int = 20,
        batch_size: int = 256,
        clip_grad: float | None = 1.0,
        features_gb: float = 16.0,
        **shared,
    ) -> None:
        super().__init__(**shared)
        if blocks < 1 or epochs < 1 or batch_size < 1:
            raise ValueError(f"blocks={blocks}, epochs={epochs} and batch_size={batch_size} must be 1 or more")
        if heads is not None and heads < 1:
            raise ValueError(f"heads={heads} must be 1 or more")
        if not lrs or min(lrs) <= 0:
            raise ValueError(f"lrs={list(lrs)} must be one or more numbers above 0")
        if not weight_decays or min(weight_decays) < 0 or (final_decay or 0) < 0:
            raise ValueError(f"weight_decays={list(weight_decays)} and final_decay={final_decay} must be 0 or above")
        if (clip_grad is not None and clip_grad <= 0) or features_gb <= 0:
            raise ValueError(f"clip_grad={clip_grad} and features_gb={features_gb} must be above 0")
        self.blocks, self.heads, self.output, self.features_gb = blocks, heads, output, features_gb
        self.lrs, self.weight_decays = lrs, weight_decays
        self.grid = tuple(Point(lr, decay) for lr, decay in itertools.product(lrs, weight_decays))
        self.recipe = Recipe(epochs, batch_size, final_decay, clip_grad)

    def check(self, task: Task) -> None:
        super().check(task)
        if len(self.grid) > 1 and not len(task.carrying(task.select)):
            raise UserError(
                f"{self.name}: there is no select video to choose among {len(self.grid)} settings on",
                "give one: eval.attentive.lrs=[0.001] eval.attentive.weight_decays=[0.01]",
            )
        if not len(task.carrying(task.train)):
            raise UserError(f"{self.name}: all training videos are in the select split; there is none to train on")

    def check_encoder(self, encoder: Backbone, task: Task) -> None:
        if type(encoder).tokens is Backbone.tokens or encoder.kind == "pixels":
            raise UserError(
                f"{self.name}: {type(encoder).__name__} gives one summary a clip; it has no tokens to attend to",
                "eval=linear and eval=knn read a summary",
            )
        if self.heads is not None and encoder.embed_dim % self.heads:
            fitting = [heads for heads in range(1, encoder.embed_dim + 1) if encoder.embed_dim % heads == 0]
            near = min(fitting, key=lambda heads: abs(heads - (self.heads or 1)))
            raise UserError(
                f"eval.attentive.heads={self.heads} does not divide the width of the tokens, {encoder.embed_dim}",
                f"eval.attentive.heads={near} does",
            )
        self._check_size(encoder, task)

    def settings(self, task: Task) -> dict[str, Any]:
        return {
            "pooling": "all tokens after the encoder's final norm",
            "features": "tokens of all clips of a crop side by side; training clips as the test clips, centre crop",
            "head": {
                "name": "attentive", "blocks": self.blocks, "heads": self.heads or f"width / {HEAD_DIM}",
                "output layer": self.output, "mlp_ratio": 4,
            },
            "optimiser": {
                "name": "AdamW", "schedule": "cosine to 0, no warm-up", "final_decay": self.recipe.final_decay,
                "epochs": self.recipe.epochs, "batch_size": self.recipe.batch_size, "clip_grad": self.recipe.clip_grad,
            },
            "augmentation": "none",
            "grid": {"lrs": list(self.lrs), "weight_decays": list(self.weight_decays)},
            "selection": (
                f"top-1 on select ({task.select_rule}), then its loss; trained again on train and select"
                if len(self.grid) > 1
                else "none"
            ),
        }  # fmt: skip

    def run(self, encoder: Backbone, task: Task, out: Path) -> Results:
        self.check_encoder(encoder, task)
        views = EvalViews(self.views.clips, 1, self.views.sampling)
        train, select = (labelled(encoder, samples, task, views, tokens=True) for samples in (task.train, task.select))
        build = partial(self._head, encoder.embed_dim, len(task.classes))
        states = [out / f"{name}.state" for name in ("grid", "probe")]
        point, chosen = self._choose(build, train, select, task, states[0])
        fit = join(train, select)
        (probe,) = self._fit(build, fit, (point,), task, states[1])
        del train, select  # tokens are large
        test = labelled(encoder, task.test, task, self.views, tokens=True)  # after every choice
        merged = self._answers(probe, test, task)
        with atomic(out / PROBE) as temporary:
            save_file({name: tensor.cpu().contiguous() for name, tensor in probe.state_dict().items()}, temporary)
        for state in states:
            state.unlink(missing_ok=True)
        return Results(
            metrics=classification(merged.scores, test.label, task.seed),
            predictions=predictions(test, merged),
            chosen={"lr": point.lr, "weight_decay": point.weight_decay, **chosen},
            stamp=self.stamp(task),
            inputs=hash_of([fit.inputs, test.inputs]),
            artefacts={"probe": PROBE},
        )

    def _head(self, dim: int, classes: int) -> AttentiveHead:
        return AttentiveHead(dim, self.heads or heads_for(dim), classes, self.blocks, output=self.output)

    def _check_size(self, encoder: Backbone, task: Task) -> None:
        """Asked before a video is read: tokens of a large set fill any disk."""
        clip = task.clip
        of_clip = 4 * math.prod(encoder.grid((clip.frames, clip.size, clip.size))) * encoder.embed_dim
        training = (len(task.train) + len(task.select)) * self.views.clips
        views = max(training, len(task.test) * self.views.count)
        if (size := views * of_clip / GB) > self.features_gb:
            raise UserError(
                f"{self.name}: the tokens of {views} clips take {size:.3g} GB, above features_gb={self.features_gb:g}",
                f"with that much memory and disk eval.attentive.features_gb={math.ceil(size)}; else fewer "
                "eval.attentive.clips, a smaller clip.size or fewer videos",
            )

    def _choose(
        self, build: partial[AttentiveHead], train: Labelled, select: Labelled, task: Task, state: Path
    ) -> tuple[Point, dict[str, Any]]:
        """The point with the best top-1 on `select`, between equals the lower loss there."""
        if len(self.grid) == 1:
            return self.grid[0], {}
        probes = self._fit(build, train, self.grid, task, state)
        judged = [_judge(self._answers(probe, select, task).scores, select.label) for probe in probes]
        best = min(range(len(self.grid)), key=lambda place: (-judged[place][0], judged[place][1]))
        top1, loss = judged[best]
        if not math.isfinite(loss):
            raise WorkError(f"{self.name}: the weights overflowed at every rate", "give lower ones: eval.attentive.lrs")
        point = self.grid[best]
        at_edge = len(self.lrs) > 1 and point.lr in (min(self.lrs), max(self.lrs))
        return point, {"select_top1": top1, "select_loss": loss, "lr_at_edge": at_edge}

    def _fit(
        self, build: partial[AttentiveHead], data: Labelled, grid: tuple[Point, ...], task: Task, state: Path
    ) -> list[nn.Module]:
        key = hash_of(
            [self.settings(task), data.inputs, data.label.tolist(), task.seed, [vars(point) for point in grid]]
        )
        return fit_probes(
            build, _of_crops(data.values, 1)[:, 0], data.label, grid, self.recipe, State(state, key),
            device=task.device, seed=task.seed,
        )  # fmt: skip

    def _answers(self, probe: nn.Module, data: Labelled, task: Task) -> Merged:
        """Class probabilities of each crop, merged over them."""
        views = data.values.shape[1]
        crops = views // self.views.clips
        batches = max(1, math.ceil(len(data.values) * views / task.batch_size))
        parts = np.array_split(data.values, batches)  # of which the crops are copies
        return merge(np.concatenate([self._probabilities(probe, _of_crops(part, crops), task) for part in parts]))

    @torch.no_grad()
    def _probabilities(self, probe: nn.Module, tokens: Tokens, task: Task) -> NDArray[np.float32]:
        logits = probe(torch.from_numpy(np.ascontiguousarray(tokens)).flatten(0, 1).to(task.device))
        found: NDArray[np.float32] = logits.softmax(dim=1).unflatten(0, tokens.shape[:2]).cpu().numpy()
        return found


def heads_for(dim: int) -> int:
    """The number of heads whose width is nearest to 64, the larger of two equally near: 96 gives 2, 768 gives 12."""
    fitting = [heads for heads in range(dim, 0, -1) if dim % heads == 0]
    return min(fitting, key=lambda heads: abs(dim // heads - HEAD_DIM))


def _of_crops(tokens: Tokens, crops: int) -> Tokens:
    """[N, T * S, n, D], clip-major -> [N, S, T * n, D]: all clips of a crop side by side."""
    videos, views, count, dim = tokens.shape
    in_time = tokens.reshape(videos, views // crops, crops, count, dim)
    return in_time.swapaxes(1, 2).reshape(videos, crops, -1, dim)


def _judge(scores: NDArray[np.floating], label: NDArray[np.int64]) -> tuple[float, float]:
    """Top-1 and loss; 0 and infinity of a probe that overflowed."""
    if not np.isfinite(scores).all():
        return 0.0, math.inf
    own = scores[np.arange(len(label)), label].astype(np.float64)
    return float((predicted(scores) == label).mean()), float(-np.log(np.maximum(own, np.finfo(np.float64).tiny)).mean())
