"""Which clips of a video an evaluation reads: T clips in time, S crops of each, perhaps changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vssl.evaluation.changes import Change
from vssl.records.hashes import hash_of
from vssl.video.checks import at_least, one_of
from vssl.video.eval_clips import CROPS, SAMPLINGS, EvalClip, EvalSampling
from vssl.video.relations.centre import Centre
from vssl.video.views import Clip, View, Views, evaluation_views


@dataclass(frozen=True)
class EvalViews:
    """T x S views of each video, in the order clip 0 crop 0, clip 0 crop 1, ..., clip 1 crop 0, ...

    Args:
        clips: T, spread over the video.
        crops: S: 1 is the centre square, 3 are squares along the longer side.
        sampling: how the clips lie in time, see `vssl.video.eval_clips.EvalClip`. One clip of `even` is the centre one.
        change: of the clips, None is none.
    """

    clips: int = 1
    crops: int = 1
    sampling: EvalSampling = "even"
    change: Change | None = None

    def __post_init__(self) -> None:
        at_least(1, "clips", self.clips)
        if self.crops not in CROPS:
            raise ValueError(f"crops is {self.crops}, allowed are 1 (the centre) and 3 (along the longer side)")
        one_of(SAMPLINGS, "sampling", self.sampling)

    @property
    def count(self) -> int:
        """V = T * S."""
        return self.clips * self.crops

    @property
    def is_centre(self) -> bool:
        return self.count == 1 and self.sampling == "even"

    def views(self, clip: Clip) -> Views:
        """One view a clip in time; its S crops come as one, [S, T, C, H, W]."""
        clip = self.read(clip)
        if self.is_centre:
            return evaluation_views(clip)
        clips: dict[str, Any] = {
            f"clip_{place}": EvalClip(
                frames=clip.frames, size=clip.size, stride=clip.stride, augment=None, rule=self.sampling,
                clip=place, clips=self.clips, crops=self.crops,
            )
            for place in range(self.clips)
        }  # fmt: skip
        return Views(relation=Centre(), **clips)  # a test clip knows where it begins

    def read(self, clip: Clip) -> Clip:
        """The clip whose stride the change has taken its part of."""
        return clip if self.change is None else self.change.clip(clip)

    def settings_hash(self, clip: Clip) -> str:
        """64 hex digits over all that decides which pixels an encoder is shown of a video."""
        views = [view.settings_hash() for _, view in self.views(clip).positions]
        return self.digest(views)

    def digest(self, parts: Sequence[str]) -> str:
        """One hash of those of the clips in time; of an unchanged single clip its own."""
        if self.change is None and len(parts) == 1:
            return parts[0]
        return hash_of([*parts, None if self.change is None else self.change.settings()])

    def stamp(self, clip: Clip) -> dict[str, Any]:
        """The part `clip` of a protocol's stamp."""
        clip = self.read(clip)
        found: dict[str, Any] = {
            "views": f"{self.clips} x {self.crops}",
            "frames": clip.frames,
            "stride": None if self.sampling == "segments" else clip.stride,
            "size": clip.size,
            "mode": "centre" if self.is_centre else self.sampling,
            "padding": _padding(self.views(clip).positions[0][1]),
        }
        return found if self.change is None else {**found, "change": self.change.settings()}


CENTRE = EvalViews()
"""One centre clip: what is read of training videos unless a protocol says otherwise."""


def _padding(view: View) -> str:
    return view.padding if isinstance(view, EvalClip) else view.pad
