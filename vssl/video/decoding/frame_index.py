"""Which frames a file has, when they are shown, and where decoding must start to get each of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vssl.video.decoding.errors import DECODER_ERRORS, Limits, VideoError, decoder_error, describe

Integers = NDArray[np.int64]
UNKNOWN_RATE = Fraction(25)  # for files without timestamps or rate; as FFmpeg assumes for elementary streams


@dataclass(frozen=True)
class FrameIndex:
    """The n shown frames in the order of their times, and the m packets in the order of the file.

    Args:
        times: (n,) seconds by the file's clock.
        key: (n,) what identifies a decoded frame: its pts, or its place in decoding order where `counted`.
        packet: (n,) the packet that holds each frame.
        anchor: (n,) the packet from which decoding must start to give each frame exactly.
        pts, dts: (m,) timestamps of the packets; empty where `counted`.
        counted: the timestamps do not identify frames; decoding starts at the first packet and frames are counted.
        broken: why no packet could be read from some point on; None where the file ends as it should.
    """

    times: NDArray[np.float64]
    key: Integers
    packet: Integers
    anchor: Integers
    pts: Integers
    dts: Integers
    counted: bool
    broken: str | None = None

    def has_leading(self) -> bool:
        """Whether frames follow a keyframe in the file and lean on the one before it: the groups are open."""
        keyframes = np.unique(self.packet[self.packet == self.anchor])
        place = np.searchsorted(keyframes, self.packet, side="right") - 1
        return bool(((place > 0) & (keyframes[place] != self.anchor)).any())

    def between(self, start_s: float, end_s: float) -> "FrameIndex":
        """The frames shown in [start_s, end_s); NaN is no bound."""
        inside = ~(self.times < start_s) & ~(self.times >= end_s)
        return FrameIndex(
            self.times[inside], self.key[inside], self.packet[inside], self.anchor[inside],
            self.pts, self.dts, self.counted, self.broken,
        )  # fmt: skip


@dataclass(frozen=True)
class IndexedFile:
    """Which frames a file has and where they lie, for a decoder that is not PyAV.

    Args:
        stream: number of the stream in the file.
        container: FFmpeg's names of its kind, such as "mov,mp4,m4a,3gp,3g2,mj2".
        height, width: pixels as stored, before any rotation.
        quarter_turns: counter-clockwise, by which frames are turned to be upright; None where nobody asked.
    """

    index: FrameIndex
    stream: int
    container: str
    height: int
    width: int
    quarter_turns: int | None = None


@dataclass
class _Packets:
    """Timestamps and flags of the packets in the order of the file."""

    pts: list[int | None]
    dts: list[int | None]
    keyframe: list[bool]
    shown: list[bool]
    broken: str | None = None

    def identify_frames(self) -> bool:
        return None not in self.pts and len(set(self.pts)) == len(self.pts)


def index_by_packets(container: InputContainer, stream: VideoStream, path: str, limits: Limits) -> FrameIndex | None:
    """The index read from packet headers, without decoding; None where timestamps are missing or doubled.

    Packets that an edit list hides are decoded but are no frames. A file that breaks off ends where it breaks off.
    """
    packets = _read_packets(container, stream, path, limits)
    if not packets.identify_frames():
        return None
    pts = np.array(packets.pts, dtype=np.int64)
    dts = np.array([p if d is None else d for p, d in zip(packets.pts, packets.dts, strict=True)], dtype=np.int64)
    anchor = _anchors(pts, np.array(packets.keyframe, dtype=bool))
    order = np.argsort(pts, kind="stable")
    order = order[np.array(packets.shown, dtype=bool)[order]]
    times = _seconds(pts[order], stream.time_base)
    return FrameIndex(times, pts[order], order, anchor[order], pts, dts, counted=False, broken=packets.broken)


def _read_packets(container: InputContainer, stream: VideoStream, path: str, limits: Limits) -> _Packets:
    packets = _Packets([], [], [], [])
    try:
        for packet in container.demux(stream):
            if not packet.size:
                continue
            packets.pts.append(packet.pts)
            packets.dts.append(packet.dts)
            packets.keyframe.append(packet.is_keyframe)
            packets.shown.append(not packet.is_discard)
            _refuse_beyond(limits, len(packets.pts), path)
    except DECODER_ERRORS as error:
        if not packets.pts or isinstance(error, MemoryError):
            raise decoder_error(path, "unreadable", "no packet can be read", error) from error
        packets.broken = describe(error)
    return packets


def _anchors(pts: Integers, keyframe: NDArray[np.bool_]) -> Integers:
    """The last keyframe at or before each packet in the file that is not shown after it; else the first packet.

    A packet that follows a keyframe and is shown before it (a leading picture of an open GOP) leans on the GOP before.
    """
    if not keyframe.any():
        return np.zeros(len(pts), dtype=np.int64)
    keyframes = np.flatnonzero(keyframe)
    place = np.searchsorted(keyframes, np.arange(len(pts)), side="right") - 1
    while (leading := (place >= 0) & (pts[keyframes[place]] > pts)).any():
        place[leading] -= 1
    return np.where(place >= 0, keyframes[place], 0)


def frame_rate(stream: VideoStream) -> Fraction:
    """Frames a second: an average, for files that have nothing better."""
    return stream.average_rate or stream.guessed_rate or UNKNOWN_RATE


def index_by_decoding(
    frames: Iterable[av.VideoFrame], time_base: Fraction | None, rate: Fraction, path: str, limits: Limits
) -> FrameIndex:
    """The index of a file whose packets do not identify its frames: every frame is decoded, in order, and counted."""
    pts: list[int | None] = []
    for frame in frames:
        pts.append(frame.pts)
        _refuse_beyond(limits, len(pts), path)
    times = _counted_times(pts, time_base, rate)
    count, none = np.arange(len(pts), dtype=np.int64), np.empty(0, dtype=np.int64)
    return FrameIndex(times, count, count, np.zeros_like(count), none, none, counted=True)


def _counted_times(pts: list[int | None], time_base: Fraction | None, rate: Fraction) -> NDArray[np.float64]:
    """Seconds of frames in decoding order: by pts if these rise strictly, else by the rate from 0."""
    known = np.array([p for p in pts if p is not None], dtype=np.int64)
    if len(known) == len(pts) and (np.diff(known) > 0).all():
        return _seconds(known, time_base)
    return _seconds(np.arange(len(pts), dtype=np.int64), 1 / rate)


def _seconds(pts: Integers, time_base: Fraction | None) -> NDArray[np.float64]:
    # One correctly rounded division: a frame at 1.04 s compares equal to the literal 1.04 of a list.
    base = time_base or Fraction(1)
    return pts * np.float64(base.numerator) / np.float64(base.denominator)


def _refuse_beyond(limits: Limits, frames: int, path: str) -> None:
    if frames > limits.frames:
        raise VideoError(path, "too_large", f"more than {limits.frames} frames; cut the file into shorter ones")
