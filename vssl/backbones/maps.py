"""Backbones whose whole feature map is computed at once: convolutions and shifted windows."""

from collections.abc import Sequence

from torch import Tensor, nn

from vssl.backbones.base import Backbone
from vssl.backbones.recompute import recompute


class MapBackbone(Backbone):
    """Base of backbones that define `feature_map`; tokens are its places, and none of them can be left out."""

    def forward(self, clip: Tensor) -> Tensor:
        return self.feature_map(clip).mean(dim=(2, 3, 4))

    def tokens(self, clip: Tensor, keep: Tensor | None = None) -> Tensor:
        if keep is not None:
            raise ValueError(f"{type(self).__name__} computes its whole feature map at once: no token can be left out")
        return self.feature_map(clip).flatten(2).transpose(1, 2)

    def feature_map(self, clip: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} must define feature_map(clip)")

    def run(self, part: nn.Module, x: Tensor) -> Tensor:
        """`part(x)`, kept or recomputed as `checkpoint` says."""
        result: Tensor = recompute(part, x) if self.checkpoint and self.training else part(x)
        return result


def extents(clip_shape: Sequence[int]) -> tuple[int, int, int]:
    """(T, H, W). Raises ValueError where one of them is 0."""
    *_, frames, height, width = clip_shape
    if min(frames, height, width) < 1:
        raise ValueError(f"a clip of {frames} frames of {height} x {width} pixels is empty")
    return frames, height, width


def halved(extent: int, times: int) -> int:
    """What `times` steps of stride 2 leave of an extent, each rounded up."""
    return -(-extent // 2**times)
