"""Which frames the released codes of others take from a video: pure functions of integers, exact to the index.

They differ from `sampling` in rounding, in which starts can be drawn and in what is repeated where a video is short,
and their authors' figures were made with them. N is the number of frames of the video, T that of the clip.

Source: MCG-NJU/VideoMAE@14ef8d8: kinetics.py, ssv2.py, datasets.py; the recipe's test vectors.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def walk(start: int, frames: int, stride: int, video_len: int) -> Indices:
    """VideoMAE's pretraining clip: on by `stride` while that stays below N - 1, then the last sampled frame again.

    The strict comparison never reaches frame N - 1 by a step. (0, 16, 4, 29) gives 0 4 ... 24 24 24; a start is drawn
    from `walk_starts` of them.
    """
    last = max(0, (video_len - 2 - start) // stride)
    return start + stride * np.minimum(np.arange(frames), last)


def walk_starts(frames: int, stride: int, video_len: int) -> int:
    """How many starts VideoMAE's pretraining draws from, from frame 0 on: a clip takes T * stride frames there."""
    return max(1, video_len - frames * stride + 1)


def dense(end: int, frames: int, stride: int, video_len: int) -> Indices:
    """VideoMAE's fine-tuning clip that ends before frame `end`: T frames spread over the T * stride before it.

    Args:
        end: from T * stride to N - 1, uniformly; not looked at where the video is no longer than T * stride frames.
    """
    span = frames * stride
    if video_len <= span:
        few = video_len // stride
        spread = np.concatenate([np.linspace(0, video_len, few), np.full(frames - few, video_len)])
        return np.clip(spread, 0, video_len - 1).astype(np.int64)
    return np.clip(np.linspace(end - span, end, frames), end - span, end - 1).astype(np.int64)


def dense_ends(frames: int, stride: int, video_len: int) -> range:
    """The ends that fine-tuning draws from; the last frame of a video is never in a clip."""
    span = frames * stride
    return range(span, video_len) if video_len > span else range(video_len, video_len + 1)


def dense_views(count: int, frames: int, stride: int, video_len: int) -> list[Indices]:
    """The `count` test clips of VideoMAE: every `stride`-th frame of the video, cut at evenly spread places."""
    every = np.arange(0, video_len, stride)
    if len(every) < frames:
        every = np.concatenate([every, np.full(frames - len(every), every[-1])])
    step = max((len(every) - frames) / (count - 1), 0.0) if count > 1 else 0.0
    firsts = [int(view * step) for view in range(count)]
    return [every[first : first + frames] for first in firsts]


def segments(numbers: Sequence[float], video_len: int) -> Indices:
    """One frame from each of T equal parts of the video, where `numbers` (T, each in [0, 1)) say (TSN).

    A video with fewer than T frames gives its first frame T times, as released.
    """
    frames, part = len(numbers), video_len // len(numbers)
    return np.arange(frames) * part + (np.asarray(numbers) * part).astype(np.int64)


def segment_views(count: int, frames: int, video_len: int) -> list[Indices]:
    """The `count` test clips of sampling by segments: each a `count`-th of a part further on.

    Two views are VideoMAE's, which sorts all of their frames and deals them out in turn; more are VideoMAE V2's.
    """
    part = video_len / frames
    views = [np.array([int(view * part / count + part * i) for i in range(frames)]) for view in range(count)]
    if count == 2:
        views[1] = np.array([int(part / 2 + part * i) for i in range(frames)])
        dealt = np.sort(np.concatenate(views))
        views = [dealt[0::2], dealt[1::2]]
    return views


def crops_along(count: int, long: int, short: int) -> list[int]:
    """Where `count` squares of `short` pixels begin along a side of `long` pixels. (3, 298, 224) gives 0 37 74."""
    step = (long - short) / (count - 1) if count > 1 else 0.0
    return [int(crop * step) for crop in range(count)] if count > 1 else [(long - short) // 2]
