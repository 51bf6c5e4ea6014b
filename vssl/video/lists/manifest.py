"""The rows of a manifest: a UTF-8 CSV with a header, read into checked values.

`path` is required; `label` (or `labels`: several, divided by `|`), `split, fold, group, start_s, end_s` are optional;
other columns are left alone. What a row means for a data set (classes, splits) is decided in `lists`.
"""

import csv
import difflib
import io
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vssl.config.errors import UserError, nearest

COLUMNS = ("path", "label", "labels", "split", "fold", "group", "start_s", "end_s")
SPLITS = ("train", "test", "unlabelled")
EXAMPLE = "a manifest is a UTF-8 CSV with a header, such as\n  path,label,split\n  wave/clip_01.mp4,wave,train"


@dataclass(frozen=True)
class Row:
    """One video or segment as its list gives it; empty text, NaN and -1 are "not given"."""

    where: str  # "clips.csv, line 7", for messages
    id: str  # the path below the root, and the segment if there is one
    path: str  # the path to open
    group: str  # the video's id where the list has none
    label: str = ""
    split: str = ""
    fold: int = -1
    start_s: float = math.nan
    end_s: float = math.nan
    labels: tuple[str, ...] = ()  # of the column `labels`: all of them; `label` is then the text as it stands


def read_rows(manifest: Path, root: Path, outside_root: bool = False) -> tuple[list[Row], tuple[str, ...]]:
    """The rows of a manifest and the known columns that it has. Raises UserError naming file and line.

    Args:
        outside_root: paths may lead out of `root`.
    """
    lines = csv.reader(io.StringIO(_text(manifest), newline=""), strict=True)
    try:
        header = [name.strip() for name in next(lines, [])]
        _check_header(header, manifest)
        base = os.path.abspath(root)
        rows = [
            _row(values, header, f"{manifest}, line {lines.line_num}", base, outside_root) for values in _filled(lines)
        ]
    except csv.Error as error:
        raise UserError(f"{manifest}, line {lines.line_num}: this is no CSV: {error}", EXAMPLE) from error
    if not rows:
        raise UserError(f"{manifest}: there is no row under the header", EXAMPLE)
    _refuse_doubles(rows)
    return rows, tuple(name for name in COLUMNS if name in header)


def _text(manifest: Path) -> str:
    try:
        content = manifest.read_bytes()
    except OSError as error:
        raise UserError(f"the manifest {manifest} cannot be read: {error.strerror}") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{content[error.start]:02x} is not UTF-8"
        raise UserError(f"{manifest}, line {line}: {found}", "save the file as UTF-8") from error


def _filled(lines: Iterator[list[str]]) -> Iterator[list[str]]:
    return (values for values in lines if any(value.strip() for value in values))


def _check_header(header: list[str], manifest: Path) -> None:
    where = f"{manifest}, line 1"
    if len(header) == 1 and (separator := next((s for s in ";\t |" if s in header[0]), None)):
        raise UserError(f"{where}: columns are separated by {separator!r} instead of a comma", EXAMPLE)
    for name in header:
        if header.count(name) > 1:
            raise UserError(f"{where}: column '{name}' stands there twice")
        if name not in COLUMNS and (meant := _meant(name)) and meant not in header:
            raise UserError(f"{where}: unknown column '{name}'; did you mean '{meant}'?")
    if "label" in header and "labels" in header:
        raise UserError(f"{where}: there are a column 'label' and a column 'labels'", "keep one of them")
    if "path" not in header:
        found = ", ".join(f"'{name}'" for name in header) or "nothing"
        raise UserError(f"{where}: there is no column 'path'; the header has {found}", EXAMPLE)


def _meant(name: str) -> str | None:
    """The column that a name is a slip of: another case, swapped letters, a letter too many, the unit left out."""
    found = name.lower()
    for column in COLUMNS:
        swapped = sorted(found) == sorted(column)
        if swapped or found == column.removesuffix("_s") or difflib.SequenceMatcher(None, found, column).ratio() > 0.8:
            return column
    return None


def _row(values: list[str], header: Sequence[str], where: str, root: str, outside_root: bool) -> Row:
    if len(values) != len(header):
        hint = "put a value that contains a comma into double quotes"
        raise UserError(f"{where}: {len(values)} values for {len(header)} columns ({', '.join(header)})", hint)
    given = dict(zip(header, values, strict=True))
    text = {name: given.get(name, "").strip() for name in COLUMNS}
    relative = relative_path(given["path"], where, root, outside_root)
    start_s, end_s = _seconds("start_s", text["start_s"], where), _seconds("end_s", text["end_s"], where)
    if start_s >= end_s:
        raise UserError(f"{where}: start_s {text['start_s']} is not before end_s {text['end_s']}")
    return Row(
        where=where, id=segment_id(relative, start_s, end_s), path=os.path.join(root, relative),
        label=text["label"] or text["labels"], labels=_several(text["labels"], where),
        split=_split(text["split"], where), fold=_fold(text["fold"], where), group=text["group"] or relative,
        start_s=start_s, end_s=end_s,
    )  # fmt: skip


def _several(text: str, where: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split("|")) if text else ()
    if "" in names or len(set(names)) < len(names):
        raise UserError(f"{where}: labels '{text}' has an empty name, or one twice", "divide them by |: run|jump")
    return names


def relative_path(path: str, where: str, root: str, outside_root: bool = False) -> str:
    """The path from `root` (absolute), normalised: a file has one, however it is written.

    Raises UserError where it is empty, or leads out of the root and must not.
    """
    if not path.strip() or "\0" in path:
        raise UserError(f"{where}: the path is empty or holds a null character")
    below, joined = os.path.join(root, ""), os.path.normpath(os.path.join(root, path))
    if outside_root and not joined.startswith(below):
        return os.path.relpath(joined, root)
    if not joined.startswith(below):
        hint = "paths are relative to data.root; choose a folder that holds all videos, or data.outside_root=true"
        raise UserError(f"{where}: path '{path}' leads out of data.root ({root})", hint)
    return joined.removeprefix(below)


def segment_id(relative: str, start_s: float, end_s: float) -> str:
    """`a/b.mp4`, or `a/b.mp4#1.5-4.0` for a segment (an open end is left out)."""
    if math.isnan(start_s) and math.isnan(end_s):
        return relative
    start, end = ("" if math.isnan(value) else repr(value) for value in (start_s, end_s))
    return f"{relative}#{start}-{end}"


def _seconds(column: str, text: str, where: str) -> float:
    if not text:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{where}: {column} '{text}' is no number of seconds")
    return value


def _fold(text: str, where: str) -> int:
    if not text:
        return -1
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise UserError(f"{where}: fold '{text}' is no whole number from 0 on")
    return int(text)


def _split(text: str, where: str) -> str:
    if text and text not in SPLITS:
        hint = None
        if text.lower().startswith(("val", "dev")):
            hint = "the split that results are read from is called 'test'; what selects settings is taken from 'train'"
        raise UserError(f"{where}: split '{text}' is none of {', '.join(SPLITS)}{nearest(text, SPLITS)}", hint)
    return text


def _refuse_doubles(rows: Sequence[Row]) -> None:
    first: dict[str, Row] = {}
    for row in rows:
        if (before := first.setdefault(row.id, row)) is not row:
            hint = "a video may stand in several rows only with different start_s and end_s"
            raise UserError(f"{row.where}: '{row.id}' is already in {before.where.rpartition(', ')[2]}", hint)
