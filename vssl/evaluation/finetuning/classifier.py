"""A classifier on an encoder, all of it trained: what fine-tuning moves, and what is left of it at the end.

Source: MCG-NJU/VideoMAE@14ef8d8: modeling_finetune.py, run_class_finetuning.py, engine_for_finetuning.py.
"""

import math

from vssl import _torchvision  # noqa: F401  (before torchvision)

# isort: split
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import StochasticDepth

from vssl.backbones.base import Backbone
from vssl.losses.precision import at_least_float32
from vssl.method import Batch, Method, Progress
from vssl.nn.drop_path import DropPath, rising
from vssl.nn.momentum import follow, frozen_copy
from vssl.video.augmentation.mixing import Mixing, soft_targets

NORM_EPS = 1e-6  # transformers' fc_norm has 1e-5
HEAD_STD = 0.02


class Head(nn.Module):
    """A norm where the encoder's was taken away, dropout, one linear layer.

    Args:
        normed: whether there is a norm.
        scale: of the first weights, whose deviation is `HEAD_STD`; small ones begin at equal probabilities.
    """

    def __init__(self, dim: int, classes: int, normed: bool, dropout: float = 0.0, scale: float = 1.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS) if normed else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(dim, classes)
        nn.init.trunc_normal_(self.linear.weight, std=HEAD_STD)
        nn.init.zeros_(self.linear.bias)
        with torch.no_grad():
            self.linear.weight.mul_(scale)

    def forward(self, summary: Tensor) -> Tensor:
        """[B, D] -> logits [B, K]."""
        return self.linear(self.dropout(self.norm(summary)))


class Network(nn.Module):
    """Encoder and head: a clip in, its logits out. Read as encoders are, so it tells the width of what it gives.

    Attributes:
        embed_dim: classes (K).
    """

    def __init__(self, encoder: Backbone, head: Head) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head
        self.embed_dim = head.linear.out_features

    def forward(self, clip: Tensor) -> Tensor:
        """[B, C, T, H, W] in [0, 1] -> [B, K]."""
        return self.head(self.encoder(clip))


def network(encoder: Backbone, classes: int, dropout: float = 0.0, scale: float = 1.0) -> Network:
    """A classifier on `encoder`, which loses its final norm where it is one to be taken (`Backbone.take_norm`)."""
    normed = encoder.take_norm() is not None
    return Network(encoder, Head(encoder.embed_dim, classes, normed, dropout, scale))


class Classifier(Method):
    """Trains encoder and head on one label, with soft targets.

    Args:
        network: its encoder and head are trained; they stay its own.
        label: whose classes the head has.
        mixing: of each micro-batch with itself; None: neither mixed nor smoothed.
        ema_decay: a copy of all weights that follows them after each step, and is what is evaluated; None is none. Its
            buffers (statistics of BatchNorm) are those of the trained network.
    """

    views = ("clip",)

    def __init__(self, network: Network, label: str, mixing: Mixing | None, ema_decay: float | None = None) -> None:
        super().__init__(network.encoder)
        self.head, self.label, self.mixing, self.ema_decay = network.head, label, mixing, ema_decay or 0.0
        self.average = None if ema_decay is None else frozen_copy(network)

    @property
    def evaluated(self) -> Network:
        return Network(self.encoder, self.head) if self.average is None else self.average

    def losses(self, views: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        clip, label = views["clip"], batch["label"][self.label]
        classes = self.head.linear.out_features
        if self.mixing is None:
            target = soft_targets(label, classes)
        else:
            # The first clip's key names the micro-batch, whatever its place: no other one has it.
            place = int(batch["key"][0])
            clip, target = self.mixing.mixed(clip, label, classes, seed=0, step=self.progress.step, part=place)
        features = self.encoder(clip)
        return {"loss": soft_cross_entropy(self.head(features), target), "features": features}

    def after_step(self, done: Progress) -> None:
        if self.average is not None:
            own = Network(self.encoder, self.head)
            follow(self.average, own, self.ema_decay)
            for kept, new in zip(self.average.buffers(), own.buffers(), strict=True):
                kept.copy_(new)

    def chance(self, batch_size: int) -> float:
        """Of equal probabilities; mixed and smoothed targets have the same."""
        return math.log(self.head.linear.out_features)


def soft_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """-mean over clips of sum_k target_k log softmax(logits)_k; both [B, K], each row of `target` sums to 1."""
    return -(target * F.log_softmax(at_least_float32(logits), dim=1)).sum(dim=1).mean()


def set_drop_path(encoder: nn.Module, highest: float) -> int:
    """Sets the rates of stochastic depth, from 0 in the first block to `highest` in the last one.

    Returns:
        How many blocks have one; 0: this network has none.
    """
    blocks = [part for part in encoder.modules() if isinstance(part, DropPath | StochasticDepth)]
    for part, rate in zip(blocks, rising(highest, len(blocks)), strict=True):
        if isinstance(part, DropPath):
            part.rate = rate
        else:
            part.p = rate
    return len(blocks)
