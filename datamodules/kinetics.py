"""Kinetics-400, -600 and -700: clips of about ten seconds from YouTube, one action each.

Lists, found in one folder by their names (a word `train`, a word `val`, `validate` or `validation`), both in one form:
- the published csv with a header: label,youtube_id,time_start,time_end (and more);
- `path label` lines, as most codebases have them, with labels from 0; a path without a suffix is a name.

Files are called `<youtube_id>_<start>_<end>` with six digits for the seconds, or `<youtube_id>`; each is the cut clip.
Classes are in the order of a class list in the folder of the lists, else in that of their names, which is the same for
whole lists. Everybody tests the validation videos: the published test lists came without labels.
"""

import csv
import io
import operator
import os
import re
from pathlib import Path
from typing import Literal

from vssl.config.errors import UserError
from vssl.listed import Lists, OfficialVideos
from vssl.video.lists.class_folders import VIDEO_SUFFIXES
from vssl.video.lists.entries import (
    Entry,
    class_file,
    numbered_lines,
    read_text,
    refuse_outside,
    refuse_unknown,
)
from vssl.video.lists.manifest import relative_path

EDITIONS = (400, 600, 700)
COLUMNS = ("label", "youtube_id", "time_start", "time_end")
WORDS = {"train": {"train"}, "val": {"val", "validate", "validation"}}
Row = tuple[str, str, str, int, int]  # where, label, youtube_id, start and end in seconds
_SEGMENT = re.compile(r"(.+)_\d{6}_\d{6}")


class Kinetics(OfficialVideos):
    """Kinetics in one of its three sizes; the validation videos are tested.

    Args:
        edition: how many classes it has.
        outside_root: paths of a `path label` list may lead out of root.
        max_missing_fraction: as in `OfficialVideos`; videos vanish from YouTube, and no copy is whole.
    """

    def __init__(
        self,
        root: str,
        edition: Literal[400, 600, 700],
        outside_root: bool = False,
        max_missing_fraction: float = 0.1,
        **shared,
    ) -> None:
        super().__init__(root=root, max_missing_fraction=max_missing_fraction, **shared)
        self.edition = edition
        self.outside_root = outside_root

    def lists(self, folder: Path) -> Lists:
        train_file, val_file = (self._find(folder, part) for part in ("train", "val"))
        given = class_file(folder, "classes.txt", f"label_map_k{self.edition}.txt", "label_map.txt")
        is_csv = _is_published(train_file)
        if _is_published(val_file) != is_csv:
            raise UserError(f"{val_file} and {train_file} have two forms: one is the published csv, one 'path label'")
        if is_csv:
            train_rows, val_rows = _read_csv(train_file), _read_csv(val_file)
            classes = given or tuple(sorted({row[1] for row in train_rows}))
            named_by = f"the class list in {folder}" if given else str(train_file)
            refuse_unknown((row[:2] for row in (*train_rows, *val_rows)), classes, named_by)
            index = {name: i for i, name in enumerate(classes)}
            train, test = ([_entry(row, index) for row in rows] for rows in (train_rows, val_rows))
        else:
            classes = given or tuple(map(str, range(self.edition)))
            train, test = self._read_paths(train_file), self._read_paths(val_file)
            for entries in (train, test):
                refuse_outside(entries, len(classes), self._meant(max(entry.label for entry in entries) + 1))
        if len(classes) > self.edition:
            raise UserError(f"{train_file}: there are {len(classes)} classes; {self._meant(len(classes))}")
        part = "" if len(classes) == self.edition else f" ({len(classes)} of its classes)"
        rule = f"official lists of Kinetics-{self.edition}{part}; the validation videos are tested"
        return Lists(classes, train, test, rule)

    def _find(self, folder: Path, part: str) -> Path:
        """The one list of a part; one of another edition is passed over."""
        others = {str(edition) for edition in EDITIONS} - {str(self.edition)}
        held = sorted(path for path in folder.iterdir() if path.suffix in (".csv", ".txt") and path.is_file())
        words = {path: set(re.findall(r"[a-z]+|\d+", path.stem.lower())) for path in held}
        found = [path for path in held if words[path] & WORDS[part] and not words[path] & (others | {"label"})]
        if len(found) == 1:
            return found[0]
        names = ", ".join(path.name for path in found or held) or "nothing of that kind"
        looked_for = f"one .csv or .txt with '{part}' in its name is looked for in {folder}"
        hint = "data.annotations=... names the folder of the lists; data=mmaction2 takes lists of any name"
        raise UserError(f"data.annotations: {looked_for}; found: {names}", hint)

    def _read_paths(self, file: Path) -> list[Entry]:
        entries, base = [], os.path.abspath(str(self.root))
        for where, path, (label,) in numbered_lines(file, 1):
            if path.lower().endswith(VIDEO_SUFFIXES):
                below = relative_path(path, where, base, self.outside_root)
                group = os.path.splitext(os.path.basename(below))[0]
                entries.append(Entry(where, below, label, _youtube_id(group), path=below))
            else:
                name = os.path.basename(path)
                entries.append(Entry(where, name, label, _youtube_id(name), (name,)))
        return entries

    def _meant(self, classes: int) -> str:
        edition = next((edition for edition in EDITIONS if edition >= classes > self.edition), None)
        return f"a list of Kinetics-{edition} looks like this" if edition else f"Kinetics-{self.edition} has fewer"


def _entry(row: Row, index: dict[str, int]) -> Entry:
    where, label, youtube_id, start_s, end_s = row
    name = f"{youtube_id}_{start_s:06d}_{end_s:06d}"
    return Entry(where, name, index[label], youtube_id, (name, youtube_id))


def _is_published(file: Path) -> bool:
    with file.open(encoding="utf-8", errors="replace") as text:
        return "youtube_id" in text.readline()


def _read_csv(file: Path) -> list[Row]:
    reader = csv.reader(io.StringIO(read_text(file), newline=""), strict=True)
    header = next(reader)
    if missing := next((column for column in COLUMNS if column not in header), None):
        raise UserError(f"{file}, line 1: there is no column '{missing}'; the header has {', '.join(header)}")
    pick = operator.itemgetter(*(header.index(column) for column in COLUMNS))
    rows: list[Row] = []
    place_of = f"{file}, line "
    try:
        for values in reader:
            if not values:
                continue
            where = f"{place_of}{reader.line_num}"
            if len(values) != len(header):
                raise UserError(f"{where}: {len(values)} values for {len(header)} columns: '{','.join(values)}'")
            label, youtube_id, start, end = pick(values)
            if not label.strip() or not youtube_id.strip():
                raise UserError(f"{where}: label or youtube_id is empty: '{','.join(values)}'")
            rows.append((where, label.strip(), youtube_id.strip(), _seconds(start, where), _seconds(end, where)))
    except csv.Error as error:
        raise UserError(f"{file}, line {reader.line_num}: this is no csv: {error}") from error
    if not rows:
        raise UserError(f"{file}: there is no row under the header")
    return rows


def _seconds(text: str, where: str) -> int:
    try:
        seconds = int(float(text))
    except (ValueError, OverflowError):
        seconds = -1
    if seconds < 0:
        raise UserError(f"{where}: '{text}' is no number of seconds")
    return seconds


def _youtube_id(name: str) -> str:
    found = _SEGMENT.fullmatch(name)
    return found[1] if found else name
