"""Data sets that are given by lists: cutting them short, and finding the videos of a published list on disk."""

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vssl.config.errors import ConfigError, UserError
from vssl.datamodule import SPLITS, Split, VideoDataModule
from vssl.video.decoding.images import image_names
from vssl.video.lists.entries import Entry, refuse_doubles
from vssl.video.lists.locate import locate
from vssl.video.lists.samples import LABEL, Listing, Samples
from vssl.video.lists.splits import few

FEWEST = 8  # training videos; fewer cannot be divided into classes, selection and test
EXAMPLES = 10  # missing videos that a record names
PARTS: tuple[tuple[Split, str], ...] = (("train", "training"), ("test", "test"))


class ListedVideos(VideoDataModule):
    """A data set that a list gives, with the one label `label`. A subclass reads `listing`.

    Args:
        num_videos: at most this many training (and unlabelled) videos, and a fifth as many test videos, for a quick
            look; which ones depends on their names alone. None: all of them.
    """

    # `**shared` has no annotation: configuration then reads the arguments of the base class there.
    def __init__(self, num_videos: int | None = None, **shared) -> None:  # type: ignore[no-untyped-def]
        super().__init__(**shared)
        if num_videos is not None and num_videos < FEWEST:
            raise ValueError(f"num_videos must be at least {FEWEST}; got {num_videos}")
        self.num_videos = num_videos

    @property
    @abstractmethod
    def listing(self) -> Listing:
        """The whole list. Raises UserError for whatever is wrong in it."""

    def samples(self, split: Split) -> Samples:
        samples = self.listing.samples.take(self.listing.split == split)
        if self.num_videos is None:
            return samples
        if split == "test":
            trained = np.isin(_label(samples), _label(self.samples("train")))
            return _few(samples.take(trained), self.num_videos // 5)
        return _few(samples, self.num_videos)

    @property
    def classes(self) -> Mapping[str, tuple[str, ...]]:
        return self.listing.classes

    @property
    def split_rule(self) -> str:
        rule = self.listing.rule
        return rule if self.num_videos is None else f"{rule}; at most {self.num_videos} training videos"


@dataclass(frozen=True)
class Lists:
    """What the published lists say.

    Args:
        classes: names in the order of the class indices.
        rule: which published split is trained on and which is tested, for record and table.
    """

    classes: tuple[str, ...]
    train: list[Entry]
    test: list[Entry]
    rule: str


@dataclass(frozen=True)
class Counted:
    """How many videos a list names, and which of them are not on disk."""

    listed: int
    missing: tuple[Entry, ...]

    @property
    def found(self) -> int:
        return self.listed - len(self.missing)


class OfficialVideos(ListedVideos):
    """A data set with published lists. A subclass reads them in `lists`; videos are looked for by their names.

    Args:
        root: folder of the videos, which may lie at any depth below it and have any suffix of a video.
        annotations: folder of the published lists; None: the folder `annotations` in root, or that which the published
            archive unpacks to, else root itself.
        max_missing_fraction: share of the listed videos of a split that may be missing on disk; above it nothing is
            started. What is missing is counted in the record and under tables.
    """

    unpacked: ClassVar[tuple[str, ...]] = ()  # names of the folder that the archive of the lists unpacks to

    def __init__(  # type: ignore[no-untyped-def]
        self, root: str, annotations: str | None = None, max_missing_fraction: float = 0.0, **shared
    ) -> None:
        super().__init__(root=root, **shared)
        if not 0 <= max_missing_fraction <= 1:
            raise ValueError(f"max_missing_fraction={max_missing_fraction} must lie in [0, 1]")
        self.annotations = annotations
        self.max_missing_fraction = max_missing_fraction

    @abstractmethod
    def lists(self, folder: Path) -> Lists:
        """The published lists in `folder`. Raises UserError naming file and line for whatever is wrong in them."""

    @property
    def listing(self) -> Listing:
        return self._read[0]

    @property
    def counted(self) -> Mapping[Split, Counted]:
        """What of the lists is on disk."""
        return self._read[1]

    @cached_property
    def _read(self) -> tuple[Listing, dict[Split, Counted]]:
        root = Path(str(self.root))
        if not root.is_dir():
            raise ConfigError(f"data.root: there is no folder {root}")
        lists = self.lists(self._annotations(root))
        entries = [*lists.train, *lists.test]
        if not lists.train:
            raise UserError(f"the list of training videos in {self._annotations(root)} is empty")
        refuse_doubles(entries)
        paths = _whole(entries, locate(root, entries, folders=self.decoder == "frames"))
        at = len(lists.train)
        train, test = _count(lists.train, paths[:at]), _count(lists.test, paths[at:])
        counted: dict[Split, Counted] = {"train": train, "test": test}
        for split, name in PARTS:
            self._refuse_too_few(counted[split], name, root)
        found = [(entry, path) for entry, path in zip(entries, paths, strict=True) if path is not None]
        samples = _samples(found, self.frames_fps, len(lists.classes))
        split_of = np.repeat(np.array(["train", "test"]), [train.found, test.found])
        rule = "; ".join([lists.rule, *_told(counted)])
        return Listing(samples, split_of, {LABEL: lists.classes}, rule), counted

    def _annotations(self, root: Path) -> Path:
        if self.annotations is None:
            return next((root / name for name in ("annotations", *self.unpacked) if (root / name).is_dir()), root)
        if not Path(self.annotations).is_dir():
            raise ConfigError(f"data.annotations: there is no folder {self.annotations}")
        return Path(self.annotations)

    def _refuse_too_few(self, counted: Counted, name: str, root: Path) -> None:
        missing, listed = len(counted.missing), counted.listed
        share = missing / max(listed, 1)
        if share <= self.max_missing_fraction and (counted.found or name != "training"):
            return
        first = counted.missing[0]
        looked_for = " or ".join(first.names) or first.path
        if first.frames and (root / first.path).is_dir():
            looked_for += f" ({_images(str(root / first.path))} images, and {sum(first.frames)} are needed)"
        hint = "is data.root the folder of the videos?"
        if counted.found:
            enough = math.ceil(share * 1000) / 1000
            hint += f" data.max_missing_fraction={enough:g} goes on without them, and record and table say so"
        raise UserError(
            f"{missing:,} of {listed:,} {name} videos are missing below {root}, more than data.max_missing_fraction="
            f"{self.max_missing_fraction:g} allows; the first is {looked_for} of {first.where}",
            hint,
        )


def lists_of(data: VideoDataModule) -> dict[str, Any]:
    """What a record says of the lists that it rests on: for each split that there is, how many videos and their hash.

    Where a published list was read, also how many videos it names, how many of them are on disk, and the first that
    are not. Of a mix, the same of each of its sets under `sets`.
    """
    samples = {split: data.samples(split) for split in SPLITS}
    told: dict[str, Any] = {
        split: {"videos": len(part), "hash": part.list_hash()} for split, part in samples.items() if len(part)
    }
    if isinstance(data, OfficialVideos):
        for split, counted in data.counted.items():
            missing = [entry.id for entry in counted.missing[:EXAMPLES]]
            found = {"listed": counted.listed, "found": counted.found, "missing": missing}
            told[split] = {**told.get(split, {"videos": 0}), **found}
    if data.parts:
        told["sets"] = {name: lists_of(part) for name, part in data.parts.items()}
    return told


def missing_of(data: VideoDataModule) -> str:
    """`"12 of 9,537 listed training videos are missing"`, or nothing where all are there."""
    missing = [f"{name}: {told}" for name, part in data.parts.items() if (told := missing_of(part))]
    return " and ".join(_told(data.counted)) if isinstance(data, OfficialVideos) else "; ".join(missing)


def _told(counted: Mapping[Split, Counted]) -> Iterator[str]:
    for split, name in PARTS:
        if missing := len(counted[split].missing):
            yield f"{missing:,} of {counted[split].listed:,} listed {name} videos are missing"


def _count(entries: list[Entry], paths: list[str | None]) -> Counted:
    missing = tuple(entry for entry, path in zip(entries, paths, strict=True) if path is None)
    return Counted(len(entries), missing)


def _whole(entries: list[Entry], paths: list[str | None]) -> list[str | None]:
    """The paths; None also for a folder with fewer images than the list asks for."""
    asked = {path for entry, path in zip(entries, paths, strict=True) if entry.frames and path}
    held = {path: _images(path) for path in asked}
    return [
        None if path is not None and entry.frames is not None and held[path] < sum(entry.frames) else path
        for entry, path in zip(entries, paths, strict=True)
    ]


def _images(folder: str) -> int:
    try:
        return len(image_names(folder))
    except OSError as error:
        raise UserError(f"data.root: {folder} cannot be read: {error.strerror}") from error


def _samples(found: list[tuple[Entry, str]], fps: float, classes: int) -> Samples:
    # A part of a folder is a segment; its bounds are the times of frames, as the reader counts them.
    parts = [(part[0], sum(part)) if (part := entry.frames) else (np.nan, np.nan) for entry, _ in found]
    start_s, end_s = np.array(parts, dtype=np.float64).reshape(-1, 2).T / fps
    return Samples(
        id=np.array([entry.id for entry, _ in found], dtype=np.str_),
        path=np.array([path for _, path in found], dtype=np.str_),
        start_s=start_s,
        end_s=end_s,
        labels={LABEL: np.array([entry.label for entry, _ in found], dtype=np.int64)},
        group=np.array([entry.group for entry, _ in found], dtype=np.str_),
        fold=np.full(len(found), -1, dtype=np.int64),
        multi={LABEL: _several(found, classes)} if any(entry.labels for entry, _ in found) else {},
    )


def _several(found: list[tuple[Entry, str]], classes: int) -> NDArray[np.bool_]:
    """[N, K] which classes each video carries."""
    carried = np.zeros((len(found), classes), np.bool_)
    for row, (entry, _) in zip(carried, found, strict=True):
        row[list(entry.carried)] = True
    return carried


def _label(samples: Samples) -> NDArray[np.int64]:
    return samples.labels.get(LABEL, np.full(len(samples), -1, dtype=np.int64))


def _few(samples: Samples, count: int) -> Samples:
    return samples.take(few(samples.id.tolist(), _label(samples).tolist(), count))
