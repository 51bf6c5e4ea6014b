"""Clips as sequences of tubelets."""

from collections.abc import Sequence

import torch
from torch import Tensor


def patchify(clip: Tensor, patch: tuple[int, int, int], keep: Tensor | None = None) -> Tensor:
    """Cut a clip into tubelets, copying only the pixels of those that are kept.

    Args:
        clip: [B, C, T, H, W].
        patch: frames, rows and columns of a tubelet; they divide T, H and W.
        keep: int64 [B, K], places in raster order (t, then h, then w). None keeps all N.
    Returns:
        [B, K, C * patch pixels] (or N for K), the pixels of one tubelet in the order (channel, frame, row, column):
        that of a flattened Conv3d kernel.
    """
    batch, channels, *extent = clip.shape
    if any(pixels % step for pixels, step in zip(extent, patch, strict=True)):
        raise ValueError(f"a clip of {_times(extent)} (frames x height x width) is no multiple of {_times(patch)}")
    t, h, w = (pixels // step for pixels, step in zip(extent, patch, strict=True))
    # [B, C, t, frame, h, row, w, column] -> [B, t, h, w, C, frame, row, column], a view
    cut = clip.reshape(batch, channels, t, patch[0], h, patch[1], w, patch[2]).permute(0, 2, 4, 6, 1, 3, 5, 7)
    if keep is None:
        return cut.reshape(batch, t * h * w, -1)
    sample = torch.arange(batch, device=clip.device)[:, None]
    return cut[sample, keep // (h * w), keep // w % h, keep % w].flatten(2)


def unpatchify(tokens: Tensor, patch: tuple[int, int, int], grid: tuple[int, int, int]) -> Tensor:
    """All tokens [B, N, C * patch pixels] of a clip back to [B, C, T, H, W]; `grid` is (t, h, w)."""
    cut = tokens.reshape(len(tokens), *grid, -1, *patch)  # [B, t, h, w, C, frame, row, column]
    whole = cut.permute(0, 4, 1, 5, 2, 6, 3, 7)
    return whole.flatten(6, 7).flatten(4, 5).flatten(2, 3)


def _times(extent: Sequence[int]) -> str:
    return " x ".join(map(str, extent))
