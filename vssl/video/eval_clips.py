"""Clips for evaluation: one of several that are spread over a video, in one or three crops."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vssl.config.errors import UserError
from vssl.video.published import dense_views, segment_views
from vssl.video.sampling import clip_indices, span
from vssl.video.views import View

EvalSampling = Literal["even", "dense", "segments"]
SAMPLINGS: tuple[EvalSampling, ...] = get_args(EvalSampling)
CROPS = (1, 3)


@dataclass(frozen=True)
class EvalClip(View):
    """Clip `clip` of `clips`.

    Args:
        rule: `even`: first clip at the start of the video, last at its end, the others evenly between (our choice); one
            clip lies in the middle. `dense` and `segments` as VideoMAE's released tests (`vssl.video.published`): by
            stride, or a frame from each of T equal parts of the video.
        clip: counted from 0, in [0, clips).
        crops: 1 is the centre square; 3 are squares along the longer side of the frame, its shorter side resized to
            `size`.
    """

    rule: EvalSampling = "even"
    clip: int = 0
    clips: int = 1
    crops: int = 1

    @property
    def padding(self) -> str:
        """What stands in for frames that a short video lacks, in words."""
        return {"even": self.pad, "dense": "repeat_last_sampled", "segments": "repeat_nearest"}[self.rule]

    def span(self, times: NDArray[np.float64]) -> int:
        if self.rule == "segments":
            return self.frames
        assert self.stride is not None, "test clips go by stride"
        return span(self.frames, self.stride)

    def indices(self, start: int, times: NDArray[np.float64], numbers: object = None) -> NDArray[np.int64]:
        """(T,) frame indices; nothing is drawn, and the clip knows its own start.

        Raises:
            UserError: the video has fewer frames than there are clips.
        """
        video_len = len(times)
        if self.clips > video_len:
            raise UserError(
                f"clips={self.clips}: a video has only {video_len} frames, fewer than the clips asked of it",
                f"give {video_len} clips or fewer, or take short videos out of the list",
            )
        if self.rule == "segments":
            return segment_views(self.clips, self.frames, video_len)[self.clip]
        assert self.stride is not None, "test clips go by stride"
        if self.rule == "dense":
            return dense_views(self.clips, self.frames, self.stride, video_len)[self.clip]
        return clip_indices(self._even_start(video_len), self.frames, self.stride, video_len)

    def _even_start(self, video_len: int) -> int:
        """The last start leaves no frame over; a video shorter than the clip has one start, 0."""
        room = max(0, video_len - span(self.frames, self.stride or 1))
        return self.clip * room // (self.clips - 1) if self.clips > 1 else room // 2
