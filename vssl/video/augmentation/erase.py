"""Random erasing: one rectangle of a clip, the same in all its frames, becomes noise or one colour.

Source: Zhong et al. 2017, arXiv:1708.04896, in the form in which VideoMAE fine-tunes: its `random_erasing.py` is
that of facebookresearch/SlowFast (slowfast/datasets/random_erasing.py, `cube=True`), after timm's.
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vssl.video.augmentation.rand_augment import Numbers
from vssl.video.checks import one_of, ordered, within
from vssl.video.draws import uniforms
from vssl.video.transfer import to_device

Mode = Literal["noise", "mean"]

# The source erases what it has normalised by these (ImageNet's): its zero is this mean.
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
# The source tries 100 times; with its areas and ratios fewer than 4 tries in 100 fail in a view of 6 pixels or more.
_TRIES = 10


@dataclass(frozen=True)
class Erase:
    """VideoMAE's by default.

    Args:
        probability: that a clip is erased at all.
        area: least and largest area of the rectangle, as a share of the frame, drawn uniformly.
        ratio: least and largest height / width, drawn uniformly in the logarithm.
        mode: what stands there then. `noise`: a normal number for each pixel, channel and frame, about ImageNet's mean
            with its deviation, cut off at 0 and 1. `mean`: ImageNet's mean colour.
    """

    probability: float = 0.25
    area: tuple[float, float] = (0.02, 1 / 3)
    ratio: tuple[float, float] = (0.3, 1 / 0.3)
    mode: Mode = "noise"

    def __post_init__(self) -> None:
        within(0.0, 1.0, "probability", self.probability)
        ordered("area", self.area, highest=1.0)
        ordered("ratio", self.ratio)
        one_of(get_args(Mode), "mode", self.mode)


@dataclass(frozen=True)
class Erased:
    """What is erased of B clips; (B, ...), or (B, T, ...) where each frame has draws of its own.

    `box` (B, 4) int64, top, left, height, width in pixels, zeros where nothing is; `noise` (B,) int64, what the noise
    is drawn from.
    """

    box: NDArray[np.int64]
    noise: NDArray[np.int64]
    mode: Mode

    def rows(self) -> NDArray[np.float32]:
        """(B, 4) float32, or (B, T * 4), for the digest."""
        return self.box.reshape(len(self.box), int(np.prod(self.box.shape[1:]))).astype(np.float32)

    def by_frame(self) -> "Erased":
        """(B, T, ...) draws as those of B * T clips."""
        return Erased(self.box.reshape(-1, 4), self.noise.reshape(-1), self.mode)


def choose_boxes(settings: Erase, numbers: Numbers, size: int) -> NDArray[np.int64]:
    """(..., 4) for views of `size` pixels: the first of ten rectangles that is smaller than the frame, if any."""
    tries = numbers("erase box", 4 * _TRIES)
    area, ratio, top, left = np.moveaxis(tries.reshape(*tries.shape[:-1], _TRIES, 4), -1, 0)
    area = size * size * (settings.area[0] + area * (settings.area[1] - settings.area[0]))
    lowest, highest = (math.log(limit) for limit in settings.ratio)
    ratio = np.exp(lowest + ratio * (highest - lowest))
    height, width = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
    fits = (height < size) & (width < size)
    boxes = np.stack([top * (size - height + 1), left * (size - width + 1), height, width], axis=-1)
    first = np.take_along_axis(boxes, fits.argmax(axis=-1)[..., None, None], axis=-2)[..., 0, :]
    happens = (numbers("erase", 1)[..., 0] < settings.probability) & fits.any(axis=-1)
    return np.where(happens[..., None], first, 0).astype(np.int64)


def erase_(clip: Tensor, erased: Erased) -> Tensor:
    """Erases in place: float [B, T, C, H, W] in [0, 1].

    A loop over the clips that are erased, since each has a rectangle of its own size; it waits for nothing.
    """
    keys = to_device(erased.noise, clip.device)
    mean, std = to_device(np.array([_MEAN, _STD], np.float32), clip.device).view(2, 3, 1, 1)
    for row in np.flatnonzero(erased.box[:, 2]).tolist():
        top, left, height, width = erased.box[row].tolist()
        cut = clip[row, :, :, top : top + height, left : left + width]  # [T, C, h, w]
        if erased.mode == "mean":
            cut.copy_(mean.expand_as(cut))
        else:
            normal = torch.special.ndtri(uniforms(keys[row : row + 1], 0, cut.numel())).view(cut.shape)
            cut.copy_(normal.mul_(std).add_(mean).clamp_(0, 1))
    return clip
