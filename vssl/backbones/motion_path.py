"""A baseline without weights: where things move, step by step. It means nothing once the order of frames is lost."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from vssl.backbones.base import IMAGENET_MEAN, IMAGENET_STD, RGB, Backbone

LUMA = (0.299, 0.587, 0.114)


class MotionPath(Backbone):
    """The path of the moving pixels' centre: `steps` places, evenly spread over the clip, of two coordinates each.

    A pixel moves as far as it differs from its median over the clip. Without any motion the centre is the middle of the
    frame.

    Args:
        size: height and width of the clips, in pixels.
        steps: places of the path; a clip with fewer frames is interpolated.
        max_side: largest height and width of the frames after average pooling, which takes noise away.
        least: share of the clip's largest difference below which a pixel stands still.
    Source: our choice; the positive control of `eval=temporal`.
    """

    kind = "pixels"

    def __init__(
        self,
        size: int,
        steps: int = 16,
        max_side: int = 32,
        least: float = 0.3,
        mean: RGB = IMAGENET_MEAN,
        std: RGB = IMAGENET_STD,
    ) -> None:
        super().__init__(mean, std)
        if min(size, steps, max_side) < 2:
            raise ValueError(f"size is {size}, steps {steps} and max_side {max_side}; all must be at least 2")
        if not 0 <= least < 1:
            raise ValueError(f"least is {least}; it must be in [0, 1)")
        self.side, self.steps, self.least = min(size, max_side), steps, least
        self.embed_dim = 2 * steps

    def forward(self, clip: Tensor) -> Tensor:
        """[B, C, T, H, W] -> [B, 2 * steps]: the rows of the path, then its columns, each from -1 to 1."""
        grey = (clip * clip.new_tensor(LUMA).view(3, 1, 1, 1)).sum(dim=1)  # [B, T, H, W]
        grey = F.adaptive_avg_pool2d(grey, self.side)
        moved = (grey - grey.median(dim=1, keepdim=True).values).abs()
        moved = (moved - self.least * moved.amax(dim=(1, 2, 3), keepdim=True)).clamp(min=0)
        place = torch.linspace(-1, 1, self.side, device=clip.device)
        mass = moved.sum(dim=(2, 3)).clamp(min=1e-6)  # [B, T]
        path = torch.stack([(moved.sum(3) @ place) / mass, (moved.sum(2) @ place) / mass], dim=1)  # [B, 2, T]
        return F.interpolate(path, self.steps, mode="linear", align_corners=True).flatten(1)

    def tokens(self, clip: Tensor, keep: Tensor | None = None) -> Tensor:
        if keep is not None:
            raise ValueError("MotionPath has a single token, so none can be left out")
        return self.forward(clip).unsqueeze(1)

    def grid(self, clip_shape: Sequence[int]) -> tuple[int, int, int]:
        return (1, 1, 1)
