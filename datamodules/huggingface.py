"""Hugging Face data sets with a column of videos: saved ones, Parquet files, or by name from the hub."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from vssl.config.errors import ConfigError, UserError, WorkError, nearest
from vssl.listed import ListedVideos
from vssl.video.lists.classes import checked_class_names
from vssl.video.lists.manifest import Row, relative_path
from vssl.video.lists.samples import Listing, listing_of
from vssl.video.lists.table_splits import split_files
from vssl.video.lists.tables import Table, TableRow, read_table

INSTALL = "pip install 'vssl[huggingface]'"
LIKELY_TESTS = ("test", "validation")


class HuggingFace(ListedVideos):
    """A data set with a column of videos and a column of labels. One label: `label`.

    Args:
        root: what `save_to_disk` wrote, a folder of Parquet files named as on the hub
            (`data/train-00000-of-00002.parquet`), or one file; needs no further library.
        name: instead of root, a data set of the hub (`user/set`), which the library `datasets` keeps in its cache.
        config_name, revision: which of its configurations and versions.
        train_split, test_split, unlabelled_split: names of splits. The tested one is `test`, else `validation`, else a
            fifth of the training rows.
        video_column: bytes, a path, or {bytes, path}.
        label_column: numbers or text; None: no labels are read.
        outside_root: paths in the table may lead out of root.
        classes: class names in order; else those of the column, else sorted.
    """

    def __init__(
        self,
        root: str | None = None,
        name: str | None = None,
        config_name: str | None = None,
        revision: str | None = None,
        train_split: str = "train",
        test_split: str | None = None,
        unlabelled_split: str | None = None,
        video_column: str = "video",
        label_column: str | None = "label",
        outside_root: bool = False,
        classes: list[str] | None = None,
        **shared,
    ) -> None:
        super().__init__(root=root, **shared)
        if (root is None) == (name is None):
            raise ValueError("either root (files on disk) or name (a data set of the hub) must be given")
        self.name, self.config_name, self.revision = name, config_name, revision
        self.splits = {"train": train_split, "test": test_split, "unlabelled": unlabelled_split}
        self.video_column, self.label_column = video_column, label_column
        self.outside_root = outside_root
        self.class_names = classes

    @cached_property
    def listing(self) -> Listing:
        files = self._files()
        chosen = self._chosen(files)
        tables = {part: self._tables(files[split], part) for part, split in chosen.items()}
        names = self._class_names([table for those in tables.values() for table in those])
        rows = [row for part, split in chosen.items() for row in self._rows(tables[part], part, split, names)]
        if not rows:
            raise UserError(f"{self._called}: there is no row in split {chosen['train']}")
        self._refuse_partly_labelled(rows, chosen)
        has_test = "test" in chosen
        listing = listing_of(
            rows, ("path", "label", "split") if has_test else ("path", "label"), 0, names, self._called
        )
        rule = f"split {chosen['train']} trains, split {chosen['test']} is tested" if has_test else listing.rule
        return Listing(listing.samples, listing.split, listing.classes, rule)

    @property
    def _called(self) -> str:
        return f"data.name={self.name}" if self.root is None else str(self.root)

    def _files(self) -> dict[str, list[str]]:
        if self.name is not None:
            return downloaded(self.name, self.config_name, self.revision)
        root = Path(str(self.root))
        if not root.exists():
            raise ConfigError(f"data.root: there is no folder or file {root}")
        files = split_files(root.absolute())
        if not files:
            hint = "expected is what save_to_disk wrote, or Parquet files named as on the hub"
            raise ConfigError(f"data.root: there is no table in {root}", hint)
        return files

    def _chosen(self, files: dict[str, list[str]]) -> dict[str, str]:
        """{part: split}; a test split that is not named is a likely one. Raises ConfigError."""
        chosen = {part: split for part, split in self.splits.items() if split is not None}
        for part, split in chosen.items():
            if split not in files:
                known = ", ".join(files)
                raise ConfigError(
                    f"data.{part}_split: there is no split '{split}'; there are {known}{nearest(split, files)}"
                )
        if self.label_column is not None and "test" not in chosen:
            free = [split for split in LIKELY_TESTS if split in files and split not in chosen.values()]
            chosen |= {"test": free[0]} if free else {}
        if len(set(chosen.values())) < len(chosen):
            raise ConfigError(f"data: one split cannot be two of {', '.join(f'{p}={s}' for p, s in chosen.items())}")
        return chosen

    def _tables(self, files: Sequence[str], part: str) -> list[Table]:
        label = None if part == "unlabelled" else self.label_column
        return [read_table(file, self.video_column, label) for file in files]

    def _class_names(self, tables: Sequence[Table]) -> tuple[str, ...] | None:
        if self.class_names is not None:
            return checked_class_names(self.class_names, "data.classes")
        noted = list(dict.fromkeys(table.classes for table in tables if table.classes is not None))
        if len(noted) > 1:
            message = f"{self._called}: the class names of column '{self.label_column}' differ between its files"
            raise UserError(message, "data.classes=[...] gives one order for all")
        return noted[0] if noted else None

    def _rows(self, tables: Sequence[Table], part: str, split: str, names: Sequence[str] | None) -> Iterator[Row]:
        count = 0
        for table in tables:
            for row in table.rows:
                identity = f"{split}/{count}"
                label = _label(row, table.classes if table.classes is not None else None, names)
                path = row.part.address if row.part is not None else self._path(row)
                yield Row(row.where, identity, path, identity, label, "" if part == "unlabelled" else part)
                count += 1

    def _path(self, row: TableRow) -> str:
        if not row.path:
            raise UserError(f"{row.where}: column '{self.video_column}' is empty: it has neither bytes nor a path")
        root = Path(str(self.root or "/")).absolute()
        base = str(root if root.is_dir() else root.parent)
        path = Path(base, relative_path(row.path, row.where, base, self.outside_root or self.name is not None))
        if not path.is_file():
            hint = "save it with the videos in it, or set data.root to the folder from which the paths start"
            raise UserError(f"{row.where}: it holds the path {row.path} and no bytes, and there is no such file", hint)
        return str(path)

    def _refuse_partly_labelled(self, rows: Sequence[Row], chosen: dict[str, str]) -> None:
        for part in ("train", "test"):
            own = [row for row in rows if row.split == part]
            without = [row for row in own if not row.label]
            if part == "test" and own and len(without) == len(own):
                hint = (
                    "data.test_split=validation may be what publications test; data.label_column=null to pretrain alone"
                )
                raise UserError(f"{without[0].where}: split '{chosen[part]}' has no labels to be tested with", hint)
            if without and len(without) < len(own):
                message = (
                    f"{without[0].where}: {len(without):,} of {len(own):,} rows of split '{chosen[part]}' have no label"
                )
                raise UserError(message, "put them into a split of their own: data.unlabelled_split=...")


def _label(row: TableRow, noted: Sequence[str] | None, names: Sequence[str] | None) -> str:
    """The label as the name or number that `class_indices` reads."""
    if row.label is None:
        return ""
    known = noted if noted is not None else names
    if isinstance(row.label, int) and known is not None:
        if row.label >= len(known):
            raise UserError(f"{row.where}: label {row.label} is outside 0..{len(known) - 1}")
        return known[row.label]
    return str(row.label)


def downloaded(name: str, config_name: str | None, revision: str | None) -> dict[str, list[str]]:
    """{split: its Arrow files} of a data set that `datasets` has in its cache, downloaded if need be."""
    try:
        import datasets
    except ImportError as error:
        raise ConfigError(f"data.name={name}: the library 'datasets' is not there: {error}", INSTALL) from error
    try:
        loaded = datasets.load_dataset(name, config_name, revision=revision, streaming=False, keep_in_memory=False)
    except Exception as error:  # the library and what it downloads with raise errors of many kinds
        reason = f"{type(error).__name__}: {error}"
        raise WorkError(f"data.name={name}: the data set cannot be loaded: {reason}") from error
    return {str(split): [str(file["filename"]) for file in part.cache_files] for split, part in loaded.items()}
