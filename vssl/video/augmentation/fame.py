"""FAME: the moving foreground of a clip on the background of another one of its batch.

Source: Ding et al. 2022, arXiv:2109.15130; Mark12Ding/FAME@0600c0e moco/loader.py (class FAME).
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vssl.video.augmentation.photometric import blur_kernel_size, gaussian_blur, hue_in_sixths
from vssl.video.augmentation.rand_augment import Numbers
from vssl.video.checks import within
from vssl.video.transfer import to_device

_LEAST = 1e-8
_SURE_FOREGROUND, _SURE_BACKGROUND = 0.5, 0.1  # shares of the pixels that the two histograms of colours are made of
_LEVELS = 10  # a colour is one of 10 x 10 x 10


@dataclass(frozen=True)
class Fame:
    """A batch operation: who is merged with whom depends on the batch, unlike all other draws.

    Args:
        probability: that a clip is merged; the source merges every clip of the first view and none of the second.
        foreground: share of the pixels that are the clip's own.
    """

    probability: float = 1.0
    foreground: float = 0.5

    def __post_init__(self) -> None:
        within(0.0, 1.0, "probability", self.probability)
        within(0.0, 1.0, "foreground", self.foreground)


@dataclass(frozen=True)
class Partners:
    """Whose background each of B clips gets: `other` (B,) int64, places in the batch, its own where it stays whole."""

    other: NDArray[np.int64]
    foreground: float

    def rows(self) -> NDArray[np.float32]:
        """(B, 1) float32, for the digest."""
        return self.other.astype(np.float32)[:, None]


def choose_partners(settings: Fame, numbers: Numbers) -> Partners:
    """One permutation of the batch, all equally likely; a clip that it leaves in place is not merged, as in the source.

    A function of the keys in the batch and their order, and so of (seed, step, place) as long as the batch is the same.
    """
    order = np.argsort(numbers("fame partner", 1)[:, 0], kind="stable")
    happens = numbers("fame", 1)[:, 0] < settings.probability
    return Partners(np.where(happens, order, np.arange(len(order))), settings.foreground)


def merge(clip: Tensor, partners: Partners) -> Tensor:
    """uint8 [B, T, C, H, W] -> the same with backgrounds exchanged; pixels are chosen, never blended."""
    merged = np.flatnonzero(partners.other != np.arange(len(partners.other)))
    if not len(merged):
        return clip
    rows, others = (to_device(index, clip.device) for index in (merged, partners.other[merged]))
    own = clip.index_select(0, rows)
    mask = foreground(own, partners.foreground)[:, None, None]
    return clip.index_copy(0, rows, torch.where(mask, own, clip.index_select(0, others)))


def foreground(clip: Tensor, share: float) -> Tensor:
    """Where a clip moves, or has the colours of what moves: uint8 [B, T, C, H, W] -> bool [B, H, W], one mask a clip.

    Exactly int(share * H * W) pixels are True. Equal values are taken from the top left on, so that no device decides.
    """
    frames, height, width = clip.shape[1], *clip.shape[-2:]
    pixels = height * width
    # Whole numbers: sums that no order of adding changes.
    steps = (clip[:, 1:].to(torch.int16) - clip[:, :-1]).abs_().sum(dim=(1, 2), dtype=torch.int32)
    order = _ordered(steps.float() / (255 * (frames - 1)))
    colour = _colour(clip.sum(dim=1, dtype=torch.int32).float() / (255 * frames)).flatten(1)
    own = _histogram(colour.gather(1, order[:, : int(_SURE_FOREGROUND * pixels)]), start=0)
    other = _histogram(colour.gather(1, order[:, pixels - int(_SURE_BACKGROUND * pixels) :]), start=1)
    likely = (own / (other + own)).gather(1, colour).view(-1, height, width)
    mask = torch.zeros_like(order, dtype=torch.bool)
    return mask.scatter_(1, _ordered(likely)[:, : int(share * pixels)], True).view(-1, height, width)


def _ordered(values: Tensor) -> Tensor:
    """[B, H, W] -> [B, H * W], places in the falling order of the blurred values.

    The source stretches these to 0 to 1 first, which changes no order.
    """
    kernel = blur_kernel_size(min(values.shape[-2:]))
    sigma = torch.full((len(values),), kernel / 3, device=values.device)
    smooth = gaussian_blur(values[:, None, None], kernel, sigma).flatten(1)
    return smooth.argsort(dim=1, descending=True, stable=True)


def _colour(mean: Tensor) -> Tensor:
    """[B, 3, H, W] in [0, 1] -> int64 [B, H, W], 0 to 999.

    As in the source, which takes the cosine of 2 pi times a hue that is in radians already: hues lie on a circle that
    is gone round 2 pi times, and some that differ share a bin.
    """
    red, green, blue = mean.unbind(dim=1)
    value, lowest = mean.amax(dim=1), mean.amin(dim=1)
    chroma = value - lowest
    saturation = chroma / (value + _LEAST)
    turns = (hue_in_sixths(red, green, blue, value, chroma) / 6).remainder(1)
    angle = turns * (2 * math.pi) ** 2
    axes = ((saturation * angle.cos() + 1) / 2, (saturation * angle.sin() + 1) / 2, value)
    levels = [axis.mul(_LEVELS - 1).add(1).round().long() - 1 for axis in axes]  # halves as the source rounds them
    return levels[0] + _LEVELS * levels[1] + _LEVELS**2 * levels[2]


def _histogram(colour: Tensor, start: int) -> Tensor:
    """[B, n] -> [B, 1000], shares of the colours; each begins with `start` pixels."""
    counts = torch.full((len(colour), _LEVELS**3), start, dtype=torch.int64, device=colour.device)
    shares = counts.scatter_add_(1, colour, torch.ones_like(colour)).float()
    return shares / (shares.sum(dim=1, keepdim=True) + _LEAST)
