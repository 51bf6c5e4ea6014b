"""What a WebDataset shard holds: its videos, where their bytes are, their labels; found by reading headers only.

A tar of plain files. The members of a sample share its key, which is the name up to the first dot of the base name, its
folder included; the rest says what a member is: `.mp4` or another suffix of a video, `.cls` (a whole number), `.json`,
`.txt`. Names that begin with a dot, or have none, are left alone. Source: webdataset `tariterators.base_plus_ext`.

The index of a shard is made once and kept in the cache, by the shard's path, size and time of change.
"""

import io
import json
import os
import re
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vssl.config.errors import UserError, WorkError
from vssl.records.atomic import atomic, writable
from vssl.records.hashes import hash_of
from vssl.video.decoding.remote import BLOCK_BYTES, RemoteError, RemoteFile, is_remote, size_and_tag
from vssl.video.lists.class_folders import VIDEO_SUFFIXES

LabelForm = Literal["auto", "cls", "json", "txt", "none"]
FORMS = ("cls", "json", "txt")
VERSION = 1
LABEL_BYTES = 2**20
LABEL_TEXT = 200  # characters; a longer text, or one of several lines, is a caption and no class
_NAME = re.compile(r"((?:.*/)?[^/.][^/.]*)\.([^/]+)", re.DOTALL)
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


class LabelRule(NamedTuple):
    """Where labels are read: members of this form, in JSON under this key; "auto" takes the first form there is."""

    form: LabelForm = "auto"
    key: str = "label"

    @property
    def forms(self) -> tuple[str, ...]:
        return FORMS if self.form == "auto" else () if self.form == "none" else (self.form,)


@dataclass(frozen=True)
class ShardIndex:
    """The N samples of a shard in its order.

    Args:
        key: what WebDataset calls them; a leading `./` is left out.
        member: name of the video.
        start, size: its bytes in the shard.
        label: as text; empty where there is none.
        form: the kind of member that the label is from: "cls", "txt", "json (number)", "json (text)".
        without_video: (1,) samples that have no video, and are left out.
    """

    key: NDArray[np.str_]
    member: NDArray[np.str_]
    start: NDArray[np.int64]
    size: NDArray[np.int64]
    label: NDArray[np.str_]
    form: NDArray[np.str_]
    without_video: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.key)


def shard_index(shard: str, rule: LabelRule, folder: Path) -> ShardIndex:
    """The index of a shard (a path or URL), from `folder` if it is there.

    Raises:
        UserError: naming shard and member, for whatever is wrong in it.
        WorkError: a server failed.
    """
    size, tag = _state(shard)
    file = folder / f"{hash_of([VERSION, shard, size, tag, *rule])[:32]}.npz"
    try:
        with np.load(file) as arrays:
            return ShardIndex(**{column.name: arrays[column.name] for column in fields(ShardIndex)})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass
    index = _read(shard, size, rule)
    writable(folder)
    with atomic(file) as temporary:
        np.savez(temporary, **{column.name: getattr(index, column.name) for column in fields(index)})
    return index


def _state(shard: str) -> tuple[int, str]:
    try:
        if is_remote(shard):
            return size_and_tag(shard)
        status = os.stat(shard)
    except RemoteError as error:
        raise WorkError(f"the shard {shard} cannot be read: {error}") from error
    except OSError as error:
        raise UserError(f"the shard {shard} cannot be read: {error.strerror}") from error
    return status.st_size, str(status.st_mtime_ns)


@dataclass
class _Sample:
    where: str
    video: tuple[str, int, int] | None = None
    labels: dict[str, tuple[str, str, str]] = field(default_factory=dict)  # {form: (member, text, kind)}


