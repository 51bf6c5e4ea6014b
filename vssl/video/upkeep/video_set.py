"""Lists of videos by what is the same for all kinds of them: names, files, spans, classes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vssl.config.errors import UserError
from vssl.video.lists.class_folders import read_folders
from vssl.video.lists.manifest import Row, read_rows
from vssl.video.lists.samples import Samples
from vssl.video.upkeep.check_list import files_to_check

Place = tuple[str, float | None, float | None]  # path and span; a key, which NaN is not


@dataclass(frozen=True)
class Video:
    """One video or span of a list.

    Args:
        name: in that list, below its root.
        start_s, end_s: NaN is no bound.
        label: its class, empty where it has none.
    """

    name: str
    path: str
    start_s: float = math.nan
    end_s: float = math.nan
    label: str = ""

    @property
    def place(self) -> Place:
        """What of which file."""
        start_s, end_s = (None if math.isnan(bound) else bound for bound in (self.start_s, self.end_s))
        return self.path, start_s, end_s


def bounds(place: Place) -> tuple[float, float]:
    """The span as readers take it: NaN is no bound."""
    start_s, end_s = (math.nan if bound is None else bound for bound in place[1:])
    return start_s, end_s


@dataclass(frozen=True)
class VideoSet:
    """A list, by the name that tables show."""

    name: str
    videos: tuple[Video, ...]


def read_set(what: Path, root: Path | None, command: str) -> list[VideoSet]:
    """The list or lists in a manifest (one a split, else one a fold) or in a folder tree. Raises UserError."""
    rows = _rows(what, root, command)
    parts: dict[str, list[Row]] = {}
    for row in rows:
        parts.setdefault(row.split or (f"fold {row.fold}" if row.fold >= 0 else ""), []).append(row)
    sets = []
    for part in sorted(parts, key=lambda one: (one != "train", one)):
        videos = (Video(_name(row), row.path, row.start_s, row.end_s, row.label) for row in parts[part])
        sets.append(VideoSet(" ".join(filter(None, [what.name or str(what), part])), tuple(videos)))
    return sets


def _rows(what: Path, root: Path | None, command: str) -> list[Row]:
    files = files_to_check(what, root, command)
    if what.is_file() and list(files.values()) != [str(what)]:
        return read_rows(what, what.parent if root is None else root)[0]
    if what.is_dir():
        try:
            return read_folders(what)
        except UserError:  # no folder a class: then without classes
            pass
    return [Row(where=path, id=name, path=path, group=name) for name, path in files.items()]


def _name(row: Row) -> str:
    return row.id.partition("#")[0] if not math.isnan(row.start_s + row.end_s) else row.id


def one_set(sets: Sequence[VideoSet], name: str) -> VideoSet:
    """All of them under one name."""
    return VideoSet(name, tuple(video for part in sets for video in part.videos))


def set_of_samples(name: str, samples: Samples, label: str | None, classes: Sequence[str]) -> VideoSet:
    """A split of a data set, with the classes of one of its labels; several of a video are one class, `a|b`."""
    columns = (
        samples.id.tolist(), samples.path.tolist(), samples.start_s.tolist(), samples.end_s.tolist(),
        _classes(samples, label, classes),
    )  # fmt: skip
    return VideoSet(
        name,
        tuple(
            Video(one.partition("#")[0], path, start_s, end_s, name_of_class)
            for one, path, start_s, end_s, name_of_class in zip(*columns, strict=True)
        ),
    )


def _classes(samples: Samples, label: str | None, classes: Sequence[str]) -> list[str]:
    if label is None or label not in samples.labels:
        return [""] * len(samples)
    if label in samples.multi:
        return ["|".join(classes[place] for place in np.flatnonzero(row).tolist()) for row in samples.multi[label]]
    return [classes[number] if number >= 0 else "" for number in samples.labels[label].tolist()]
