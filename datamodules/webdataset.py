"""WebDataset shards: tar files of videos and their labels, on disk or on a server; read in place, in any order."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

from rich.console import Console
from rich.progress import track

from vssl.config.errors import ConfigError, UserError
from vssl.listed import ListedVideos
from vssl.records.folders import cache_dir
from vssl.video.decoding.addresses import Span
from vssl.video.decoding.remote import file_system, is_remote
from vssl.video.lists.classes import checked_class_names, read_class_names
from vssl.video.lists.manifest import Row
from vssl.video.lists.samples import CLASS_FILE, Listing, listing_of
from vssl.video.lists.shard_names import shards
from vssl.video.lists.tar_index import LabelForm, LabelRule, ShardIndex, shard_index

REQUESTS = 8  # shards on a server that are indexed side by side
PARTS = ("train", "test", "unlabelled")


class WebDataset(ListedVideos):
    """Videos in tar shards, grouped and named as WebDataset does. One label: `label`.

    Args:
        root: folder that relative shard names start from.
        train_shards, test_shards, unlabelled_shards: one pattern or several (`::` between them), with braces
            (`train-{000..099}.tar`) or wildcards (`val-*.tar`); paths, or URLs that fsspec reads. Without test shards a
            fifth of the training samples is tested. Labels in unlabelled shards are not read.
        label_from: the members that give labels; "auto": `.cls`, else `.json`, else `.txt` of one line.
        label_key: the key of the label in `.json` members.
        classes: class names in order; else `classes.txt` in root or beside the first shard, else sorted.
    """

    def __init__(
        self,
        root: str | None = None,
        train_shards: str | list[str] | None = None,
        test_shards: str | list[str] | None = None,
        unlabelled_shards: str | list[str] | None = None,
        label_from: LabelForm = "auto",
        label_key: str = "label",
        classes: list[str] | None = None,
        **shared,
    ) -> None:
        super().__init__(root=root, **shared)
        if not train_shards and not unlabelled_shards:
            raise ValueError("train_shards must be given (or unlabelled_shards), such as train-{000..099}.tar")
        self.patterns = {"train": train_shards, "test": test_shards, "unlabelled": unlabelled_shards}
        self.rule = LabelRule(label_from, label_key)
        self.class_names = classes

    @cached_property
    def listing(self) -> Listing:
        files = self._files()
        indices = {part: self._indices(part, files[part]) for part in PARTS}
        rows = [
            row for part in PARTS for file, index in zip(files[part], indices[part], strict=True)
            for row in _rows(file, index, part)
        ]  # fmt: skip
        _refuse_doubles(rows)
        labelled = {part: self._has_labels(part, files[part], indices[part]) for part in PARTS}
        if indices["test"] and not labelled["test"]:
            raise UserError("data.test_shards: test samples need a label, and none has one", _label_hint(self.rule))
        if indices["test"] and not labelled["train"]:
            message = "data.test_shards are given, and no sample of data.train_shards has a label"
            raise UserError(message, f"leave data.test_shards out to pretrain alone; {_label_hint(self.rule)}")
        columns = ("path", "label", "split") if indices["test"] else ("path", "label")
        names = self._class_names([file for part in PARTS for file in files[part]]) if labelled["train"] else None
        listing = listing_of(rows, columns, 0, names, "data.train_shards")
        return Listing(listing.samples, listing.split, listing.classes, self._told(listing.rule, indices))

    def _files(self) -> dict[str, list[str]]:
        given = {part: names for part, names in self.patterns.items() if names}
        files = {part: shards(given.get(part, []), self.root, f"data.{part}_shards") for part in PARTS}
        every = [(file, part) for part in PARTS for file in files[part]]
        of: dict[str, str] = {}
        for file, part in every:
            if of.setdefault(file, part) != part:
                raise ConfigError(f"data.{part}_shards: {file} is one of data.{of[file]}_shards, too")
        for url in {file.partition("://")[0]: file for file, _ in every if is_remote(file)}.values():
            file_system(url, f"data.{of[url]}_shards")  # refused here, if its library is missing
        return files

    def _indices(self, part: str, files: Sequence[str]) -> list[ShardIndex]:
        rule = LabelRule("none") if part == "unlabelled" else self.rule
        folder = cache_dir() / "shards"
        shown, told = Console(stderr=True), f"Reading the headers of {len(files)} shards"
        with ThreadPoolExecutor(REQUESTS if any(map(is_remote, files)) else 1) as pool:
            found = pool.map(lambda file: shard_index(file, rule, folder), files)
            try:
                return list(
                    track(found, told, len(files), console=shown, transient=True, disable=not shown.is_terminal)
                )
            finally:
                pool.shutdown(cancel_futures=True)

    def _has_labels(self, part: str, files: Sequence[str], indices: Sequence[ShardIndex]) -> bool:
        """Whether the samples of a part have labels. Raises UserError where some do, or of different forms."""
        key = f"data.{part}_shards"
        forms = [form for index in indices for form in index.form.tolist()]
        if len(set(forms)) < 2:
            return any(forms)
        where = [f"{file}, member {name}" for file, i in zip(files, indices, strict=True) for name in i.member.tolist()]
        if without := forms.count(""):
            message = (
                f"{key}: {without:,} of {len(forms):,} samples have no label; the first is {where[forms.index('')]}"
            )
            raise UserError(message, "put them into shards of their own: data.unlabelled_shards=...")
        one, other = list(dict.fromkeys(forms))[:2]
        message = (
            f"the label of {where[forms.index(one)]} is in a .{one}, that of {where[forms.index(other)]} in a .{other}"
        )
        raise UserError(
            f"{key}: {message}", "the samples of a set give their labels in one form; data.label_from=... chooses"
        )

    def _class_names(self, files: Sequence[str]) -> tuple[str, ...] | None:
        if self.class_names is not None:
            return checked_class_names(self.class_names, "data.classes")
        beside = [Path(file).parent for file in files[:1] if not is_remote(file)]
        for folder in ([Path(self.root)] if self.root else []) + beside:
            if (file := folder / CLASS_FILE).is_file():
                return read_class_names(file)
        return None

    def _told(self, rule: str, indices: dict[str, list[ShardIndex]]) -> str:
        counts = ", ".join(f"{len(indices[part])} {part}" for part in PARTS if indices[part])
        without = sum(int(index.without_video[0]) for part in PARTS for index in indices[part])
        told = "by shards" if indices["test"] else rule
        return f"{told} ({counts} shards)" + (f"; {without:,} samples have no video" if without else "")


def _rows(file: str, index: ShardIndex, part: str) -> Iterator[Row]:
    columns = (index.key, index.member, index.start, index.size, index.label)
    for key, member, start, size, label in zip(*(column.tolist() for column in columns), strict=True):
        span = Span(file, start, start + size, f"member {member}")
        yield Row(f"{file}, {span.part}", key, span.address, key, label, part if part != "unlabelled" else "")


def _refuse_doubles(rows: Sequence[Row]) -> None:
    first: dict[str, Row] = {}
    for row in rows:
        if (before := first.setdefault(row.id, row)) is not row:
            hint = "a sample that is there twice counts twice, or leaks; give every sample a name of its own"
            raise UserError(f"{row.where}: sample '{row.id}' is already in {before.where}", hint)


def _label_hint(rule: LabelRule) -> str:
    return f"labels are read from members in the form {' or '.join(f'.{form}' for form in rule.forms) or 'none'}"
