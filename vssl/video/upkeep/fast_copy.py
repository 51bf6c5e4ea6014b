"""A fast copy of a video: small, upright, a keyframe every few frames, the same times.

What makes random clips fast, measured on 320x240 at short side 128 (docs/data-tools.md): keyframes every 8 frames, no
arithmetic coding and no loop filter (x264's fastdecode), no block smaller than 16 x 16, and up to six B-frames in a row
on which nothing leans: a decoder that is told so passes over those that are not wanted.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from vssl.records.atomic import atomic
from vssl.video.checks import at_least, within
from vssl.video.decoding.decode import NAN, PyAVReader
from vssl.video.decoding.errors import Limits, VideoError, describe
from vssl.video.upkeep.one_pass import Segment, converted, find_segment

B_FRAMES = 6
COMPARED = 3  # frames of each copy that are compared with the original's
LEAST_PX = 2  # 4:2:0 has no smaller frame
PEAK = 255.0


@dataclass(frozen=True)
class CopySettings:
    """What a fast copy is like.

    Args:
        short_side: pixels, even; a smaller video keeps its size, less the odd row or column.
        gop: frames from one keyframe to the next.
        crf: x264's quality, 0 (lossless) to 51; at 20 a loss is hard to see.
    """

    short_side: int = 128
    gop: int = 8
    crf: float = 20.0

    def __post_init__(self) -> None:
        at_least(16, "short_side", self.short_side)
        if self.short_side % 2:
            raise ValueError(f"short_side is {self.short_side}, allowed are even numbers: H.264 4:2:0 has no odd ones")
        at_least(1, "gop", self.gop)
        within(0, 51, "crf", self.crf)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the copy of an upright video of that size: both even, never larger but for one pixel."""
        share = min(1.0, self.short_side / min(height, width))
        sides = (2 * round(share * side / 2) for side in (height, width))
        high, wide = (
            max(LEAST_PX, min(new, side - side % 2)) for new, side in zip(sides, (height, width), strict=True)
        )
        return high, wide


@dataclass(frozen=True)
class Copied:
    """A finished copy.

    Args:
        height, width: pixels, upright.
        size: bytes.
        psnr_db: of some frames in RGB, against the original resized; 99 at most.
    """

    frames: int
    height: int
    width: int
    size: int
    psnr_db: float


SETTINGS, LIMITS = CopySettings(), Limits()


def copy(
    path: str, out: Path, settings: CopySettings = SETTINGS, start_s: float = NAN, end_s: float = NAN,
    limits: Limits = LIMITS,
) -> Copied:  # fmt: skip
    """Writes a fast copy of the frames shown in [start_s, end_s) to `out`, an mp4 that is whole or absent.

    Its clock is the original's: every frame has the same time in seconds, so that a span means the same in both. It is
    decoded before it takes its place: all frames are there, at exactly these times.

    Raises:
        VideoError: the original, or this span of it, cannot be read in full; or its times do not fit into an mp4.
        WorkError: the operating system refused the write.
    """
    with PyAVReader(limits).open(path, start_s, end_s) as video:
        size = settings.size(video.height, video.width)
    segment = find_segment(path, start_s, end_s, limits)
    if segment.broken:
        raise VideoError(path, "damaged", segment.broken)
    with atomic(out) as temporary:
        try:
            _encode(segment, temporary, size, settings, limits)
        except av.FFmpegError as error:
            if isinstance(error, OSError):
                raise  # a refused write
            raise VideoError(path, "unreadable", f"an mp4 cannot hold its frames: {describe(error)}") from error
        _verify(segment, temporary, size, limits)
        psnr = _psnr(path, start_s, end_s, temporary, limits)
        length = os.path.getsize(temporary)
    return Copied(len(segment.pts), *size, length, psnr)


