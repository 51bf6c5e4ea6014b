"""Decoding once: the frames of a small data set as one uint8 memory map in the cache.

`prepare` writes two files named by what the pixels depend on: paths, sizes and modification times of the videos, and
the reader. `<name>.bin` holds the RGB frames [n, H, W, 3] of all videos one after another; `<name>.npz`, written last,
says where they are, so that a set without it is not whole and is made anew. Each file appears by one rename, under a
lock that dies with its process. `PreparedReader` checks a video's bytes when it opens it first, and from then on opens
it in microseconds, without a system call.
"""

from __future__ import annotations

import fcntl
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, fields
from math import isnan
from pathlib import Path
from typing import BinaryIO, cast

import av
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from vssl.config.errors import UserError, WorkError
from vssl.records.atomic import atomic, writable
from vssl.records.hashes import hash_of
from vssl.video.decoding import addresses
from vssl.video.decoding.decode import Reader, Verdict, Video, VideoError

VERSION = 2
FIRST_READ = 32  # frames decoded at a time while preparing, until their size is known
READ_BYTES = 2**27  # and from then on
PROJECT_FROM = 100  # videos seen before the size of the whole set is projected from them
NAN = float("nan")


@dataclass(frozen=True)
class _Index:
    """N videos with F frames in all, of which some could not be decoded and are not stored.

    path, verdict, reason: (N,) text; a verdict says why the file, or some frames of it, cannot be had.
    height, width: (N,) pixels; 0 where no frame can be had. offset: (N + 1,) bytes. first: (N + 1,) places in `times`.
    check: (N,) CRC-32 of the bytes of each video.
    times: (F,) seconds. row: (F,) place of the frame among the stored frames of its video, -1 if it is not stored.
    """

    path: NDArray[np.str_]
    verdict: NDArray[np.str_]
    reason: NDArray[np.str_]
    height: NDArray[np.int64]
    width: NDArray[np.int64]
    offset: NDArray[np.int64]
    check: NDArray[np.uint32]
    first: NDArray[np.int64]
    times: NDArray[np.float64]
    row: NDArray[np.int64]


class PreparedReader:
    """Reads a prepared set; the same frames, sizes, times and errors as the reader that filled it.

    Pickled by the name of its file: a worker maps the same memory.
    """

    def __init__(self, index_file: Path) -> None:
        self._index_file = index_file
        self._index = _load(index_file)
        self._bytes = _map(index_file.with_suffix(".bin"))
        self._place = {path: i for i, path in enumerate(self._index.path.tolist())}
        self._whole: dict[int, _PreparedVideo] = {}

    def __reduce__(self) -> tuple[type[PreparedReader], tuple[Path]]:
        return PreparedReader, (self._index_file,)

    def open(self, path: str, start_s: float = NAN, end_s: float = NAN) -> AbstractContextManager[Video]:
        i = self._place.get(path)
        if i is None:
            raise WorkError(f"{addresses.name(path)} is not in the prepared set {self._index_file}")
        video = self._whole.get(i)
        if video is None:
            video = self._whole[i] = self._video(i)
        return nullcontext(video if isnan(start_s) and isnan(end_s) else video.between(start_s, end_s))

    def _video(self, i: int) -> _PreparedVideo:
        index = self._index
        path, verdict, reason = str(index.path[i]), str(index.verdict[i]), str(index.reason[i])
        error = VideoError(path, cast(Verdict, verdict), reason) if verdict else None
        height, width = int(index.height[i]), int(index.width[i])
        if error is not None and height == 0:
            raise error
        stored = self._bytes[index.offset[i] : index.offset[i + 1]]
        if zlib.crc32(stored.data) != index.check[i]:
            raise WorkError(
                f"{self._index_file.with_suffix('.bin')} is damaged: the frames of {addresses.name(path)} have changed",
                "delete the file and run the same command again",
            )
        frames = stored.reshape(-1, height, width, 3)
        part = slice(index.first[i], index.first[i + 1])
        return _PreparedVideo(path, index.times[part], frames, index.row[part], error)


