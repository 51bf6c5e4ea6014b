"""Decoding: the frames of a video file by index, frame-exact.

A `Reader` opens an address (or a segment of it) as a `Video`: the times of its frames, known before any pixel is
decoded, and their pixels on demand. What cannot be read raises one typed `VideoError`, never anything else.

`PyAVReader` reads the timestamps of all packets first (no decoding), then seeks to the keyframe on which the first
wanted frame leans and decodes forward, matching frames by pts. Seeking is never believed: decoding starts at exactly
that keyframe's packet or at the first packet of the file. Files whose timestamps do not identify frames (elementary
streams, doubled pts) are decoded once to be counted, and from their start for every call.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import Protocol

import av
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vssl.video.decoding import addresses
from vssl.video.decoding.errors import DECODER_ERRORS, Limits, Verdict, VideoError, describe, translated
from vssl.video.decoding.frame_index import FrameIndex, IndexedFile, frame_rate, index_by_decoding, index_by_packets
from vssl.video.decoding.streams import checked_size, choose_stream, refuse_odd_files

__all__ = ["Limits", "PyAVReader", "Reader", "Verdict", "Video", "VideoError"]

NAN = float("nan")
NOT_GIVEN = "the decoder does not give it"
SKIPPING_CODECS = ("h264", "hevc")  # whose decoders can leave out frames that no other frame leans on
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
class Survey:
    """What a file gives from its first frame to its last.

    Args:
        times: (n,) seconds at which each frame is shown, ascending, also those that do not decode.
        decoded: how many of them can be had.
        height, width: pixels, upright.
        damage: the first frame that does not decode, and why; None where all do.
    """

    times: NDArray[np.float64]
    decoded: int
    height: int
    width: int
    damage: str | None


@dataclass(frozen=True)
class PyAVReader:
    """Reads what FFmpeg reads, through PyAV, with one decoder thread and within `limits`."""

    limits: Limits = field(default_factory=Limits)

    @contextmanager
    def open(self, path: str, start_s: float = NAN, end_s: float = NAN) -> Iterator[Video]:
        with closing(_PyAVVideo(path, self.limits)) as video:
            video.find_frames(start_s, end_s)
            yield video

    def index(self, path: str, turns: bool = False) -> IndexedFile:
        """The frames of the whole file; the first is decoded if `turns` are asked for. Raises VideoError."""
        with closing(_PyAVVideo(path, self.limits)) as video:
            video.find_frames(NAN, NAN)
            quarter_turns = video._turns() if turns else None
            kind, size = video._container.format.name, video._coded_size
            return IndexedFile(video._index, video._stream.index, kind, *size, quarter_turns)

    def survey(self, path: str) -> Survey:
        """Decodes the whole file once and keeps no frame. Raises VideoError where not one frame can be had."""
        with closing(_PyAVVideo(path, self.limits)) as video:
            video.find_frames(NAN, NAN)
            return video.survey()


class _PyAVVideo:
    """One open container, its chosen stream and the index of its frames."""

    _index: FrameIndex

    def __init__(self, path: str, limits: Limits) -> None:
        refuse_odd_files(path)
        self._path, self._limits = path, limits
        with translated(path, "unreadable", "cannot be opened"):
            self._source = addresses.for_ffmpeg(path)
        self._reformatter = VideoReformatter()
        self._quarter_turns: int | None = None  # counter-clockwise; FFmpeg tells it with the first decoded frame
        self._interlaced = False  # as soon as one decoded frame is
        self._damage: str | None = None  # what ended the last pass of decoding before the end of the file
        self._open_container()

    def _open_container(self) -> None:
        # An absolute path has no scheme, and the whitelist keeps playlists from opening anything but local files.
        options = {"max_pixels": str(self._limits.pixels), "protocol_whitelist": "file,subfile"}
        source = io.BytesIO(self._source) if isinstance(self._source, bytes) else self._source
        with translated(self._path, "unreadable", "cannot be opened"):
            self._container = av.open(source, mode="r", options=options, metadata_errors="ignore")
        try:
            self._stream = choose_stream(self._container, self._path)
            self._stream.codec_context.thread_count = 1
            self._stream.codec_context.options = {"max_pixels": str(self._limits.pixels)}
            self._coded_size = checked_size(self._stream, self._path, self._limits)
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
            frames = self._decode(self._few_enough(self._packets_from_start()))
            index = index_by_decoding(frames, time_base, rate, self._path, self._limits)
        if not len(index.times):
            raise self._no_frames()
        if (span := index.times[-1] - index.times[0]) > self._limits.seconds:
            reason = f"the frames span {span:g} s, above the limit of {self._limits.seconds:g} s; cut the file"
            raise VideoError(self._path, "too_large", reason)
        self._index = index.between(start_s, end_s)
        if not len(self._index.times):
            first, last = index.times[0], index.times[-1]
            reason = f"no frame is shown in [{start_s:g}, {end_s:g}) s; the frames run from {first:g} to {last:g} s"
            raise VideoError(self._path, "empty", reason)

    def _no_frames(self) -> VideoError:
        if self._damage is None:
            return VideoError(self._path, "empty", "the video stream has no frames")
        return VideoError(self._path, "unreadable", f"no frame can be decoded: {self._damage}")

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

    def survey(self) -> Survey:
        """One pass over the whole file, as long as it takes; but what no single call could give is refused.

        Damage ends a pass, as it does in `frames`; the next keyframe that has frames to give begins another.
        """
        index = self._index
        self._refuse_large_output(1)
        self._refuse_long_way(int((index.packet - index.anchor).max()) + 1)
        missing: dict[int | None, int] = dict(zip(index.key.tolist(), index.anchor.tolist(), strict=True))
        damage = self._discard_decoded(self._packets_from_start(), missing)
        anchor = index.anchor.min()
        while ahead := [one for one in missing.values() if one > anchor]:
            anchor = min(ahead)
            if (packets := self._seek(anchor)) is not None:
                self._discard_decoded(packets, missing)
        decoded = np.array([key not in missing for key in index.key.tolist()])
        if not decoded.any():
            raise VideoError(self._path, "unreadable", f"no frame can be decoded: {damage or NOT_GIVEN}")
        told = self._told_damage(decoded, damage or index.broken or self._cut_off())
        return Survey(index.times, int(decoded.sum()), self.height, self.width, told)

    def _discard_decoded(self, packets: Iterable[Packet[VideoStream]], missing: dict[int | None, int]) -> str | None:
        """Decodes up to the first damage, which it tells; what is found leaves `missing`."""
        converted: set[tuple[str, int, int]] = set()
        try:
            for count, frame in enumerate(self._decode(packets)):
                if (kind := (frame.format.name, frame.width, frame.height)) not in converted:
                    self._rgb(frame)  # one of each kind: the others differ in their values only
                    converted.add(kind)
                missing.pop(count if self._index.counted else frame.pts, None)
        except VideoError as error:
            if error.verdict != "damaged":
                raise
            return error.reason
        return self._damage

    def _told_damage(self, decoded: NDArray[np.bool_], why: str | None) -> str | None:
        if decoded.all():
            return why and f"the file breaks off after frame {len(decoded) - 1}: {why}"
        first, count = int(np.argmin(decoded)), len(decoded) - int(decoded.sum())
        others = f" (and {count - 1} others)" if count > 1 else ""
        return f"frame {first} at {self.times[first]:g} s cannot be decoded{others}: {why or NOT_GIVEN}"

    def _cut_off(self) -> str | None:
        """Frames that an mp4's table of contents places past the end of the file: reading ends there without error."""
        if "mp4" not in self._container.format.name:
            return None
        end = max((entry.pos + entry.size for entry in self._stream.index_entries), default=0)
        size = len(self._source) if isinstance(self._source, bytes) else addresses.size(self._path)
        return f"its frames go on to byte {end}, and it has {size}" if end > size else None

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
            raise VideoError(self._path, "damaged", f"{reason}: {self._damage or NOT_GIVEN}")

    def _collect(
        self, packets: Iterable[Packet[VideoStream]], missing: dict[int | None, int]
    ) -> Iterator[tuple[int, VideoFrame]]:
        """Decodes until nothing is missing; what is found leaves `missing` and is given with its place."""
        packets = self._few_enough(packets)
        if not self._index.counted and self._stream.codec_context.name in SKIPPING_CODECS:
            packets = self._without_unwanted(packets, missing)
        for count, frame in enumerate(self._decode(packets)):
            self._interlaced |= frame.interlaced_frame
            key = count if self._index.counted else frame.pts
            if key in missing:
                yield missing.pop(key), frame
            if not missing:
                return

    def _without_unwanted(
        self, packets: Iterable[Packet[VideoStream]], missing: dict[int | None, int]
    ) -> Iterator[Packet[VideoStream]]:
        """The packets; for those that hold no missing frame the decoder is told to pass over what nothing leans on.

        It reads this with each packet, since it runs in this thread. Fields may come in packets of their own, of which
        only the first one's timestamp is asked for: interlaced videos are decoded in full.
        """
        passing = None
        for packet in packets:
            unwanted = packet.pts is not None and packet.pts not in missing and not self._interlaced
            if unwanted != passing:
                packet.stream.codec_context.skip_frame = "NONREF" if unwanted else "DEFAULT"
                passing = unwanted
            yield packet

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
        try:
            for packet in packets:
                yield packet.decode()
        except DECODER_ERRORS as error:
            self._refuse_want_of_memory(error)
            self._damage = describe(error)
            with suppress(*DECODER_ERRORS):
                yield self._stream.decode(None)  # frames from before the damage, held back for reordering

    def _refuse_want_of_memory(self, error: BaseException) -> None:
        """Some decoders call it invalid data when they get no memory: so some frames' worth is asked for, too."""
        height, width = self._coded_size
        try:
            if not isinstance(error, MemoryError):
                np.empty((height, width, 16), dtype=np.uint8)  # no page is touched, and it is given back at once
                return
        except MemoryError:
            pass
        reason = "decoding it takes more memory than this process may have"
        raise VideoError(self._path, "too_large", reason) from error

    def _few_enough(self, packets: Iterable[Packet[VideoStream]]) -> Iterator[Packet[VideoStream]]:
        """The packets as long as they are within the limit of one call."""
        for fed, packet in enumerate(packets):
            self._refuse_long_way(fed + 1)
            yield packet

    def _refuse_long_way(self, packets: int) -> None:
        height, width = self._coded_size
        if packets > (at_most := max(1, self._limits.decoded_pixels // (height * width))):
            reason = f"more than {at_most} frames must be decoded to reach one; set keyframes every few seconds"
            raise VideoError(self._path, "too_slow", reason)
