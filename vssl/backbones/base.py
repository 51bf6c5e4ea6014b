"""What a backbone is: RGB clips in [0, 1] in, tokens or one summary a clip out. No head inside."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vssl.backbones.recompute import recompute

RGB = tuple[float, float, float]

IMAGENET_MEAN: RGB = (0.485, 0.456, 0.406)
IMAGENET_STD: RGB = (0.229, 0.224, 0.225)


class Backbone(nn.Module):
    """Base of all backbones. A subclass gives `kind`, `embed_dim`, `grid` and `tokens`.

    Letters: B batch, C channels (3), T frames, H W pixels, D `embed_dim`, N = t * h * w tokens.

    Args:
        mean, std: of each colour channel. They are buffers and saved, so that a saved encoder needs nothing else.

    Attributes:
        kind: family, such as "vit", "swin", "cnn".
        drop_path: highest rate of stochastic depth.
        checkpoint: recompute activations in the backward pass, which saves memory and costs about a third more time.
    """

    kind: str
    embed_dim: int
    drop_path: float = 0.0
    checkpoint: bool = False
    mean: Tensor
    std: Tensor

    def __init__(self, mean: RGB = IMAGENET_MEAN, std: RGB = IMAGENET_STD) -> None:
        super().__init__()
        if min(std) <= 0:
            raise ValueError(f"std is {std}; every channel's must be above 0")
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))

    def forward(self, clip: Tensor) -> Tensor:
        """[B, C, T, H, W] in [0, 1] -> one summary a clip, [B, D]."""
        return self.tokens(clip).mean(dim=1)

    def tokens(self, clip: Tensor, keep: Tensor | None = None) -> Tensor:
        """Patch tokens in raster order (t, then h, then w) after the final norm.

        Args:
            clip: [B, C, T, H, W] in [0, 1].
            keep: int64 [B, K], ascending places of the tokens that are encoded; the others cost nothing. None: all.
        Returns:
            [B, K, D], or [B, N, D].
        """
        raise NotImplementedError(f"{type(self).__name__} must define tokens(clip, keep)")

    def feature_map(self, clip: Tensor) -> Tensor:
        """[B, C, T, H, W] -> [B, D, t, h, w]."""
        tokens = self.tokens(clip)
        return tokens.transpose(1, 2).reshape(len(clip), -1, *self.grid(clip.shape))

    def frame_tokens(self, clip: Tensor) -> Tensor:
        """One token for each time slot, the mean over its places: [B, C, T, H, W] -> [B, t, D]."""
        return self.feature_map(clip).mean(dim=(3, 4)).transpose(1, 2)

    def attention(self, clip: Tensor) -> Tensor | None:
        """Where the summary looks, for pictures: the last attention, heads averaged.

        Returns:
            [B, t, h, w], shares that sum to 1 over a clip; None where there are no such maps.
        """
        return None

    def grid(self, clip_shape: Sequence[int]) -> tuple[int, int, int]:
        """(t, h, w) of the tokens of a clip whose shape ends in (T, H, W).

        Raises:
            ValueError: the backbone does not take such a clip.
        """
        raise NotImplementedError(f"{type(self).__name__} must define grid(clip_shape)")

    def layers(self) -> list[dict[str, nn.Parameter]]:
        """All parameters by name, in groups from the input to the output, for layer-wise decay of the learning rate."""
        return []

    def no_decay(self) -> set[str]:
        """Names of parameters with more than one dimension that are not decayed."""
        return set()

    def take_norm(self) -> nn.Module | None:
        """Takes the final norm out of a summary that is a mean over normed tokens, for a head that norms the mean
        instead, as VideoMAE and MAE are fine-tuned. None: the summary is another one, and stays as it is."""
        return None

    def normalise(self, pixels: Tensor, channel_dim: int) -> Tensor:
        """Pixels in [0, 1] to the units of `mean` and `std`, the colour channels being at `channel_dim`."""
        shape = [1] * pixels.ndim
        shape[channel_dim] = -1
        return (pixels - self.mean.view(shape)) / self.std.view(shape)

    def run(self, part: nn.Module, x: Tensor) -> Tensor:
        """`part(x)`, its activations kept or, in training and with `checkpoint`, computed again."""
        result: Tensor = recompute(part, x) if self.checkpoint and self.training else part(x)
        return result
