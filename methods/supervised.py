"""Supervised training: cross-entropy with labels, the line that pretraining without them is measured against.

With several labels, one of each data set of a mix, it is joint training on data sets with label spaces of their own,
and on images as clips of one frame.
Source of that: CoVeR, Zhang et al. 2021, arXiv:2112.07175 (abstract: several video sets with their own label spaces and
images as single-frame videos). Unverified: its heads (said to be MLPs), its weights of the sets in loss and sampling.
Ours: one linear head a label, each clip counts once, and how often a set is seen is the data set's to say
(`data.weights`).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vssl.backbones.base import Backbone
from vssl.losses.precision import at_least_float32
from vssl.method import Batch, Method


class Supervised(Method):
    """A linear classifier on the encoder's summary, one for each label; all are trained together.

    The loss of a batch is the mean over its B clips of the cross-entropy of each clip under the head of its own label
    (a clip that carries several of the labels: their sum). So a set weighs in a batch what its share of the clips is,
    and micro-batches and ranks average to the loss of the whole batch.

    Args:
        num_classes: classes of the label (K), or of each label, given by the data set.
        label: which of the data set's labels are learned; `vssl.build` takes its first one if None, of a mix the first
            one of each set.
    """

    views = ("clip",)

    def __init__(
        self, encoder: Backbone, num_classes: int | Sequence[int], label: str | list[str] | None = None
    ) -> None:
        super().__init__(encoder)
        if label is None:
            raise ValueError("label is not given; it names which of the data set's labels is learned")
        self.label = label
        self.labels = [label] if isinstance(label, str) else list(label)
        self.num_classes = [num_classes] if isinstance(num_classes, int) else list(num_classes)
        for name, count in zip(self.labels, self.num_classes, strict=True):
            if count < 2:
                raise ValueError(f"label {name!r} has {count} class(es); at least 2 are needed")
        # The heads are the parts of one layer, so that one without clips has a gradient too: zero.
        self.head = nn.Linear(encoder.embed_dim, sum(self.num_classes))
        # Small weights, so that the first loss is that of equal probabilities.
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def losses(self, views: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """Raises ValueError where a clip has no label."""
        targets = torch.stack([batch["label"][name] for name in self.labels])  # [L, B], -1 where there is none
        bare = (targets < 0).all(dim=0)
        if bare.any():
            label = self.label if isinstance(self.label, str) else " or ".join(self.labels)
            ids = batch["id"][bare].tolist()
            raise ValueError(f"samples {ids} have no label {label!r}; supervised training needs one for each")
        features = self.encoder(views["clip"])
        logits = torch.split(at_least_float32(self.head(features)), self.num_classes, dim=1)
        pairs = list(zip(logits, targets, strict=True))
        sums = [F.cross_entropy(own, target, ignore_index=-1, reduction="sum") for own, target in pairs]
        right = torch.stack([own.argmax(dim=1) == target for own, target in pairs])
        carried = targets >= 0
        terms = {"loss": sum(sums[1:], sums[0]) / len(features), "accuracy": right.sum() / carried.sum()}
        if len(self.labels) > 1:
            terms["chance"] = carried.sum(dim=1).to(logits[0].dtype) @ self._chances(logits[0]) / len(features)
            # 0 / 0 is not a number: there was no clip to be right about.
            shares = right.sum(dim=1) / carried.sum(dim=1)
            terms |= {f"accuracy.{name}": share for name, share in zip(self.labels, shares, strict=True)}
        return {**terms, "features": features}

    def chance(self, batch_size: int) -> float | None:
        """The loss of equal probabilities: ln K, or of several labels that on the clips of the last micro-batch."""
        if len(self.labels) == 1:
            return math.log(self.num_classes[0])
        return float(self.last_terms["chance"]) if "chance" in self.last_terms else None

    def _chances(self, like: Tensor) -> Tensor:
        """[L]: ln K of each label."""
        return torch.tensor([math.log(count) for count in self.num_classes], dtype=like.dtype, device=like.device)