def _encode(segment: Segment, out: Path, size: tuple[int, int], settings: CopySettings, limits: Limits) -> None:
    resized = _Resized(size)
    ticks = str(segment.time_base.denominator)
    # Both clocks of the file tick as the original's: the offset of the first frame is in the second one.
    clocks = {"video_track_timescale": ticks, "movie_timescale": ticks}
    lengths = np.diff(segment.pts)
    lengths = np.append(lengths, lengths[-1:] if len(lengths) else 1)  # the last is shown as long as the one before
    with av.open(str(out), "w", format="mp4", options=clocks) as container:
        stream = container.add_stream("libx264", options=_options(settings))
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = stream.time_base = segment.time_base
        stream.codec_context.gop_size = settings.gop
        stream.codec_context.thread_count = 1
        for frame, pts, length in zip(converted(segment, resized, limits), segment.pts, lengths, strict=True):
            frame.pts, frame.duration, frame.time_base = int(pts), int(length), segment.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _options(settings: CopySettings) -> dict[str, str]:
    return {
        "preset": "medium",
        "tune": "fastdecode",
        "crf": f"{settings.crf:g}",
        "bf": str(max(0, min(B_FRAMES, settings.gop - 2))),
        "x264opts": "scenecut=0:b-adapt=0:b-pyramid=none:ref=1:partitions=none:no-8x8dct",
    }


class _Resized:
    """Upright frames of one size, with the colours that a reader sees."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self.reformatter = VideoReformatter()
        self.quarter_turns: int | None = None

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        if self.quarter_turns is None:
            self.quarter_turns = round(frame.rotation / 90) % 4
        height, width = self.size if self.quarter_turns % 2 == 0 else self.size[::-1]
        image = _scaled(self.reformatter, frame, height, width)
        return VideoFrame.from_ndarray(np.ascontiguousarray(np.rot90(image, self.quarter_turns)), format="rgb24")


def _scaled(reformatter: VideoReformatter, frame: VideoFrame, height: int, width: int) -> NDArray[np.uint8]:
    scaled = reformatter.reformat(frame, width, height, "rgb24", interpolation="AREA", threads=1)
    return np.asarray(scaled.to_ndarray(), dtype=np.uint8)


def _verify(segment: Segment, copied: Path, size: tuple[int, int], limits: Limits) -> None:
    """Decodes all of it."""
    try:
        survey = PyAVReader(limits).survey(str(copied))
        told = survey.damage
    except VideoError as error:
        survey, told = None, error.reason
    if survey is not None and told is None:
        if len(survey.times) != len(segment.pts):
            told = f"{len(survey.times)} of {len(segment.pts)} frames"
        elif not np.array_equal(survey.times, segment.index.times):
            first = int(np.argmin(survey.times == segment.index.times))
            told = f"frame {first} at {survey.times[first]!r} s instead of {segment.index.times[first]!r} s"
        elif (survey.height, survey.width) != size:
            told = f"{survey.width} x {survey.height} pixels"
    if told is not None:
        raise VideoError(segment.path, "unreadable", f"an mp4 cannot hold its frames as they are: it gives {told}")


def _psnr(path: str, start_s: float, end_s: float, copied: Path, limits: Limits) -> float:
    """Against what the reader gives of the original: another way than that by which the copy was made."""
    reader, reformatter = PyAVReader(limits), VideoReformatter()
    with reader.open(path, start_s, end_s) as before, reader.open(str(copied)) as after:
        places = np.unique(np.arange(COMPARED) * len(after.times) // COMPARED)
        errors = []
        for place in places:
            (one,), (other,) = before.frames(places[places == place]), after.frames(places[places == place])
            original = VideoFrame.from_ndarray(np.ascontiguousarray(one), format="rgb24")
            expected = _scaled(reformatter, original, *other.shape[:2])
            errors.append(np.square(expected.astype(np.float64) - other).mean())
    error = float(np.mean(errors))
    return 99.0 if error < PEAK**2 / 10**9.9 else float(10 * np.log10(PEAK**2 / error))