def _read(shard: str, size: int, rule: LabelRule) -> ShardIndex:
    at = 0
    try:
        with _opened(shard, size) as file:
            _refuse_compressed(shard, file)
            samples: dict[str, _Sample] = {}
            for member in _members(shard, size, file):
                at = member.offset_data
                _take_in(shard, member, file, rule, samples)
    except OSError as error:
        kind = WorkError if isinstance(error, RemoteError) else UserError
        why = error.strerror or str(error)
        hint = "run the same command again: indices of shards that were read are kept"
        raise kind(f"{shard}: reading fails after byte {at} of {size}: {why}", hint) from error
    return _index(shard, samples, rule)


def _opened(shard: str, size: int) -> IO[bytes]:
    return io.BufferedReader(RemoteFile(shard, size), BLOCK_BYTES) if is_remote(shard) else open(shard, "rb")


def _refuse_compressed(shard: str, file: IO[bytes]) -> None:
    head = file.read(8)
    file.seek(0)
    for magic, name in _COMPRESSED.items():
        if head.startswith(magic):
            hint = "unpack it to a plain .tar: only there can members be read alone, and videos are compressed already"
            raise UserError(f"{shard}: the shard is compressed ({name})", hint)


def _members(shard: str, size: int, file: IO[bytes]) -> Iterator[tarfile.TarInfo]:
    """The members of a whole tar, in its order. Raises UserError where it breaks off, or goes on behind its end."""
    last = "its first member"
    try:
        with tarfile.open(fileobj=file, mode="r:", errors="surrogateescape") as tar:
            end = -1
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # it keeps them all
                if member.size < 0 or member.offset <= end:
                    raise UserError(f"{shard}, member {member.name}: its header is damaged: a size of {member.size}")
                last, end = f"member {member.name}", member.offset
                yield member
            end = tar.offset
    except (tarfile.TarError, ValueError, OverflowError) as error:
        if size == 0:
            raise UserError(f"{shard}: the file has 0 bytes") from error
        what = "this is no tar" if last == "its first member" else f"the shard is cut short or damaged in {last}"
        raise UserError(f"{shard}: {what}: {error}", "copy or make it again") from error
    _refuse_other_end(shard, size, file, end, last)


def _refuse_other_end(shard: str, size: int, file: IO[bytes], end: int, last: str) -> None:
    """A tar ends in blocks of zeros; Python's reader also ends, without a word, where it breaks off or is damaged."""
    file.seek(end)
    marker = file.read(2 * tarfile.BLOCKSIZE)
    if not marker.strip(b"\0"):
        if len(marker) == 2 * tarfile.BLOCKSIZE and not _goes_on(file):
            return
        if len(marker) == 2 * tarfile.BLOCKSIZE:
            message = f"the archive ends at byte {end} of {size}, and more follows"
            raise UserError(f"{shard}: {message}", "give two archives that were joined as two shards")
    message = f"the shard is cut short or damaged after {last}, at byte {end} of {size}"
    raise UserError(f"{shard}: {message}: the end mark of a tar is missing there", "copy or make it again")


def _goes_on(file: IO[bytes]) -> bool:
    while block := file.read(BLOCK_BYTES):
        if block.strip(b"\0"):
            return True
    return False


def _take_in(
    shard: str, member: tarfile.TarInfo, file: IO[bytes], rule: LabelRule, samples: dict[str, _Sample]
) -> None:
    """Adds a member to its sample. Raises UserError for a member that no sample can have."""
    if member.isdir() or (found := _NAME.fullmatch(member.name)) is None:
        return
    key, suffix = found[1].removeprefix("./"), found[2].lower()
    is_video = f".{suffix}".endswith(VIDEO_SUFFIXES)
    if not is_video and suffix not in rule.forms:
        return
    where = f"{shard}, member {member.name}"
    if not member.isreg() or member.issparse():
        kind = "a link" if member.islnk() or member.issym() else "no plain file"
        raise UserError(f"{where}: this is {kind}", "pack the file itself (tar: --hard-dereference -h, without -S)")
    sample = samples.setdefault(key, _Sample(where))
    if not is_video:
        if suffix in sample.labels:
            raise _double(where, key, sample.labels[suffix][0])
        sample.labels[suffix] = (member.name, *_label_in(where, suffix, member, file, rule))
        return
    if sample.video is not None:
        raise _double(where, key, sample.video[0])
    sample.where, sample.video = where, (member.name, member.offset_data, member.size)


