"""Changes of a clip's course in time: what an encoder loses by one of them, it had read from the order of frames.

T frames, counted from 0; `[a b c d]` are those of a clip of four.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from vssl.evaluation.changes import Change
from vssl.video.draws import stream, uniforms
from vssl.video.views import Clip


@dataclass(frozen=True)
class Shuffled(Change):
    """The frames in an order drawn for the video, never their own: [c a d b]."""

    name = "shuffled"

    def apply(self, clips: Tensor, key: Tensor) -> Tensor:
        order = shuffled_order(key, clips.shape[1]).to(clips.device)
        return clips[torch.arange(len(clips), device=clips.device)[:, None], order]


@dataclass(frozen=True)
class Reversed(Change):
    """Backwards: [d c b a]."""

    name = "reversed"

    def apply(self, clips: Tensor, key: Tensor) -> Tensor:
        return clips.flip(1)


@dataclass(frozen=True)
class SingleFrame(Change):
    """The frame in the middle, all the time: [c c c c]. What one picture tells."""

    name = "single_frame"

    def apply(self, clips: Tensor, key: Tensor) -> Tensor:
        middle = clips.shape[1] // 2
        return clips[:, middle : middle + 1].expand_as(clips)


@dataclass(frozen=True)
class StaticFrame(Change):
    """The mean of all frames, all the time: [m m m m]. What the whole clip shows, without anything that moves."""

    name = "static_frame"

    def apply(self, clips: Tensor, key: Tensor) -> Tensor:
        mean = clips.float().mean(dim=1, keepdim=True)
        return mean.round().to(clips.dtype).expand_as(clips)


@dataclass(frozen=True)
class DoubleSpeed(Change):
    """As many frames over twice the time: the clip is read at twice the stride, about the same middle."""

    name = "double_speed"

    def apply(self, clips: Tensor, key: Tensor) -> Tensor:
        return clips

    def clip(self, clip: Clip) -> Clip:
        return Clip(clip.frames, 2 * clip.stride, clip.size)


@dataclass(frozen=True)
class HalfSpeed(Change):
    """As many frames over half of the time.

    Args:
        held: [b b c c], the middle half with every frame shown twice, for a stride that cannot be halved; else the clip
            is read at half of the stride.
    """

    held: bool

    name = "half_speed"

    def apply(self, clips: Tensor, key: Tensor) -> Tensor:
        frames = clips.shape[1]
        return clips[:, frames // 4 + torch.arange(frames) // 2] if self.held else clips

    def clip(self, clip: Clip) -> Clip:
        return clip if self.held else Clip(clip.frames, clip.stride // 2, clip.size)


def shuffled_order(key: Tensor, frames: int) -> Tensor:
    """An order of the frames for each key, int64 [B, T], T >= 2; the clip's own is turned by one frame."""
    order = uniforms(key, stream(0, "shuffle"), frames).argsort(dim=1, stable=True)
    same = (order == torch.arange(frames)).all(dim=1, keepdim=True)
    return torch.where(same, order.roll(1, dims=1), order)


def time_changes(clip: Clip) -> dict[str, Change]:
    """By name, in the order in which they are shown."""
    changes = (
        Shuffled(), Reversed(), SingleFrame(), StaticFrame(), DoubleSpeed(), HalfSpeed(held=clip.stride % 2 == 1)
    )  # fmt: skip
    return {change.name: change for change in changes}
