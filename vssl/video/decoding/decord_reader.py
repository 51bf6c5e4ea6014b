"""`data.decoder=decord`: the pixels of our frames from decord, which brings an FFmpeg of its own.

Its frame i is our frame i where it counts as many frames as we do: both order them by time. Its times start from 0 and
come from its table of the file's packets, not from what it has decoded: unlike torchcodec, it is not found out where it
seeks wrongly. What it was seen to get wrong is refused, and only the kinds of file that were compared are read.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module

import numpy as np
from numpy.typing import NDArray

from vssl.video.decoding import addresses
from vssl.video.decoding.decode import Limits, PyAVReader, Video, VideoError
from vssl.video.decoding.foreign import ONLY_PYAV, ForeignVideo, Pixels, refuse_unidentified, segment
from vssl.video.decoding.frame_index import IndexedFile

NAN = float("nan")
LIBRARY = "decord"
# In MPEG transport streams it gave other frames; nobody has compared the rest.
CONTAINERS = frozenset({"mov", "mp4", "matroska", "webm", "avi"})


@dataclass(frozen=True)
class DecordReader:
    """Reads mp4, mov, mkv, webm and avi through decord, with one decoder thread and within `limits`."""

    limits: Limits = field(default_factory=Limits)

    @contextmanager
    def open(self, path: str, start_s: float = NAN, end_s: float = NAN) -> Iterator[Video]:
        file = PyAVReader(self.limits).index(path, turns=True)
        refuse_unidentified(path, file, LIBRARY)
        if wrong := _gone_wrong(file):
            raise VideoError(path, "unreadable", f"decord cannot be relied on for it: {wrong}; {ONLY_PYAV}")
        inside = segment(path, file, start_s, end_s)
        yield ForeignVideo(path, file, inside, self.limits, LIBRARY, lambda: _opened(path, file))


def _gone_wrong(file: IndexedFile) -> str | None:
    """What decord 0.6.0 was seen to give other frames for, without an error."""
    if CONTAINERS.isdisjoint(file.container.split(",")):
        return f"the file is of kind '{file.container}'"
    if file.index.has_leading():
        return "its groups of pictures are open"
    if file.quarter_turns:
        return "its frames are to be turned"
    return None


def _opened(path: str, file: IndexedFile) -> Pixels:
    library = import_module(LIBRARY)
    library.logging.set_level(library.logging.QUIET)
    content = addresses.for_ffmpeg(path)
    reader = library.VideoReader(io.BytesIO(content) if isinstance(content, bytes) else content, num_threads=1)
    if (counted := len(reader)) != len(file.index.times):
        raise RuntimeError(f"it counts {counted} frames, and the file has {len(file.index.times)}")

    def pixels(places: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        frames = reader.get_batch(places.tolist()).asnumpy()
        return frames, reader.get_frame_timestamp(places)[:, 0].astype(np.float64) + file.index.times[0]

    return pixels
