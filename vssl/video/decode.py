"""Decoding: the frames of a video file by index, frame-exact.

A `Reader` opens a path (or a segment of it) as a `Video`: the times of its frames, known before any pixel is decoded,
and their pixels on demand. What cannot be read raises one typed `VideoError`, never anything else.

`PyAVReader` reads the timestamps of all packets first (no decoding), then seeks to the keyframe on which the first
wanted frame leans and decodes forward, matching frames by pts. Seeking is never believed: decoding starts at exactly
that keyframe's packet or at the first packet of the file. Files whose timestamps do not identify frames (elementary
streams, doubled pts) are decoded once to be counted, and from their start for every call.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import Protocol

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vssl.video.errors import DECODER_ERRORS, Limits, Verdict, VideoError, describe, translated
from vssl.video.frame_index import FrameIndex, frame_rate, index_by_decoding, index_by_packets

__all__ = ["Limits", "PyAVReader", "Reader", "Verdict", "Video", "VideoError"]

NAN = float("nan")
SEEK_COST_FRAMES = 8  # a seek costs about as much as decoding this many frames of a small video


class Video(Protocol):
    """An open video, or a segment of one."""

    @property
    def times(self) -> NDArray[np.float64]:
        """(n,) seconds at which each frame is shown, ascending, by the file's clock."""

    @property
    def height(self) -> int:
        """Pixels, upright (after the rotation that the file asks for)."""

    @property
    def width(self) -> int:
        """Pixels, upright."""

    def frames(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """RGB frames (n, H, W, 3) at `indices` into `times`: ascending, each at most once.

        The array may be a view that dies with the video: copy what must live longer. Raises VideoError.
        """


class Reader(Protocol):
    """Opens videos; picklable, and cheap to send to a worker."""

    def open(self, path: str, start_s: float = NAN, end_s: float = NAN) -> AbstractContextManager[Video]:
        """The frames shown in [start_s, end_s) of the file's clock; NaN is no bound. Raises VideoError."""


@dataclass(frozen=True)
class PyAVReader:
    """Reads what FFmpeg reads, through PyAV, with one decoder thread and within `limits`."""

    limits: Limits = field(default_factory=Limits)

    @contextmanager
    def open(self, path: str, start_s: float = NAN, end_s: float = NAN) -> Iterator[Video]:
        with closing(_PyAVVideo(path, self.limits)) as video:
            video.find_frames(start_s, end_s)
            yield video


class _PyAVVideo:
    """One open container, its chosen stream and the index of its frames."""

    _index: FrameIndex

    def __init__(self, path: str, limits: Limits) -> None:
        _refuse_odd_files(path)
        self._path, self._limits = path, limits
        self._reformatter = VideoReformatter()
        self._quarter_turns: int | None = None  # counter-clockwise; FFmpeg tells it with the first decoded frame
        self._damage: str | None = None  # what ended the last pass of decoding before the end of the file
        self._open_container()

    def _open_container(self) -> None:
        # An absolute path has no scheme, and the whitelist keeps playlists from opening anything but local files.
        options = {"max_pixels": str(self._limits.pixels), "protocol_whitelist": "file"}
        with translated(self._path, "unreadable", "cannot be opened"):
            self._container = av.open(os.path.abspath(self._path), options=options, metadata_errors="ignore")
        try:
            self._stream = _choose_stream(self._container, self._path)
            self._stream.codec_context.thread_count = 1
            self._stream.codec_context.options = {"max_pixels": str(self._limits.pixels)}
            self._coded_size = _checked_size(self._stream, self._path, self._limits)
        except VideoError:
            self.close()
            raise

    def close(self) -> None:
        self._container.close()

    def find_frames(self, start_s: float, end_s: float) -> None:
        """Builds the index of the segment. Raises VideoError where it has no frame."""
        index = index_by_packets(self._container, self._stream, self._path, self._limits)
        if index is None:
            # Read now: decoding opens the file anew, and what belongs to a closed container must not be touched.
            time_base, rate = self._stream.time_base, frame_rate(self._stream)
            frames = self._decode(self._packets_from_start())
            index = index_by_decoding(frames, time_base, rate, self._path, self._limits)
        if not len(index.times):
            raise self._no_frames()
        self._index = index.between(start_s, end_s)
        if not len(self._index.times):
            first, last = index.times[0], index.times[-1]
            reason = f"no frame is shown in [{start_s:g}, {end_s:g}) s; the frames run from {first:g} to {last:g} s"
            raise VideoError(self._path, "empty", reason)

    def _no_frames(self) -> VideoError:
        if self._damage is None:
            return VideoError(self._path, "empty", "the video stream has no frames")
        return VideoError(self._path, "damaged", f"no frame can be decoded: {self._damage}")

    @property
    def times(self) -> NDArray[np.float64]:
        return self._index.times

    @property
    def height(self) -> int:
        return self._coded_size[self._turns() % 2]

    @property
    def width(self) -> int:
        return self._coded_size[1 - self._turns() % 2]

    def _turns(self) -> int:
        if self._quarter_turns is None:
            self.frames(np.zeros(1, dtype=np.int64))
        assert self._quarter_turns is not None
        return self._quarter_turns

    def frames(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        self._refuse_large_output(len(indices))
        frames: NDArray[np.uint8] | None = None
        for places in self._runs(indices):
            for place, frame in self._find(indices, places):
                image = self._rgb(frame)
                if frames is None:
                    frames = np.empty((len(indices), *image.shape), dtype=np.uint8)
                frames[place] = image
        return np.empty((0, self.height, self.width, 3), dtype=np.uint8) if frames is None else frames

    def _refuse_large_output(self, count: int) -> None:
        height, width = self._coded_size
        size, limit = count * height * width * 3, self._limits.output_bytes
        if size > limit:
            reason = f"{count} frames of {width} x {height} pixels are {size} bytes, above the limit of {limit}"
            raise VideoError(self._path, "too_large", reason)

    def _rgb(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """Upright RGB, (H, W, 3). A frame of another size than the stream's is scaled to it."""
        if self._quarter_turns is None:
            self._quarter_turns = round(frame.rotation / 90) % 4
        height, width = self._coded_size
        with translated(self._path, "damaged", "a frame cannot be converted to RGB"):
            image = self._reformatter.reformat(frame, width, height, "rgb24", threads=1).to_ndarray()
        return np.rot90(image, self._quarter_turns)

    def _runs(self, indices: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Places in `indices`, split where seeking ahead is cheaper than decoding on."""
        anchor, packet = self._index.anchor[indices], self._index.packet[indices]
        ahead = anchor[1:] > packet[:-1] + SEEK_COST_FRAMES
        runs = np.split(np.arange(len(indices)), np.flatnonzero(ahead) + 1)
        return [run for run in runs if len(run)]

    def _find(self, indices: NDArray[np.int64], places: NDArray[np.int64]) -> Iterator[tuple[int, VideoFrame]]:
        """The decoded frames at `indices[places]`, each with its place, in decoding order.

        Damage ends a pass; frames past it are tried once more from their own keyframe, so that which frames can be had
        does not depend on which are asked for together. Raises VideoError if one is missing.
        """
        index, chosen = self._index, indices[places]
        missing: dict[int | None, int] = dict(zip(index.key[chosen].tolist(), places.tolist(), strict=True))
        for anchor in np.unique(index.anchor[chosen]).tolist():
            if missing and anchor == index.anchor[indices[list(missing.values())]].min():
                yield from self._collect(self._packets_from(anchor), missing)
        if missing and self._damage is None:
            yield from self._collect(self._packets_from_start(), missing)
        if missing:
            first = indices[min(missing.values())]
            reason = f"frame {first} at {self.times[first]:g} s cannot be decoded"
            raise VideoError(self._path, "damaged", f"{reason}: {self._damage or 'the decoder does not give it'}")

    def _collect(
        self, packets: Iterable[Packet[VideoStream]], missing: dict[int | None, int]
    ) -> Iterator[tuple[int, VideoFrame]]:
        """Decodes until nothing is missing; what is found leaves `missing` and is given with its place."""
        for count, frame in enumerate(self._decode(packets)):
            key = count if self._index.counted else frame.pts
            if key in missing:
                yield missing.pop(key), frame
            if not missing:
                return

    def _packets_from(self, anchor: int) -> Iterator[Packet[VideoStream]]:
        """Packets in the order of the file from exactly `anchor`; from the first if seeking does not lead there."""
        yield from (None if self._index.counted else self._seek(anchor)) or self._packets_from_start()

    def _seek(self, anchor: int) -> Iterator[Packet[VideoStream]] | None:
        pts, dts = int(self._index.pts[anchor]), int(self._index.dts[anchor])
        with suppress(*DECODER_ERRORS):
            self._container.seek(dts, stream=self._stream)
            packets = self._container.demux(self._stream)
            for packet in packets:
                if packet.pts == pts:
                    return chain([packet], packets)
                if packet.dts is None or packet.dts > dts:
                    break
        return None

    def _packets_from_start(self) -> Iterator[Packet[VideoStream]]:
        self.close()
        self._open_container()
        yield from self._container.demux(self._stream)

    def _decode(self, packets: Iterable[Packet[VideoStream]]) -> Iterator[VideoFrame]:
        """Frames in decoding order, up to the first damage, which stays in `_damage`."""
        self._damage = None
        for frame in chain.from_iterable(self._decode_packets(packets)):
            if frame.is_corrupt:
                self._damage = self._damage or "the decoder calls it corrupt"
                return
            yield frame

    def _decode_packets(self, packets: Iterable[Packet[VideoStream]]) -> Iterator[list[VideoFrame]]:
        height, width = self._coded_size
        at_most = max(1, self._limits.decoded_pixels // (height * width))
        try:
            for fed, packet in enumerate(packets):
                if fed >= at_most:
                    reason = f"more than {at_most} frames must be decoded to reach one; set keyframes every few seconds"
                    raise VideoError(self._path, "too_slow", reason)
                yield packet.decode()
        except DECODER_ERRORS as error:
            self._damage = describe(error)
            with suppress(*DECODER_ERRORS):
                yield self._stream.decode(None)  # frames from before the damage, held back for reordering


def _refuse_odd_files(path: str) -> None:
    """Only files with content are opened: a pipe would block, a folder or device has no end."""
    with translated(path, "unreadable", "cannot be opened"):
        status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise VideoError(path, "unreadable", "this is no regular file")
    if status.st_size == 0:
        raise VideoError(path, "empty", "the file has 0 bytes")


def _choose_stream(container: InputContainer, path: str) -> VideoStream:
    """The video stream with the largest frames; cover art is no video. The others are not read."""
    candidates = [
        stream for stream in container.streams.video
        if stream.codec_context is not None and not stream.disposition & Disposition.attached_pic
    ]  # fmt: skip
    if not candidates:
        raise VideoError(path, "no_video", "no stream of this file is a video that FFmpeg can decode")
    chosen = max(candidates, key=lambda stream: stream.codec_context.width * stream.codec_context.height)
    for stream in container.streams:
        stream.discard = Discard.default if stream is chosen else Discard.all
    return chosen


def _checked_size(stream: VideoStream, path: str, limits: Limits) -> tuple[int, int]:
    """Height and width of the stream, as FFmpeg found them by decoding its first frames."""
    height, width = stream.codec_context.height, stream.codec_context.width
    if height * width == 0:
        raise VideoError(path, "damaged", "no frame can be decoded: the size of the frames is unknown")
    if height * width > limits.pixels:
        reason = f"frames of {width} x {height} pixels are above the limit of {limits.pixels} pixels"
        raise VideoError(path, "too_large", reason)
    return height, width