def _double(where: str, key: str, before: str) -> UserError:
    hint = "members of a sample share their name up to the first dot: give every sample a name of its own before it"
    return UserError(f"{where}: sample '{key}' already has {before}", hint)


def _label_in(where: str, form: str, member: tarfile.TarInfo, file: IO[bytes], rule: LabelRule) -> tuple[str, str]:
    """The label that a member gives (empty where it gives none), and what kind it is. Raises UserError."""
    text = _text(where, member, file)
    if form == "json":
        value = _json_label(where, text, rule)
        return str(value).strip(), "json (number)" if isinstance(value, int) else "json (text)"
    if form == "cls" and not (text.isascii() and text.isdigit()):
        hint = "a name of a class goes into a .txt, or into a .json"
        raise UserError(f"{where}: a .cls holds a whole number from 0 on; this one holds '{text[:40]}'", hint)
    if form == "cls":
        return str(int(text[:20])), form
    if len(text) <= LABEL_TEXT and "\n" not in text:
        return text, form
    if rule.form == "txt":
        raise UserError(f"{where}: a class is one line of at most {LABEL_TEXT} characters, not '{text[:40]}...'")
    return "", form  # a caption


def _text(where: str, member: tarfile.TarInfo, file: IO[bytes]) -> str:
    if member.size > LABEL_BYTES:
        raise UserError(f"{where}: a label of {member.size} bytes", f"at most {LABEL_BYTES} bytes are read")
    file.seek(member.offset_data)
    content = file.read(member.size)
    if len(content) < member.size:
        raise UserError(f"{where}: the shard is cut short: {len(content)} of {member.size} bytes are there")
    try:
        return content.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: this is no UTF-8 text: {error.reason} at byte {error.start}") from error


def _json_label(where: str, text: str, rule: LabelRule) -> int | str:
    try:
        content: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: this is no JSON: {error}") from error
    value = content.get(rule.key) if isinstance(content, dict) else None
    if value is None and rule.form == "json":
        has = f"it has {', '.join(content) or 'nothing'}" if isinstance(content, dict) else "it is no object"
        raise UserError(f"{where}: there is no '{rule.key}'; {has}", "data.label_key=... names the key of the label")
    if isinstance(value, bool) or not isinstance(value, int | str | None):
        raise UserError(f"{where}: '{rule.key}' has to be a whole number or text; it is {json.dumps(value)[:40]}")
    if isinstance(value, int) and value < 0:
        raise UserError(f"{where}: '{rule.key}' is {value}; classes are counted from 0")
    return "" if value is None else value


def _index(shard: str, samples: dict[str, _Sample], rule: LabelRule) -> ShardIndex:
    whole = [(key, one.video, _label(one, rule)) for key, one in samples.items() if one.video is not None]
    if not whole:
        hint = f"a sample has one member that ends in {', '.join(VIDEO_SUFFIXES)}"
        raise UserError(f"{shard}: the shard holds no video", hint)
    return ShardIndex(
        key=np.array([key for key, *_ in whole], dtype=np.str_),
        member=np.array([video[0] for _, video, _ in whole], dtype=np.str_),
        start=np.array([video[1] for _, video, _ in whole], dtype=np.int64),
        size=np.array([video[2] for _, video, _ in whole], dtype=np.int64),
        label=np.array([text for *_, (_, text) in whole], dtype=np.str_),
        form=np.array([form for *_, (form, _) in whole], dtype=np.str_),
        without_video=np.array([len(samples) - len(whole)], dtype=np.int64),
    )


def _label(sample: _Sample, rule: LabelRule) -> tuple[str, str]:
    """(kind, text) of the first form that gives a label."""
    given = (sample.labels[form] for form in rule.forms if form in sample.labels)
    return next(((kind, text) for _, text, kind in given if text), ("", ""))