@dataclass(frozen=True)
class _PreparedVideo:
    path: str
    times: NDArray[np.float64]
    stored: NDArray[np.uint8]
    row: NDArray[np.int64]
    error: VideoError | None

    @property
    def height(self) -> int:
        return int(self.stored.shape[1])

    @property
    def width(self) -> int:
        return int(self.stored.shape[2])

    def frames(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        rows = self.row[indices]
        if self.error is not None and (rows < 0).any():
            raise self.error
        return self.stored[rows]

    def between(self, start_s: float, end_s: float) -> _PreparedVideo:
        inside = ~(self.times < start_s) & ~(self.times >= end_s)
        if not inside.any():
            raise VideoError(self.path, "empty", f"no frame is shown in [{start_s:g}, {end_s:g}) s")
        return _PreparedVideo(self.path, self.times[inside], self.stored, self.row[inside], self.error)


def prepare(paths: Sequence[str], reader: Reader, folder: Path, max_bytes: int = 2**34) -> PreparedReader:
    """The prepared set of `paths`, made by `reader` if `folder` does not hold it yet.

    A file that `reader` refuses is refused by the prepared reader in the same words. Processes that prepare the same
    set at once wait for the first of them.

    Args:
        reader: its `repr` must tell its settings: it is part of the set's name.
        max_bytes: largest size on disk.
    Raises:
        UserError: the frames need more than `max_bytes`.
        WorkError: the operating system refused a write.
    """
    paths = list(dict.fromkeys(paths))
    index_file = folder / f"{_name(paths, reader)}.npz"
    if not _is_whole(index_file):
        writable(folder)
        with _locked(index_file.with_suffix(".lock")):
            if not _is_whole(index_file):
                _build(paths, reader, index_file, max_bytes)
    return PreparedReader(index_file)


def _name(paths: Sequence[str], reader: Reader) -> str:
    return hash_of([VERSION, repr(reader), av.__version__, [[path, *_state(path)] for path in paths]])[:32]


def _state(path: str) -> tuple[int, int]:
    """Size and modification time of the file behind; of a missing file -1, which the reader will refuse."""
    try:
        return addresses.state(path)
    except OSError:
        return -1, -1


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    try:
        handle = file.open("w")
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError as error:
        raise WorkError(f"cannot lock {file}: {error.strerror}", "set VSSL_CACHE to a local folder") from error
    with handle:
        yield


def _is_whole(index_file: Path) -> bool:
    try:
        return int(_load(index_file).offset[-1]) == index_file.with_suffix(".bin").stat().st_size
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return False


def _load(index_file: Path) -> _Index:
    with np.load(index_file) as arrays:
        return _Index(**{field.name: arrays[field.name] for field in fields(_Index)})


def _map(file: Path) -> NDArray[np.uint8]:
    if file.stat().st_size == 0:
        return np.empty(0, dtype=np.uint8)
    return np.asarray(np.memmap(file, dtype=np.uint8, mode="r"))  # a plain array: slices of a memmap are slow


def _build(paths: Sequence[str], reader: Reader, index_file: Path, max_bytes: int) -> None:
    for leftover in index_file.parent.glob(f".{index_file.stem}.*.tmp.*"):  # of a killed process: the lock is ours
        leftover.unlink(missing_ok=True)
    with atomic(index_file.with_suffix(".bin")) as temporary, temporary.open("wb") as file:
        index = _write_frames(paths, reader, file, max_bytes)
    with atomic(index_file) as temporary:
        np.savez(temporary, **{field.name: getattr(index, field.name) for field in fields(index)})


@dataclass(frozen=True)
class _Stored:
    """What became of one video: `rows`, `check` as in `_Index`; `shape` (height, width) or zeros; the first error."""

    times: NDArray[np.float64]
    rows: NDArray[np.int64]
    shape: tuple[int, int]
    check: int
    error: VideoError | None


def _write_frames(paths: Sequence[str], reader: Reader, file: BinaryIO, max_bytes: int) -> _Index:
    videos: list[_Stored] = []
    offset = [0]
    for path in track(paths, f"Decoding {len(paths)} videos once", console=Console(stderr=True)):
        videos.append(_store(path, reader, file))
        offset.append(file.tell())
        _refuse_large(offset, len(paths), max_bytes)
    return _Index(
        path=np.array(paths, dtype=np.str_),
        verdict=np.array([video.error.verdict if video.error else "" for video in videos], dtype=np.str_),
        reason=np.array([video.error.reason if video.error else "" for video in videos], dtype=np.str_),
        height=np.array([video.shape[0] for video in videos], dtype=np.int64),
        width=np.array([video.shape[1] for video in videos], dtype=np.int64),
        offset=np.array(offset, dtype=np.int64),
        check=np.array([video.check for video in videos], dtype=np.uint32),
        first=np.cumsum([0, *(len(video.times) for video in videos)], dtype=np.int64),
        times=np.concatenate([np.empty(0), *(video.times for video in videos)]),
        row=np.concatenate([np.empty(0, dtype=np.int64), *(video.rows for video in videos)]),
    )


def _refuse_large(offset: Sequence[int], total: int, max_bytes: int) -> None:
    done, written = len(offset) - 1, offset[-1]
    projected = written * total // done if done >= PROJECT_FROM else written
    if written > max_bytes or projected > 2 * max_bytes:
        message = f"the frames of {total} videos need {max(projected, written) / 1e9:.1f} GB, more than"
        hint = "data.decoder=pyav decodes from the files; data.prepared_gb=... raises the limit"
        raise UserError(f"{message} {max_bytes / 1e9:.1f} GB, which the prepared set may use", hint)


def _store(path: str, reader: Reader, file: BinaryIO) -> _Stored:
    """Appends all frames that can be decoded to `file`."""
    problems: list[VideoError] = []
    shape, count, check = (0, 0), 0, 0
    try:
        with reader.open(path) as video:
            times = video.times.copy()
            rows = np.full(len(times), -1, dtype=np.int64)
            for low, frames in _pieces(video, problems):
                data = np.ascontiguousarray(frames).data
                file.write(data)
                check = zlib.crc32(data, check)
                rows[low : low + len(frames)] = np.arange(count, count + len(frames))
                count += len(frames)
                shape = frames.shape[1:3]
    except VideoError as error:
        return _Stored(np.empty(0), np.empty(0, dtype=np.int64), (0, 0), 0, error)
    return _Stored(times, rows, shape, check, problems[0] if problems else None)


def _pieces(video: Video, problems: list[VideoError]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """All frames that can be decoded, some at a time, each piece with the index of its first frame."""
    low, at_once = 0, FIRST_READ
    while low < len(video.times):
        high = min(low + at_once, len(video.times))
        for start, frames in _decodable(video, low, high, problems):
            at_once = max(1, READ_BYTES // frames[0].size)
            yield start, frames
        low = high


def _decodable(
    video: Video, low: int, high: int, problems: list[VideoError]
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Frames low to high, halved around those that cannot be decoded."""
    try:
        yield low, video.frames(np.arange(low, high))
        return
    except VideoError as error:
        if error.verdict == "too_slow":
            raise
        if high - low == 1:
            problems.append(error)
            return
    middle = (low + high) // 2
    yield from _decodable(video, low, middle, problems)
    yield from _decodable(video, middle, high, problems)
