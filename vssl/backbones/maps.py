"""Backbones whose whole feature map is computed at once: convolutions and shifted windows."""

from collections.abc import Sequence

from torch import Tensor, nn

from vssl.backbones.base import Backbone


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


class ConvBackbone(MapBackbone):
    """Base of convolutional networks, which give their `parts`."""

    kind = "cnn"

    def parts(self) -> dict[str, nn.Module]:
        """The stem, then every block, by path and in the order in which they run."""
        raise NotImplementedError(f"{type(self).__name__} must define parts()")

    def feature_map(self, clip: Tensor) -> Tensor:
        self.grid(clip.shape)
        stem, *blocks = self.parts().values()
        x: Tensor = stem(self.normalise(clip, channel_dim=1))
        for block in blocks:
            x = self.run(block, x)
        return x

    def layers(self) -> list[dict[str, nn.Parameter]]:
        """The stem, then a group for each block."""
        return [{f"{path}.{n}": p for n, p in part.named_parameters()} for path, part in self.parts().items()]


def extents(clip_shape: Sequence[int]) -> tuple[int, int, int]:
    """(T, H, W). Raises ValueError where one of them is 0."""
    *_, frames, height, width = clip_shape
    if min(frames, height, width) < 1:
        raise ValueError(f"a clip of {frames} frames of {height} x {width} pixels is empty")
    return frames, height, width


def halved(extent: int, times: int) -> int:
    """What `times` steps of stride 2 leave of an extent, each rounded up."""
    return -(-extent // 2**times)
