"""Addresses: what a sample names and a reader opens. Mostly a path; else a part of a file that holds one whole video.

A member of a tar, or a value in an Arrow file, is a span of bytes, `subfile,,start,S,end,E,,:/data/a.tar`: FFmpeg's own
notation, which it opens without a copy; behind a null character, which no path can hold, stands what it is called. The
file of a span may be a URL: its bytes are then fetched. A row of a Parquet file is decoded by pyarrow:
`row,,number,R,size,S,,:/data/a.parquet`, and behind the null character the column.

A part that cannot be read raises OSError or ValueError; what that says of a video is for the caller to tell.
"""

import os
import re
import stat
from dataclasses import dataclass

from vssl.video.decoding.parquet import read_row
from vssl.video.decoding.remote import fetch, is_remote

_SPAN = re.compile(r"subfile,,start,(\d+),end,(\d+),,:([^\0]+)\0(.*)", re.DOTALL)
_ROW = re.compile(r"row,,number,(\d+),size,(\d+),,:([^\0]+)\0(.*)", re.DOTALL)


@dataclass(frozen=True)
class Span:
    """Bytes `start` to `end` of a file or URL.

    Args:
        part: what they are called in messages, such as "member wave/clip_01.mp4".
    """

    file: str
    start: int
    end: int
    part: str

    @property
    def address(self) -> str:
        return f"subfile,,start,{self.start},end,{self.end},,:{self.file}\0{self.part}"

    @property
    def size(self) -> int:
        return self.end - self.start


@dataclass(frozen=True)
class Row:
    """The value of `column` in row `number` of a Parquet file.

    Args:
        size: bytes of that column in the row's group: the file tells it of no single row.
    """

    file: str
    number: int
    size: int
    column: str

    @property
    def part(self) -> str:
        return f"row {self.number}"

    @property
    def address(self) -> str:
        return f"row,,number,{self.number},size,{self.size},,:{self.file}\0{self.column}"


def parsed(address: str) -> Span | Row | None:
    """The part that an address names; None for a path."""
    if found := _SPAN.fullmatch(address):
        return Span(found[3], int(found[1]), int(found[2]), found[4])
    if found := _ROW.fullmatch(address):
        return Row(found[3], int(found[1]), int(found[2]), found[4])
    return None


def name(address: str) -> str:
    """The address for people: `/data/a.tar, member wave/clip_01.mp4`."""
    part = parsed(address)
    return address if part is None else f"{part.file}, {part.part}"


def size(address: str) -> int:
    """Bytes, without opening the part; of a Parquet row those of its group. Raises OSError where there is no file."""
    part = parsed(address)
    return os.stat(address).st_size if part is None else part.size


def state(address: str) -> tuple[int, int]:
    """Size and modification time of the file behind an address; zeros for a URL, whose index is made by its own tag.

    Raises OSError.
    """
    part = parsed(address)
    if part is not None and is_remote(part.file):
        return 0, 0
    status = os.stat(address if part is None else part.file)
    return status.st_size, status.st_mtime_ns


def is_regular(address: str) -> bool:
    """Whether there is a file with content, and no pipe, folder or device. Raises OSError where there is nothing.

    Raises ValueError where the file has changed so that the part cannot be in it.
    """
    part = parsed(address)
    if part is not None and is_remote(part.file):
        return True
    status = os.stat(address if part is None else part.file)
    if isinstance(part, Span) and part.end > status.st_size:
        raise ValueError(f"it ends at byte {part.end} of a file that now has {status.st_size}")
    return stat.S_ISREG(status.st_mode)


def read_bytes(address: str) -> bytes:
    """The whole content."""
    part = parsed(address)
    if isinstance(part, Row):
        return read_row(part.file, part.number, part.column)
    if part is None:
        with open(address, "rb") as file:
            return file.read()
    if is_remote(part.file):
        return fetch(part.file, part.start, part.end)
    with open(part.file, "rb") as file:
        file.seek(part.start)
        content = file.read(part.size)
    if len(content) < part.size:
        raise ValueError(f"the file ends before byte {part.end}")
    return content


def for_ffmpeg(address: str) -> str | bytes:
    """What FFmpeg opens: an absolute path or a span of one, else the bytes themselves."""
    part = parsed(address)
    if part is None:
        return os.path.abspath(address)
    if isinstance(part, Row) or is_remote(part.file):
        return read_bytes(address)
    return address.partition("\0")[0]
