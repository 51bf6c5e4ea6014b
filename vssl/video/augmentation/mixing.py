"""Mixup and cutmix: each clip of a batch with the one that stands opposite, and their labels in the same shares.

Source: Zhang et al. 2017, arXiv:1710.09412; Yun et al. 2019, arXiv:1905.04899; in the form in which VideoMAE fine-tunes
(MCG-NJU/VideoMAE@5291aaf mixup.py, after timm's `Mixup`, mode `batch`: one choice and one share for the whole batch).
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import betaincinv
from torch import Tensor

from vssl.video.checks import within
from vssl.video.draws import sample_keys, stream, uniforms_np

_STREAM = stream(0, "mixing")


@dataclass(frozen=True)
class Mix:
    """How one batch is mixed: `share` of the clip itself, and the rectangle (top, left, bottom, right) of the other.

    Without a rectangle the two are averaged; a share of 1 leaves the batch as it is.
    """

    share: float = 1.0
    box: tuple[int, int, int, int] | None = None


@dataclass(frozen=True)
class Mixing:
    """VideoMAE's by default. A batch operation: a function of (seed, step, part), whatever the samples are.

    Args:
        mixup_alpha: the share of mixup is Beta(alpha, alpha); 0 is no mixup.
        cutmix_alpha: as much for cutmix, where the rectangle has the proportions of the frame; 0 is no cutmix.
        probability: that a batch is mixed.
        switch_probability: that it is cutmix, where both are on.
        label_smoothing: share of the target that is spread evenly over all classes, of mixed and unmixed batches alike.
    """

    mixup_alpha: float = 0.8
    cutmix_alpha: float = 1.0
    probability: float = 1.0
    switch_probability: float = 0.5
    label_smoothing: float = 0.1

    def __post_init__(self) -> None:
        for name in ("mixup_alpha", "cutmix_alpha"):
            within(0.0, 100.0, name, getattr(self, name))
        for name in ("probability", "switch_probability", "label_smoothing"):
            within(0.0, 1.0, name, getattr(self, name))
        if self.mixup_alpha == self.cutmix_alpha == 0:
            raise ValueError("mixup_alpha and cutmix_alpha are 0, allowed is one above 0 (probability=0 mixes nothing)")

    def mixed(
        self, clip: Tensor, label: Tensor, classes: int, seed: int, step: int, part: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Mixed clips and their targets.

        Args:
            clip: float [B, C, T, H, W], augmented; an odd one in the middle of the batch stands opposite itself.
            label: (B,) int64, each from 0 to classes - 1.
            step: of the optimiser.
            part: which micro-batch of which rank, so that those of one step are mixed apart.
        Returns:
            Float [B, C, T, H, W] and float32 (B, classes), each row of which sums to 1.
        """
        mix = self.draw(seed, step, part, *clip.shape[-2:])
        return mix_clips(clip, mix), soft_targets(label, classes, mix.share, self.label_smoothing)

    def draw(self, seed: int, step: int, part: int, height: int, width: int) -> Mix:
        """How the batch of this place is mixed; other settings than `probability` change none of the numbers."""
        key = sample_keys(seed, step, np.array([part]), repeat=_STREAM & (1 << 64) - 1)
        applied, switched, level, y, x = uniforms_np(key, _STREAM, 5)[0].tolist()
        if applied >= self.probability:
            return Mix()
        is_cut = self.mixup_alpha == 0 or (self.cutmix_alpha > 0 and switched < self.switch_probability)
        alpha = self.cutmix_alpha if is_cut else self.mixup_alpha
        share = float(betaincinv(alpha, alpha, level))
        return _cut(share, int(y * height), int(x * width), height, width) if is_cut else Mix(share)


def mix_clips(clip: Tensor, mix: Mix) -> Tensor:
    """[B, C, T, H, W] -> the same size, mixed; the input is left as it is. All frames share the rectangle."""
    if mix.share == 1:
        return clip
    other = clip.flip(0)
    if mix.box is None:
        return other.mul_(1 - mix.share).add_(clip, alpha=mix.share)
    top, left, bottom, right = mix.box
    mixed = clip.clone()
    mixed[..., top:bottom, left:right] = other[..., top:bottom, left:right]
    return mixed


def soft_targets(label: Tensor, classes: int, share: float = 1.0, smoothing: float = 0.0) -> Tensor:
    """(B,) int64 -> float32 (B, classes): `share` of the own label, the rest that of the clip opposite, smoothed."""
    even = smoothing / classes
    own = torch.full((len(label), classes), even, device=label.device)
    own.scatter_(1, label[:, None], 1 - smoothing + even)
    return own * share + own.flip(0) * (1 - share)


def _cut(share: float, middle_y: int, middle_x: int, height: int, width: int) -> Mix:
    """A rectangle about any pixel, cut off at the border; the share that is left decides."""
    side = math.sqrt(1 - share)
    half_height, half_width = int(height * side) // 2, int(width * side) // 2
    top, bottom = max(middle_y - half_height, 0), min(middle_y + half_height, height)
    left, right = max(middle_x - half_width, 0), min(middle_x + half_width, width)
    return Mix(1 - (bottom - top) * (right - left) / (height * width), (top, left, bottom, right))
