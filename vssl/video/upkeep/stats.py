"""What a video is by its headers and packets, and what a list of them is made of; one frame of each is decoded."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vssl.video.decoding.decode import PyAVReader
from vssl.video.decoding.errors import Limits, VideoError
from vssl.video.upkeep.pool import Trouble
from vssl.video.upkeep.video_set import Place, Video, VideoSet, bounds

QUANTILES = (0, 5, 50, 95, 100)  # percent


@dataclass(frozen=True)
class Facts:
    """One video or span.

    Args:
        fps: mean rate from the first frame to the last; NaN for fewer than two frames.
        duration_s: frames / fps.
        height, width: pixels, upright.
    """

    frames: int
    fps: float
    duration_s: float
    height: int
    width: int


def look(place: Place, limits: Limits) -> Facts | Trouble:
    """Never raises over the file."""
    try:
        with PyAVReader(limits).open(place[0], *bounds(place)) as video:
            times = video.times
            height, width = video.height, video.width  # upright: the first frame tells the rotation
    except VideoError as error:
        return Trouble(error.verdict, error.reason)
    except MemoryError:
        return Trouble("too_large", "decoding it needs more memory than a worker may take")
    span_s = float(times[-1] - times[0])
    fps = (len(times) - 1) / span_s if span_s > 0 else math.nan
    return Facts(len(times), fps, len(times) / fps, height, width)


Found = Mapping[Place, Facts | Trouble]


@dataclass(frozen=True)
class Stats:
    """A list.

    Args:
        classes: {class: videos}, in the order of the names; empty where there are none.
        frames, fps, duration_s: (n,) of the videos that can be read.
        sizes: {(width, height): videos}.
        unread: (name, what is wrong) of the others.
    """

    name: str
    videos: int
    classes: Mapping[str, int]
    frames: NDArray[np.float64]
    fps: NDArray[np.float64]
    duration_s: NDArray[np.float64]
    sizes: Mapping[tuple[int, int], int]
    unread: tuple[tuple[str, str], ...]

    @property
    def imbalance(self) -> float:
        """Videos of the largest class over those of the smallest; NaN without classes."""
        return max(self.classes.values()) / min(self.classes.values()) if self.classes else math.nan


def stats_of(part: VideoSet, found: Found) -> Stats:
    facts = [(video, found[video.place]) for video in part.videos]
    read = [one for _, one in facts if isinstance(one, Facts)]
    classes = Counter(video.label for video in part.videos if video.label)
    return Stats(
        name=part.name,
        videos=len(part.videos),
        classes=dict(sorted(classes.items())),
        frames=np.array([one.frames for one in read], dtype=np.float64),
        fps=np.array([one.fps for one in read], dtype=np.float64),
        duration_s=np.array([one.duration_s for one in read], dtype=np.float64),
        sizes=dict(Counter((one.width, one.height) for one in read).most_common()),
        unread=tuple((video.name, f"{one.verdict}: {one.reason}") for video, one in facts if isinstance(one, Trouble)),
    )


def quantiles(values: NDArray[np.float64]) -> list[float]:
    """At `QUANTILES`, by values that occur; NaN where there are none."""
    known = values[np.isfinite(values)]
    return np.percentile(known, QUANTILES, method="nearest").tolist() if len(known) else [math.nan] * len(QUANTILES)


def rows_of(videos: Sequence[Video], found: Found) -> list[tuple[Video, Facts | None, str]]:
    """Each video with what is known of it, or with what is wrong."""
    facts = [(video, found[video.place]) for video in videos]
    return [
        (video, one, "") if isinstance(one, Facts) else (video, None, f"{one.verdict}: {one.reason}")
        for video, one in facts
    ]
