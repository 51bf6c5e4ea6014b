"""Augmentation of a batch: parameters drawn on the host from the samples' keys, applied on the device.

`draw` never looks at pixels and `apply` never draws. The host knows which clips an operation touches, so the device
computes those only and is never waited for.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vssl.video.augmentation.deck import Deck, InPlace
from vssl.video.augmentation.erase import Erased, choose_boxes, erase_
from vssl.video.augmentation.fame import Partners, choose_partners, merge
from vssl.video.augmentation.photometric import (
    adjust_brightness_,
    adjust_contrast_,
    adjust_contrast_of_clip_,
    adjust_hue_,
    adjust_saturation_,
    adjust_saturation_of_hsv_,
    blur_kernel_size,
    gaussian_blur,
    greyscale,
    solarise,
)
from vssl.video.augmentation.rand_augment import Chosen, Numbers, choose
from vssl.video.augmentation.rand_operations import rand_augment
from vssl.video.draws import stream, uniforms_np
from vssl.video.views import Augment, Colour

Floats = NDArray[np.floating[Any]]

_JITTER: dict[Colour, tuple[InPlace, ...]] = {
    "torchvision": (adjust_brightness_, adjust_contrast_, adjust_saturation_, adjust_hue_),
    "tensorflow": (adjust_brightness_, adjust_contrast_of_clip_, adjust_saturation_of_hsv_, adjust_hue_),
}
_NUMBERS = ("flip", "order", "factors", "grey", "sigma", "threshold")
_NEUTRAL = np.array([1, 1, 1, 0], dtype=np.float32)  # the factors at which each of them changes nothing


@dataclass(frozen=True)
class Drawn:
    """Resolved parameters of one view of B clips, on the host: what is not applied stands at its neutral value.

    `flip` (B,) bool; `order` (B, 4) int64, the sequence of brightness 0, contrast 1, saturation 2, hue 3; `factors`
    (B, 4) float32 of these four, neutral at 1, 1, 1, 0; `grey` (B,) bool; `sigma` (B,) float32 pixels, 0 is no blur;
    `threshold` (B,) float32, infinite is no solarisation. Where each frame has draws of its own, it is (B, T) and
    (B, T, 4) instead. `colour`: whose contrast and saturation. The rest is None where there is no such part.
    """

    flip: Tensor
    order: Tensor
    factors: Tensor
    grey: Tensor
    sigma: Tensor
    threshold: Tensor
    colour: Colour = "torchvision"
    rand_augment: Chosen | None = None
    erased: Erased | None = None
    partners: Partners | None = None

    def rows(self) -> NDArray[np.float32]:
        """(B, 12) float32, or (B, T * 12): the numbers above side by side, then those of the parts, for the digest."""
        drawn = self.by_frame() if self.flip.ndim == 2 else self
        rows = torch.column_stack([getattr(drawn, name).float() for name in _NUMBERS])
        numbers = rows.view(len(self.flip), 12 * math.prod(self.flip.shape[1:])).numpy()
        parts = (self.rand_augment, self.erased, self.partners)
        return np.concatenate([numbers, *(part.rows() for part in parts if part is not None)], axis=1)

    def by_frame(self) -> "Drawn":
        """(B, T) draws as those of B * T clips."""
        return replace(
            self,
            **{name: getattr(self, name).flatten(0, 1) for name in _NUMBERS},
            rand_augment=None if self.rand_augment is None else self.rand_augment.by_frame(),
            erased=None if self.erased is None else self.erased.by_frame(),
        )


def draw(
    key: Tensor,
    position: int,
    augment: Augment | None,
    flip_safe: bool | NDArray[np.bool_],
    frames: int = 1,
    size: int | None = None,
) -> Drawn:
    """The parameters for clips with `key` (B,) int64 (on the host); each operation has a stream of its own.

    Args:
        position: of the view.
        augment: None is no photometric operation and no flip.
        flip_safe: whether a mirror image has the same label, for all clips or (B,) for each; where it has not, no flip.
        frames: of the view (T); read only where the augmentation is drawn per frame. The first frame then has the draw
            that the clip would have.
        size: of the view, in pixels; read only where rectangles are erased.
    """
    keys = key.numpy()
    if augment is None:
        augment = _NOTHING
    shape = (len(keys), frames) if augment.per_frame else (len(keys),)

    def numbers(operation: str, n: int) -> NDArray[np.float64]:
        return uniforms_np(keys, stream(position, operation), n * math.prod(shape[1:])).reshape(*shape, n)

    def happens(operation: str, probability: float) -> NDArray[np.bool_]:
        return numbers(operation, 1)[..., 0] < probability

    may_flip = np.broadcast_to(flip_safe, len(keys)).reshape(-1, *([1] * (len(shape) - 1)))
    jittered = happens("jitter", augment.jitter_p)[..., None]
    order = np.argsort(numbers("jitter order", 4), axis=-1, kind="stable")
    factors = _factors(numbers("jitter factors", 4), augment.jitter)
    sigma = _between(numbers("blur sigma", 1)[..., 0], *augment.blur_sigma)
    return Drawn(
        flip=torch.from_numpy(happens("flip", augment.flip) & may_flip),
        order=torch.from_numpy(np.where(jittered, order, np.arange(4))),
        factors=torch.from_numpy(np.where(jittered, factors, _NEUTRAL)),
        grey=torch.from_numpy(happens("grey", augment.grey_p)),
        sigma=_float32(np.where(happens("blur", augment.blur_p), sigma, 0.0)),
        threshold=_float32(np.where(happens("solarise", augment.solarise_p), augment.solarise_threshold, np.inf)),
        colour=augment.colour,
        rand_augment=None if augment.rand_augment is None else choose(augment.rand_augment, numbers),
        erased=_erased(augment, numbers, keys, position, shape, size),
        partners=None if augment.fame is None else choose_partners(augment.fame, numbers),
    )


def apply(clip: Tensor, drawn: Drawn) -> Tensor:
    """uint8 [B, T, C, H, W] on any device -> float32 [B, C, T, H, W] in [0, 1] there; the input is left as it is.

    Order: flip, merge with another clip, RandAugment, jitter, greyscale, blur, solarise, erase. Nothing is computed for
    clips that an operation does not touch. The result lies in memory as [B, T, C, H, W].
    """
    if drawn.flip.ndim == 2:
        frames = apply(clip.flatten(0, 1).unsqueeze(1), drawn.by_frame())  # [B * T, C, 1, H, W]
        return frames.squeeze(2).view(clip.shape).transpose(1, 2)
    deck = Deck(clip)
    jitter = _JITTER[drawn.colour]
    deck.change((_flip_,), _touched(drawn.flip), drawn.flip.float().numpy())
    if drawn.partners is not None:
        deck = Deck(merge(deck.in_order(), drawn.partners))
    if drawn.rand_augment is not None:
        rand_augment(deck, drawn.rand_augment)
    deck.to_unit_range()
    order, factors = drawn.order.numpy(), drawn.factors.numpy()
    for turn in order.T:
        factor = np.take_along_axis(factors, turn[:, None], axis=1)[:, 0]
        deck.change(jitter, np.where(factor == _NEUTRAL[turn], len(jitter), turn), factor)
    deck.change((_greyscale_,), _touched(drawn.grey), drawn.grey.float().numpy())
    deck.change((_blur_,), _touched(drawn.sigma > 0), drawn.sigma.numpy())
    deck.change((_solarise_,), _touched(torch.isfinite(drawn.threshold)), drawn.threshold.numpy())
    clips = deck.in_order()
    return (clips if drawn.erased is None else erase_(clips, drawn.erased)).transpose(1, 2)


def _flip_(clip: Tensor, _: Tensor) -> Tensor:
    return clip.copy_(clip.flip(-1))


def _greyscale_(clip: Tensor, _: Tensor) -> Tensor:
    return clip.copy_(greyscale(clip).expand_as(clip))


def _blur_(clip: Tensor, sigma: Tensor) -> Tensor:
    return clip.copy_(gaussian_blur(clip, blur_kernel_size(min(clip.shape[-2:])), sigma))


def _solarise_(clip: Tensor, threshold: Tensor) -> Tensor:
    return clip.copy_(solarise(clip, threshold))


def _touched(mask: Tensor) -> NDArray[np.int64]:
    """For `Deck.change` with one operation: 0 where it is to be applied, 1 where not."""
    return 1 - mask.numpy().astype(np.int64)


def _erased(
    augment: Augment, numbers: Numbers, keys: NDArray[np.int64], position: int, shape: tuple[int, ...], size: int | None
) -> Erased | None:
    if augment.erase is None:
        return None
    assert size is not None, "what is erased is so many pixels high and wide"
    frames = [np.int64(stream(position, f"erase noise {frame}")) for frame in range(math.prod(shape[1:]))]
    noise = (keys[:, None] ^ np.array(frames)).reshape(shape)
    return Erased(choose_boxes(augment.erase, numbers, size), noise, augment.erase.mode)


_NOTHING = Augment(flip=0.0, jitter_p=0.0, grey_p=0.0, blur_p=0.0, solarise_p=0.0)


def _factors(numbers: NDArray[np.float64], strengths: Sequence[float]) -> NDArray[np.float32]:
    """[..., 4]; brightness, contrast and saturation are never below 0, as in torchvision's ColorJitter."""
    strength = np.asarray(strengths)
    low = np.concatenate([np.maximum(_NEUTRAL[:3] - strength[:3], 0), _NEUTRAL[3:] - strength[3:]])
    return _between(numbers, low, _NEUTRAL + strength).astype(np.float32)


def _between(number: Floats, low: Floats | float, high: Floats | float) -> Floats:
    return low + number * (high - low)


def _float32(values: Floats) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
