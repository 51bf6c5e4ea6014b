"""All frames of a segment in one pass over its file, in the order of their times: what a copy is made from."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import TypeVar

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vssl.video.decoding.decode import NOT_GIVEN, PyAVReader
from vssl.video.decoding.errors import DECODER_ERRORS, Limits, VideoError, describe, translated
from vssl.video.decoding.frame_index import FrameIndex, frame_rate
from vssl.video.decoding.streams import choose_stream

Converted = TypeVar("Converted")


@dataclass(frozen=True)
class Segment:
    """The n frames shown in a span of a file, by the file's clock.

    Args:
        index: of these frames.
        pts: (n,) when each is shown, in `time_base`: exactly `index.times`.
        broken: why the file ends before it should, if the span reaches to its end.
    """

    path: str
    index: FrameIndex
    pts: NDArray[np.int64]
    time_base: Fraction
    broken: str | None


def find_segment(path: str, start_s: float, end_s: float, limits: Limits) -> Segment:
    """Raises VideoError where the file gives no frame of [start_s, end_s); NaN is no bound."""
    file = PyAVReader(limits).index(path)
    index = file.index.between(start_s, end_s)
    if not len(index.times):
        first, last = file.index.times[0], file.index.times[-1]
        reason = f"no frame is shown in [{start_s:g}, {end_s:g}) s; the frames run from {first:g} to {last:g} s"
        raise VideoError(path, "empty", reason)
    with _opened(path, limits) as container:
        stream = choose_stream(container, path)
        pts, time_base = _ticks(index.times, stream.time_base, 1 / frame_rate(stream))
        to_the_end = index.times[-1] == file.index.times[-1]
        broken = (file.index.broken or _cut_off(container, stream, path)) if to_the_end else None
    return Segment(path, index, pts, time_base, broken)


def converted(segment: Segment, convert: Callable[[VideoFrame], Converted], limits: Limits) -> Iterator[Converted]:
    """What `convert` makes of each frame, in the order of their times.

    Raises:
        VideoError: not all of them can be decoded.
    """
    index = segment.index
    place = {key: number for number, key in enumerate(index.key.tolist())}
    early: dict[int, Converted] = {}  # decoded before one that is shown before it
    damage, given = None, 0
    try:
        for count, frame in enumerate(_decoded(segment, limits)):
            if frame.is_corrupt:
                damage = damage or "the decoder calls it corrupt"
                continue
            number = place.get(count if index.counted else frame.pts)
            if number is None or number < given:
                continue
            early[number] = convert(frame)
            while given in early:
                yield early.pop(given)
                given += 1
            if given == len(place):
                return
    except DECODER_ERRORS as error:
        damage = damage or describe(error)
    told = f"frame {given} at {index.times[given]:g} s cannot be decoded: {damage or NOT_GIVEN}"
    raise VideoError(segment.path, "damaged", told)


def _ticks(times: NDArray[np.float64], *bases: Fraction | None) -> tuple[NDArray[np.int64], Fraction]:
    """The times as whole numbers of a time base: the stream's, or one over its rate where frames are counted."""
    for base in filter(None, bases):
        ticks = np.rint(times * (base.denominator / base.numerator)).astype(np.int64)
        if np.array_equal(ticks * np.float64(base.numerator) / np.float64(base.denominator), times):
            return ticks, base
    raise AssertionError("times of frames are multiples of one of the two")


def _opened(path: str, limits: Limits) -> InputContainer:
    options = {"max_pixels": str(limits.pixels), "protocol_whitelist": "file"}
    with translated(path, "unreadable", "cannot be opened"):
        return av.open(os.path.abspath(path), options=options, metadata_errors="ignore")


def _decoded(segment: Segment, limits: Limits) -> Iterator[VideoFrame]:
    """Frames in decoding order, from the keyframe on which the first of the segment leans."""
    index = segment.index
    anchor = int(index.anchor.min())
    if anchor > 0 and not index.counted:
        with _opened(segment.path, limits) as container:
            stream = _chosen(container, segment.path, limits)
            if (packets := _from(anchor, container, stream, index)) is not None:
                yield from chain.from_iterable(packet.decode() for packet in packets)
                return
    with _opened(segment.path, limits) as container:
        yield from container.decode(_chosen(container, segment.path, limits))


def _chosen(container: InputContainer, path: str, limits: Limits) -> VideoStream:
    stream = choose_stream(container, path)
    stream.codec_context.thread_count = 1
    stream.codec_context.options = {"max_pixels": str(limits.pixels)}
    return stream


def _from(
    anchor: int, container: InputContainer, stream: VideoStream, index: FrameIndex
) -> Iterator[Packet[VideoStream]] | None:
    """Packets from exactly this one on; None where seeking does not lead there."""
    pts, dts = int(index.pts[anchor]), int(index.dts[anchor])
    with suppress(*DECODER_ERRORS):
        container.seek(dts, stream=stream)
        packets = container.demux(stream)
        for packet in packets:
            if packet.pts == pts:
                return chain([packet], packets)
            if packet.dts is None or packet.dts > dts:
                break
    return None


def _cut_off(container: InputContainer, stream: VideoStream, path: str) -> str | None:
    """Frames that an mp4's table of contents places past the end of the file: reading ends there without error."""
    if "mp4" not in container.format.name:
        return None
    end, size = max((entry.pos + entry.size for entry in stream.index_entries), default=0), os.path.getsize(path)
    return f"the file breaks off: its frames go on to byte {end}, and it has {size}" if end > size else None
