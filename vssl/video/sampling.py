"""Which frames a clip has: pure functions of integers (by stride) or of frame times (by fps).

With frames=4, stride=2, start=1 the span is 7:

    video   0 1 2 3 4 5 6 7 8 9
    clip      ^   ^   ^   ^
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

_SAME_TIME_S = 1e-6  # sums of frame intervals differ by rounding; ties must not depend on where a clip starts

Pad = Literal["repeat_last", "loop", "refuse"]


def span(frames: int, stride: int) -> int:
    """Source frames from the first sampled frame to the last, both included."""
    return (frames - 1) * stride + 1


def span_by_time(times: NDArray[np.float64], frames: int, fps: float) -> int:
    """Source frames that no start of a clip at `fps` may come nearer to the end than; above len(times): too short.

    Exact also for files with a varying frame rate, where it belongs to the last start that needs no padding.
    """
    video_len = len(times)
    starts = np.searchsorted(times, _end(times) - (frames - 1) / fps, side="right")
    return video_len + 1 - int(starts)


def clamped_stride(frames: int, stride: int, video_len: int) -> int:
    """The largest stride up to `stride` whose clip fits into the video, at least 1. (8, 32, 100) gives 14."""
    return stride if frames == 1 else max(1, min(stride, (video_len - 1) // (frames - 1)))


def uniform_start(number: float, span: int, video_len: int) -> int:
    """A start for `number` uniform in [0, 1): every start from which `span` frames fit has equal probability.

    A video shorter than the span has one start, 0.
    """
    return int(number * (video_len - span + 1)) if span < video_len else 0


def centre_start(span: int, video_len: int) -> int:
    """The start that puts the clip in the middle of the video (rounded down), 0 where it is shorter."""
    return max(0, (video_len - span) // 2)


def clip_indices(start: int, frames: int, stride: int, video_len: int, pad: Pad = "repeat_last") -> NDArray[np.int64]:
    """Frame indices of one clip.

    Args:
        start: first frame of the clip, counted from 0.
        frames: sampled frames in the clip (T).
        stride: source frames from one sampled frame to the next; 1 is consecutive.
        video_len: frames in the video.
        pad: past the end, `repeat_last` repeats the video's last frame, `loop` begins again at its first, `refuse`
            raises.
    Returns:
        int64 (T,), each in [0, video_len). (95, 5, 2, 100) gives 95 97 99 99 99, looped 95 97 99 1 3.
    Raises:
        ValueError: start is outside the video, or the clip does not fit and `pad` is `refuse`.
    Source: our choice. torchcodec's `repeat_last` repeats the last *sampled* frame instead.
    """
    if not 0 <= start < video_len:
        raise ValueError(f"start {start} is outside the video's {video_len} frames")
    indices = np.arange(start, start + frames * stride, stride)
    if indices[-1] < video_len:
        return indices
    if pad == "refuse":
        needed = start + span(frames, stride)
        raise ValueError(f"{frames} frames of stride {stride} from frame {start} need {needed}, there are {video_len}")
    return indices % video_len if pad == "loop" else np.minimum(indices, video_len - 1)


def spread_indices(start: int, frames: int, span: int) -> NDArray[np.int64]:
    """`frames` indices from `start` to `start + span - 1`, both included, evenly spread and rounded down.

    (3, 4, 8) gives 3 5 7 10; (3, 4, 2) gives 3 3 3 4.
    Source: kahnchana/svt@1827106: datasets/decoder.py, temporal_sampling.
    """
    return start + np.arange(frames) * (span - 1) // max(1, frames - 1)


def clip_indices_by_time(
    times: NDArray[np.float64], start: int, frames: int, fps: float, pad: Pad = "repeat_last"
) -> NDArray[np.int64]:
    """The frames nearest to times[start] + k / fps, k = 0..frames-1; arguments and errors as `clip_indices`.

    Nearest, and not the one on screen: container clocks round to a millisecond, which would repeat frames at the
    file's own rate.
    """
    if not 0 <= start < len(times):
        raise ValueError(f"start {start} is outside the video's {len(times)} frames")
    wanted = times[start] + np.arange(frames) / fps
    if wanted[-1] > _end(times):
        if pad == "refuse":
            raise ValueError(
                f"{frames} frames at {fps:g} fps from {times[start]:.3f} s end at {wanted[-1]:.3f} s, "
                f"the last frame is at {times[-1]:.3f} s"
            )
        if pad == "loop":
            wanted = times[0] + np.mod(wanted - times[0], times[-1] - times[0] + 2 * _half_interval(times))
    indices: NDArray[np.int64] = np.searchsorted((times[1:] + times[:-1]) / 2, wanted + _SAME_TIME_S, side="right")
    return indices


def _end(times: NDArray[np.float64]) -> float:
    """The last moment to which the last frame is nearest."""
    return float(times[-1]) + _half_interval(times) + _SAME_TIME_S


def _half_interval(times: NDArray[np.float64]) -> float:
    return float(times[-1] - times[-2]) / 2 if len(times) > 1 else 0.0
