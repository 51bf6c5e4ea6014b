"""An encoder that no careless protocol reads without a trace: in training mode its running statistics move."""

from torch import Tensor, nn

from vssl.backbones.vit import VisionTransformer


class Normed(VisionTransformer):
    """A ViT with BatchNorm on its summary and its tokens."""

    def __init__(self, **shared) -> None:
        super().__init__(**shared)
        self.bn = nn.BatchNorm1d(self.embed_dim)

    def forward(self, clip: Tensor) -> Tensor:
        return self.bn(super().forward(clip))

    def tokens(self, clip: Tensor, keep: Tensor | None = None) -> Tensor:
        return self.bn(super().tokens(clip, keep).transpose(1, 2)).transpose(1, 2)
