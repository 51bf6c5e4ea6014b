"""SimCLR: each view finds its partner among the views of all clips, which are each other's negatives.

Source: Chen et al. 2020, arXiv:2002.05709, Alg. 1; google-research/simclr: tf2/objective.py, tf2/model.py, tf2/run.py.
Deviations: views are clips; the head keeps PyTorch's initialisation. BatchNorm sees all ranks on GPUs, as there, and
one process on CPUs.
"""

import math

import torch
from torch import Tensor

from vssl.backbones.base import Backbone
from vssl.config.errors import UserError
from vssl.losses.nt_xent import nt_xent
from vssl.method import Batch, Method
from vssl.nn.heads import mlp


class SimCLR(Method):
    """One network, no predictor. Not a `PairMethod`: both views are one forward pass, over which BatchNorm normalises.

    Args:
        dim: width of the projection; the projector's hidden layers are as wide as the encoder.
        temperature: of the softmax over partners.
    """

    views = ("a", "b")

    def __init__(self, encoder: Backbone, dim: int = 128, temperature: float = 0.1) -> None:
        super().__init__(encoder)
        if temperature <= 0:
            raise ValueError(f"temperature={temperature} must be above 0")
        self.temperature = temperature
        self.projector = mlp(encoder.embed_dim, encoder.embed_dim, dim, layers=3, output_scale=True)

    def losses(self, views: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        a, b = views["a"], views["b"]
        if a.shape != b.shape:
            shapes = " and ".join(" x ".join(map(str, view.shape[1:])) for view in (a, b))
            raise UserError(f"SimCLR encodes both views in one forward pass, and they differ in shape: {shapes}")
        projections = self.projector(self.encoder(torch.cat([a, b])))
        one, other = projections.chunk(2)
        return {"loss": nt_xent(one, other, self.temperature), "features": one}

    def chance(self, batch_size: int) -> float | None:
        """The loss where all clips look alike: ln(2N - 1) for each of the two directions."""
        return 2 * math.log(2 * batch_size - 1)

    @classmethod
    def refuses(cls, encoder: Backbone, views: tuple[str, ...], batch_size: int) -> str | None:
        if batch_size < 2:
            return (
                f"SimCLR's negatives are the other clips of a forward pass: it needs at least 2, and gets {batch_size}"
            )
        return super().refuses(encoder, views, batch_size)
