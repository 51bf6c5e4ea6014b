"""Lists of videos: what a data set is, before a file is opened."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vssl.config.errors import UserError
from vssl.video.decoding import addresses
from vssl.video.decoding.images import content_number
from vssl.video.lists.class_folders import read_folders
from vssl.video.lists.classes import checked_class_names, class_indices, class_sets, read_class_names
from vssl.video.lists.manifest import Row, read_rows
from vssl.video.lists.splits import held_out, split_rows

LABEL = "label"  # the name of the one label that a manifest or a folder tree gives
CLASS_FILE = "classes.txt"


@dataclass(frozen=True, eq=False)
class Samples:
    """Videos (or segments of videos) as parallel arrays of length N: small, picklable, cheap to send to a worker.

    Args:
        id: what a sample is called in records: the path below the root, and the segment if there is one.
        path: the file to open.
        start_s, end_s: the segment by the file's clock; NaN where there is none.
        labels: class indices for each label name, -1 where a video has none. Of a label that is in `multi` they only
            say that a video has it (0) or not (-1).
        group: videos that belong together (a subject, a source video) and are never divided by a split.
        fold: -1 where there is none.
        multi: (N, K) for each label of which a video may carry several classes at once: which.
    """

    id: NDArray[np.str_]
    path: NDArray[np.str_]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    labels: dict[str, NDArray[np.int64]]
    group: NDArray[np.str_]
    fold: NDArray[np.int64]
    multi: dict[str, NDArray[np.bool_]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.id)

    def take(self, index: NDArray[Any]) -> Samples:
        """The samples at `index` (integers, in that order) or where `index` (booleans) is True."""
        labels = {name: values[index] for name, values in self.labels.items()}
        return Samples(
            self.id[index], self.path[index], self.start_s[index], self.end_s[index], labels, self.group[index],
            self.fold[index], {name: values[index] for name, values in self.multi.items()},
        )  # fmt: skip

    @staticmethod
    def concatenate(parts: Sequence[Samples]) -> Samples:
        """One list after the other; a sample has -1 for a label name that its part lacks."""
        names = dict.fromkeys(name for part in parts for name in part.labels)
        labels = {
            name: np.concatenate([part.labels.get(name, np.full(len(part), -1, dtype=np.int64)) for part in parts])
            for name in names
        }
        columns = ("id", "path", "start_s", "end_s", "group", "fold")
        joined = {column: np.concatenate([getattr(part, column) for part in parts]) for column in columns}
        classes = {name: values.shape[1] for part in parts for name, values in part.multi.items()}
        multi = {
            name: np.concatenate([part.multi.get(name, np.zeros((len(part), count), np.bool_)) for part in parts])
            for name, count in classes.items()
        }
        return Samples(labels=labels, multi=multi, **joined)

    def list_hash(self) -> str:
        """64 hex digits over ids and labels in their order: the same videos for the same purpose, wherever they lie."""
        digest = hashlib.sha256()
        for value in self.id.tolist():
            digest.update(value.encode("utf-8", "surrogateescape") + b"\0")
        for name in sorted(self.labels):
            digest.update(f"\0{name}\0".encode() + self.labels[name].astype("<i8").tobytes())
        for name in sorted(self.multi):
            digest.update(f"\0{name}\0{self.multi[name].shape[1]}\0".encode() + np.packbits(self.multi[name]).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Listing:
    """All samples of a data set, the split of each, and how the split came about.

    Args:
        split: (N,) "train", "test" or "unlabelled" (used in pretraining only).
        classes: names in the order of the class indices, for each label.
        rule: how the test videos were chosen, for record and table.
    """

    samples: Samples
    split: NDArray[np.str_]
    classes: dict[str, tuple[str, ...]]
    rule: str


def list_content_hash(lists: Sequence[Samples]) -> str:
    """64 hex digits over ids, labels and file sizes of the lists of a data set: what it is, without reading a pixel."""
    digest = hashlib.sha256()
    sizes = {path: content_size(path) for samples in lists for path in dict.fromkeys(samples.path.tolist())}
    for samples in lists:
        digest.update(bytes.fromhex(samples.list_hash()))
        digest.update(np.array([sizes[path] for path in samples.path.tolist()], dtype="<i8").tobytes())
    return digest.hexdigest()


def content_size(path: str) -> int:
    """The bytes of a file, or of the part that an address names; of a folder of images a number made from its content.

    Raises UserError where it is gone.
    """
    try:
        return content_number(path) if os.path.isdir(path) else addresses.size(path)
    except OSError as error:
        raise UserError(f"the video {addresses.name(path)} cannot be read: {error.strerror}") from error


def read_manifest(
    manifest: Path,
    root: Path,
    classes: Sequence[str] | None = None,
    test_fold: int = 0,
    outside_root: bool = False,
    frames: bool = False,
) -> Listing:
    """The data set that a manifest lists. Raises UserError naming file and line for whatever is wrong in it.

    Args:
        manifest: CSV with a header: `path`, and `label, split, fold, group, start_s, end_s` where there are any;
            `labels` in place of `label` where a video carries several classes (`run|jump`).
        root: the folder below which the paths lie.
        classes: class order; else `classes.txt` beside the manifest, else sorted names (integers stay as they are).
        test_fold: the test videos, where there are folds and no `split`.
        outside_root: paths may lead out of `root`.
        frames: the paths are those of folders of images.
    """
    if not root.is_dir():
        hint = "data.root is the folder from which the manifest's paths start"
        raise UserError(f"data.root: there is no folder {root}", hint)
    rows, columns = read_rows(manifest, root, outside_root)
    _refuse_missing_files(rows, manifest, root, frames)
    given = next((column for column in columns if column in (LABEL, "labels")), None)
    if given and not any(row.label for row in rows):
        hint = "leave the column out for a list that is used in pretraining only"
        raise UserError(f"{manifest}: there is no class: the column '{given}' is empty in all {len(rows)} rows", hint)
    return listing_of(rows, columns, test_fold, class_names_of(manifest.parent, classes), str(manifest))


def read_class_folders(root: Path, classes: Sequence[str] | None = None, frames: bool = False) -> Listing:
    """The data set of a tree with one folder a class, or of such trees below `train` and `test`.

    Args:
        frames: videos are folders of images, not files.
    """
    rows = read_folders(root, frames)
    columns = ("path", "label", "split") if any(row.split == "train" for row in rows) else ("path", "label")
    return listing_of(rows, columns, 0, class_names_of(root, classes), str(root))


def class_names_of(folder: Path, classes: Sequence[str] | None) -> tuple[str, ...] | None:
    """The given class names, else those of a `classes.txt` in the folder, if there is one."""
    if classes is not None:
        return checked_class_names(list(classes), "data.classes")
    file = folder / CLASS_FILE
    return read_class_names(file) if file.is_file() else None


def _refuse_missing_files(rows: Sequence[Row], manifest: Path, root: Path, frames: bool) -> None:
    is_there, things = (os.path.isdir, "folders of images") if frames else (os.path.exists, "files")
    missing = [row for row in rows if not is_there(row.path)]
    if missing:
        first = missing[0]
        message = f"{manifest}: {len(missing)} of {len(rows)} {things} are missing below {root}"
        hint = "paths are relative to data.root; is that the right folder?"
        raise UserError(f"{message}; the first stands in {first.where.rpartition(', ')[2]}: {first.path}", hint)


def listing_of(
    rows: Sequence[Row], columns: Sequence[str], test_fold: int, names: Sequence[str] | None, where: str
) -> Listing:
    """The data set of rows that are read and found; the arguments of `class_indices` and `split_rows`."""
    multi: dict[str, NDArray[np.bool_]] = {}
    if "labels" in columns:
        multi[LABEL], class_names = class_sets(rows, names, where)
        # Which of them are tested, no class decides.
        rows = [replace(row, label="some" if row.label else "") for row in rows]
        columns = [LABEL if column == "labels" else column for column in columns]
        label = [0 if row.label else -1 for row in rows]
    else:
        label, class_names = class_indices(rows, names, where)
    split, rule = split_rows(rows, columns, label, test_fold, where)
    has_labels = max(label) >= 0
    label_of_use = [-1 if s == "unlabelled" else c for s, c in zip(split, label, strict=True)]
    samples = Samples(
        id=np.array([row.id for row in rows]),
        path=np.array([row.path for row in rows]),
        start_s=np.array([row.start_s for row in rows]),
        end_s=np.array([row.end_s for row in rows]),
        labels={LABEL: np.array(label_of_use, dtype=np.int64)} if has_labels else {},
        group=np.array([row.group for row in rows]),
        fold=np.array([row.fold for row in rows], dtype=np.int64),
        multi=multi if has_labels else {},
    )
    return Listing(samples, np.array(split), {LABEL: class_names} if has_labels else {}, rule)


def select_split(train: Samples) -> tuple[NDArray[np.int64], NDArray[np.int64], str]:
    """Divides labelled training samples into those that fit a probe and those that choose its settings.

    Returns:
        Indices of both parts in ascending order, and the rule in words: the lowest training fold where there are
        several, else about a fifth of each class by a hash of the group. Neither divides a group.
    Raises:
        UserError: one of the parts would be empty.
    """
    folds = np.unique(train.fold)
    if len(folds) > 1 and folds[0] >= 0:
        chosen, rule = train.fold == folds[0], f"fold {folds[0]} selects settings"
        chosen |= np.isin(train.group, train.group[chosen])
    else:
        chosen = held_out(train.group.tolist(), train.labels, salt="select")
        rule = "a fifth of the training videos, by a hash of their group and stratified, selects settings"
    if chosen.all() or not chosen.any():
        hint = "give more training videos, or more groups"
        raise UserError(f"{len(train)} training videos cannot be divided to select settings", hint)
    return np.flatnonzero(~chosen), np.flatnonzero(chosen), rule
