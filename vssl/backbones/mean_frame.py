"""A baseline without weights: what the average frame tells, and no order in time can."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from vssl.backbones.base import IMAGENET_MEAN, IMAGENET_STD, RGB, Backbone


class MeanFrame(Backbone):
    """The mean over time, average-pooled to at most `max_side` x `max_side` pixels and flattened; one token a clip.

    Args:
        size: height and width of the clips, in pixels.
        max_side: largest height and width of the pooled frame.
    """

    kind = "pixels"

    def __init__(self, size: int, max_side: int = 16, mean: RGB = IMAGENET_MEAN, std: RGB = IMAGENET_STD) -> None:
        super().__init__(mean, std)
        if size < 1 or max_side < 1:
            raise ValueError(f"size is {size} and max_side {max_side}; both must be at least 1")
        self.side = min(size, max_side)
        self.embed_dim = len(mean) * self.side**2

    def forward(self, clip: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(self.normalise(clip.mean(dim=2), channel_dim=1), self.side).flatten(1)

    def tokens(self, clip: Tensor, keep: Tensor | None = None) -> Tensor:
        if keep is not None:
            raise ValueError("MeanFrame has a single token, so none can be left out")
        return self.forward(clip).unsqueeze(1)

    def grid(self, clip_shape: Sequence[int]) -> tuple[int, int, int]:
        return (1, 1, 1)
