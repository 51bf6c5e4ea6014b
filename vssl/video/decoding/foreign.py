"""Videos whose frames another library decodes.

Which frames there are, and when they are shown, is read by PyAV (`PyAVReader.index`), so that an index means the same
frame whatever decodes it. The library is asked for the pixels of those frames alone, and for their times, which have to
be the ones of the index: a library that seeks to another frame is found out, and its pixels are not handed on.
"""

import re
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vssl.video.decoding.decode import Limits, VideoError
from vssl.video.decoding.errors import decoder_error
from vssl.video.decoding.frame_index import IndexedFile

TIME_ERROR_S = 1e-3  # how far from ours a library's time of a frame may lie; and
TIME_ERROR_RELATIVE = 2.0**-22  # for times that are told in single precision
_SOURCE_LINE = re.compile(r"^.*\.(?:cpp|cc|h):\d+[:,]\s*")
ONLY_PYAV = "data.decoder=pyav reads it"


class Pixels(Protocol):
    """A file as a library has opened it."""

    def __call__(self, places: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """Upright RGB frames (n, H, W, 3) and their times in seconds (n,), at places in the index of the whole file."""


class ForeignVideo:
    """A segment of an indexed file; the library opens the file when the first frame is wanted.

    Args:
        file: of the whole file.
        inside: (F,) True for the frames of the segment.
        library: its name, for messages.
    """

    def __init__(
        self, path: str, file: IndexedFile, inside: NDArray[np.bool_], limits: Limits, library: str,
        opened: Callable[[], Pixels],
    ) -> None:  # fmt: skip
        self._path, self._file, self._limits, self._library = path, file, limits, library
        self._places = np.flatnonzero(inside)
        self._open = opened
        self._pixels: Pixels | None = None
        self._shape: tuple[int, int] | None = None  # upright; known with the first frames

    @property
    def times(self) -> NDArray[np.float64]:
        return self._file.index.times[self._places]

    @property
    def height(self) -> int:
        return self._upright()[0]

    @property
    def width(self) -> int:
        return self._upright()[1]

    def _upright(self) -> tuple[int, int]:
        if self._shape is None:
            self.frames(np.zeros(1, dtype=np.int64))
        assert self._shape is not None
        return self._shape

    def frames(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        if not len(indices):
            return np.empty((0, *self._upright(), 3), dtype=np.uint8)
        places = self._places[indices]
        self._refuse_large(places)
        frames, times = self._read(places, int(indices[0]))
        height, width = frames.shape[1:3]
        if (height, width) not in (size := (self._file.height, self._file.width), size[::-1]):
            raise self._damaged(f"it gives frames of {width} x {height} pixels instead of {size[1]} x {size[0]}")
        self._refuse_other_frames(places, indices, times)
        self._shape = (height, width)
        return frames

    def _refuse_large(self, places: NDArray[np.int64]) -> None:
        height, width, index = self._file.height, self._file.width, self._file.index
        size, limit = len(places) * height * width * 3, self._limits.output_bytes
        if size > limit:
            reason = f"{len(places)} frames of {width} x {height} pixels are {size} bytes, above the limit of {limit}"
            raise VideoError(self._path, "too_large", reason)
        at_most = max(1, self._limits.decoded_pixels // (height * width))
        if int((index.packet[places] - index.anchor[places]).max()) >= at_most:
            reason = f"more than {at_most} frames must be decoded to reach one; set keyframes every few seconds"
            raise VideoError(self._path, "too_slow", reason)

    def _read(self, places: NDArray[np.int64], first: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        try:
            if self._pixels is None:
                self._pixels = self._open()
            return self._pixels(places)
        except Exception as error:  # whatever a library's C++ raises; nothing of ours runs in there
            self._pixels = None  # what it holds after an error is not known: the next call opens the file anew
            doing = f"frame {first} at {self.times[first]:g} s, or one asked for with it, cannot be decoded by"
            raise decoder_error(self._path, "damaged", f"{doing} {self._library}", _one_line(error)) from error

    def _refuse_other_frames(
        self, places: NDArray[np.int64], indices: NDArray[np.int64], told: NDArray[np.float64]
    ) -> None:
        """Each told time has to be that of the frame, and nearer to it than to any other frame's."""
        times = self._file.index.times
        nearest = np.searchsorted((times[1:] + times[:-1]) / 2, told)
        other = (nearest != places) | ~np.isclose(told, times[places], rtol=TIME_ERROR_RELATIVE, atol=TIME_ERROR_S)
        if other.any():
            first = int(np.argmax(other))
            index = int(indices[first])
            wanted = f"for frame {index} at {self.times[index]:g} s it gives one at {told[first]:g} s"
            raise self._damaged(wanted)

    def _damaged(self, found: str) -> VideoError:
        self._pixels = None
        return VideoError(self._path, "damaged", f"{self._library} does not find its frames: {found}; {ONLY_PYAV}")


def _one_line(error: BaseException) -> BaseException:
    """The error with its reason alone: libraries tell the place in their sources before it, their stack after it."""
    if isinstance(error, MemoryError):
        return error
    return RuntimeError(_SOURCE_LINE.sub("", str(error).split("\n", 1)[0]) or type(error).__name__)


def segment(path: str, file: IndexedFile, start_s: float, end_s: float) -> NDArray[np.bool_]:
    """(F,) True for the frames shown in [start_s, end_s). Raises VideoError where there is none."""
    times = file.index.times
    inside = ~(times < start_s) & ~(times >= end_s)
    if not inside.any():
        reason = f"no frame is shown in [{start_s:g}, {end_s:g}) s; the frames run from {times[0]:g} to {times[-1]:g} s"
        raise VideoError(path, "empty", reason)
    return inside


def refuse_unidentified(path: str, file: IndexedFile, library: str) -> None:
    """Raises VideoError for files in which a library counts other frames than those that are shown."""
    index = file.index
    if index.counted:
        reason = f"its timestamps do not identify frames, and {library} cannot be asked for one; {ONLY_PYAV}"
        raise VideoError(path, "unreadable", reason)
    if hidden := len(index.pts) - len(index.key):
        reason = f"an edit list hides {hidden} of its frames, and {library} then takes one for another; {ONLY_PYAV}"
        raise VideoError(path, "unreadable", reason)
