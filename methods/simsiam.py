"""SimSiam: each view predicts the other's projection; a stopped gradient is all that keeps it from collapse.

Source: Chen and He 2021, arXiv:2011.10566, Alg. 1; facebookresearch/simsiam: simsiam/builder.py, main_simsiam.py.
Deviation: views are clips. The projector's hidden layers are as wide as the encoder: 2048 for the paper's ResNet-50.
"""

from dataclasses import replace

from torch import Tensor

from vssl.backbones.base import Backbone
from vssl.losses.cosine import negative_cosine
from vssl.method import PairMethod, ParamGroup
from vssl.nn.heads import mlp


class SimSiam(PairMethod):
    """No target network: the target of a view is the other view's projection, detached.

    Args:
        dim: width of projection and prediction.
        bottleneck: width of the predictor's hidden layer; a quarter of `dim` in the paper.
    """

    views, pairs = ("a", "b"), (("a", "b"), ("b", "a"))

    def __init__(self, encoder: Backbone, dim: int = 2048, bottleneck: int = 512) -> None:
        super().__init__(encoder)
        self.projector = mlp(encoder.embed_dim, encoder.embed_dim, dim, layers=3, output_bias=True)
        # The BatchNorm after it removes this bias; the official code keeps it, frozen.
        self.projector[-2].bias.requires_grad_(False)
        self.predictor = mlp(dim, bottleneck, dim, layers=2, output_norm=False, output_bias=True)

    def online(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        projection = self.projector(self.encoder(clip))
        return self.predictor(projection), projection

    def pair_loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        return negative_cosine(prediction, target) / 2  # the mean of two directions, which PairMethod sums

    def param_groups(self) -> list[ParamGroup]:
        """The predictor keeps its first learning rate (`--fix-pred-lr` of the official command)."""
        *layers, heads = super().param_groups()
        predictor = {name: p for name, p in heads.params.items() if name.startswith("predictor.")}
        projector = {name: p for name, p in heads.params.items() if name not in predictor}
        return [
            *layers,
            replace(heads, name="projector", params=projector),
            replace(heads, name="predictor", params=predictor, lr="constant"),
        ]

    def chance(self, batch_size: int) -> float | None:
        """The loss of a collapsed encoder, which is also the lowest one."""
        return -1.0

    @classmethod
    def refuses(cls, encoder: Backbone, views: tuple[str, ...], batch_size: int) -> str | None:
        if batch_size < 2:
            return f"SimSiam's batch normalisation needs at least 2 clips in a forward pass, and gets {batch_size}"
        return super().refuses(encoder, views, batch_size)
