"""Damage to the pictures of a clip, at five strengths each; what is drawn comes from the video's key.

Source of noise, blur and compression, kinds and strengths: ImageNet-C, and for the blur of small pictures CIFAR-10-C,
Hendrycks and Dietterich 2019, arXiv:1903.12261; hendrycks/robustness: ImageNet-C/create_c. Frame drops: our choice.
Deviation: what the encoder is shown is damaged, after crop and resize, so that a strength means the same for files of
every size.
"""

import io
import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vssl.evaluation.changes import Change
from vssl.video.draws import stream, uniforms

STRENGTHS: dict[str, tuple[float, ...]] = {
    "compression": (25, 18, 15, 10, 7),
    "noise": (0.08, 0.12, 0.18, 0.26, 0.38),
    "blur": (1, 2, 3, 4, 6),  # pixels at 224 x 224
    "frame_drops": (0.1, 0.2, 0.4, 0.6, 0.8),
}
"""By kind and level, from the weakest; the units are those of the classes below."""

BLUR_AT_32 = (0.4, 0.6, 0.7, 0.8, 1.0)


@dataclass(frozen=True)
class Compressed(Change):
    """Every frame through JPEG.

    Args:
        quality: of the JPEG, 1 to 95.
    """

    quality: int

    name = "compression"

    def apply(self, clips: Tensor, key: Tensor) -> Tensor:
        frames = clips.flatten(0, 1).permute(0, 2, 3, 1).cpu().numpy()
        through = np.stack([self._through(frame) for frame in frames])
        return torch.from_numpy(through).permute(0, 3, 1, 2).reshape(clips.shape).to(clips.device)

    def _through(self, frame: np.ndarray) -> np.ndarray:
        file = io.BytesIO()
        Image.fromarray(frame).save(file, "JPEG", quality=self.quality)
        return np.asarray(Image.open(file))


@dataclass(frozen=True)
class Noisy(Change):
    """Gaussian noise, drawn for each pixel, channel and frame.

    Args:
        std: standard deviation, where black is 0 and white is 1.
    """

    std: float

    name = "noise"

    def apply(self, clips: Tensor, key: Tensor) -> Tensor:
        # A clip at a time: the numbers are int64 on the way.
        return torch.stack([self._noisy(clip, one) for clip, one in zip(clips, key.to(clips.device), strict=True)])

    def _noisy(self, clip: Tensor, key: Tensor) -> Tensor:
        half = (clip.numel() + 1) // 2
        drawn = uniforms(key[None], stream(0, "noise"), 2 * half)[0]
        length, angle = (-2 * torch.log1p(-drawn[:half])).sqrt(), 2 * math.pi * drawn[half:]
        normal = torch.cat([length * angle.cos(), length * angle.sin()])[: clip.numel()].view(clip.shape)
        return (clip + 255 * self.std * normal).round().clamp(0, 255).to(clip.dtype)


@dataclass(frozen=True)
class Blurred(Change):
    """Gaussian blur of every frame; past the edge nothing is seen, and the weights inside make up for it.

    Args:
        at_32_px, at_224_px: standard deviation in pixels for frames of that side; between and above by the straight
            line through both, which is our choice.
    """

    at_32_px: float
    at_224_px: float

    name = "blur"

    def apply(self, clips: Tensor, key: Tensor) -> Tensor:
        rows, columns = (self._weights(side, clips.device) for side in clips.shape[-2:])
        return (rows @ clips.float() @ columns.T).round().clamp(0, 255).to(clips.dtype)

    def _weights(self, side: int, device: torch.device) -> Tensor:
        """[side, side]; a row holds what each place adds to one of them."""
        place = torch.arange(side, dtype=torch.float32, device=device)
        sigma = self.at_32_px + (self.at_224_px - self.at_32_px) * max(0, side - 32) / (224 - 32)
        weights = (-((place[:, None] - place) ** 2) / (2 * sigma**2)).exp()
        return weights / weights.sum(dim=1, keepdim=True)


@dataclass(frozen=True)
class Dropped(Change):
    """Frames are lost, and the last one that arrived stays on the screen; the first always arrives.

    Args:
        share: of the frames after the first that are lost, drawn for the video.
    """

    share: float

    name = "frame_drops"

    def apply(self, clips: Tensor, key: Tensor) -> Tensor:
        shown = shown_frames(key, clips.shape[1], self.share).to(clips.device)
        return clips[torch.arange(len(clips), device=clips.device)[:, None], shown]


def shown_frames(key: Tensor, frames: int, share: float) -> Tensor:
    """Which frame stands at each place when frames are lost: int64 [B, T], never one that comes later."""
    lost = round(share * (frames - 1))
    rank = uniforms(key, stream(0, "frame_drops"), frames - 1).argsort(dim=1, stable=True).argsort(dim=1)
    arrived = torch.cat([torch.ones(len(key), 1, dtype=torch.bool), rank >= lost], dim=1)
    return (torch.arange(frames) * arrived).cummax(dim=1).values


def damage(kind: str, level: int) -> Change:
    """One kind of `STRENGTHS` at a level from 1 to 5."""
    strength = STRENGTHS[kind][level - 1]
    if kind == "compression":
        return Compressed(int(strength))
    if kind == "blur":
        return Blurred(BLUR_AT_32[level - 1], strength)
    return {"noise": Noisy, "frame_drops": Dropped}[kind](strength)
