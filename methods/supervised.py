"""Supervised training: cross-entropy with labels, the line that pretraining without them is measured against."""

import math

from torch import Tensor, nn
from torch.nn import functional as F

from vssl.backbones.base import Backbone
from vssl.losses.precision import at_least_float32
from vssl.method import Batch, Method


class Supervised(Method):
    """A linear classifier on the encoder's summary; both are trained.

    Args:
        num_classes: classes of the label (K), given by the data set.
        label: which of the data set's labels is learned; `vssl.build` takes its first one if None.
    """

    views = ("clip",)

    def __init__(self, encoder: Backbone, num_classes: int, label: str | None = None) -> None:
        super().__init__(encoder)
        if label is None:
            raise ValueError("label is not given; it names which of the data set's labels is learned")
        if num_classes < 2:
            raise ValueError(f"label {label!r} has {num_classes} class(es); at least 2 are needed")
        self.label, self.num_classes = label, num_classes
        self.head = nn.Linear(encoder.embed_dim, num_classes)
        # Small weights, so that the first loss is that of equal probabilities.
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def losses(self, views: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """Raises ValueError where a clip has no label."""
        labels = batch["label"][self.label]
        if (labels < 0).any():
            bare = batch["id"][labels < 0].tolist()
            raise ValueError(f"samples {bare} have no label {self.label!r}; supervised training needs one for each")
        features = self.encoder(views["clip"])
        logits = at_least_float32(self.head(features))
        accuracy = (logits.argmax(dim=1) == labels).float().mean()
        return {"loss": F.cross_entropy(logits, labels), "accuracy": accuracy, "features": features}

    def chance(self, batch_size: int) -> float | None:
        """The loss of equal probabilities, ln K."""
        return math.log(self.num_classes)
