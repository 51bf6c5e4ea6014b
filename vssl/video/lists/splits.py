"""Which videos train and which test: as the list says, else by fold, else our own split by a hash of the group."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from vssl.config.errors import UserError
from vssl.video.lists.manifest import Row

HELD_OUT = 0.2  # share of the videos of each class; our choice


def split_rows(
    rows: Sequence[Row], columns: Sequence[str], label: Sequence[int], test_fold: int, where: str
) -> tuple[list[str], str]:
    """The split of each row, and the rule in words. Raises UserError where a class is tested and never trained.

    Args:
        columns: what the list gives; `split` wins over `fold`.
        label: class index of each row, -1 without a label; such rows are for pretraining only.
    """
    if "split" in columns:
        split, rule = [_given_split(row, "label" in columns) for row in rows], "the list's own split"
    elif max(label) < 0:
        split, rule = ["unlabelled"] * len(rows), "no labels, all videos are for pretraining"
    elif "fold" in columns:
        _refuse_absent_fold(rows, test_fold, where)
        split = ["unlabelled" if not row.label else "test" if row.fold == test_fold else "train" for row in rows]
        rule = f"fold {test_fold} is the test split"
    else:
        split = _our_split(rows, label)
        rule = f"our split: a fifth of the videos, by a hash of their {'group' if 'group' in columns else 'path'}"
        rule += " and stratified, is the test split"
    _refuse_untrained(rows, split, where)
    return split, rule


def _given_split(row: Row, labels: bool) -> str:
    if not row.split and row.label:
        raise UserError(f"{row.where}: a video with a label needs a split (train or test)")
    if row.split == "test" and labels and not row.label:
        raise UserError(f"{row.where}: a test video needs a label")
    if labels and not row.label:
        return "unlabelled"
    return row.split or "unlabelled"


def _refuse_absent_fold(rows: Sequence[Row], test_fold: int, where: str) -> None:
    labelled = [row for row in rows if row.label]
    if without := next((row for row in labelled if row.fold < 0), None):
        raise UserError(f"{without.where}: a video with a label needs a fold")
    folds = sorted({row.fold for row in labelled})
    if test_fold not in folds:
        raise UserError(f"data.test_fold: {where} has no fold {test_fold}; it has {', '.join(map(str, folds))}")


def _our_split(rows: Sequence[Row], label: Sequence[int]) -> list[str]:
    labelled = [i for i, c in enumerate(label) if c >= 0]
    classes = {"label": np.array([label[i] for i in labelled])}
    tested = held_out([rows[i].group for i in labelled], classes, salt="test")
    split = ["unlabelled"] * len(rows)
    for i, is_test in zip(labelled, tested, strict=True):
        split[i] = "test" if is_test else "train"
    return split


def _refuse_untrained(rows: Sequence[Row], split: Sequence[str], where: str) -> None:
    if not any(s in ("train", "unlabelled") for s in split):
        raise UserError(f"{where}: no video is in the training split")
    trained = {row.label for row, s in zip(rows, split, strict=True) if s == "train"}
    tested = [row for row, s in zip(rows, split, strict=True) if s == "test" and row.label]
    untrained = [row for row in tested if row.label not in trained]
    if untrained:
        names = sorted({row.label for row in untrained})
        hint = f"{len(names)} of the classes are never trained: {', '.join(names[:10])}"
        message = f"class '{untrained[0].label}' is in the test split and not in the training split"
        raise UserError(f"{untrained[0].where}: {message}", hint)


def held_out(group: Sequence[str], labels: Mapping[str, NDArray[np.int64]], salt: str) -> NDArray[np.bool_]:
    """(N,) True for about a fifth of the videos of each class of each label, whole groups at a time.

    Groups are visited in the order of a hash of their name and `salt`, so that the choice depends neither on the order
    of the list nor on the machine. A group is held out if that brings the classes nearer to their share than it takes
    them past it, and if every class keeps a video.
    """
    members: dict[str, list[int]] = {}
    for i, name in enumerate(group):
        members.setdefault(name, []).append(i)
    columns = [values.tolist() for values in labels.values()]
    classes = [[(name, column[i]) for name, column in enumerate(columns)] for i in range(len(group))]
    total = Counter(key for keys in classes for key in keys)
    missing = Counter({key: max(1, round(HELD_OUT * n)) if n > 1 else 0 for key, n in total.items()})
    chosen = np.zeros(len(group), dtype=bool)
    for name in sorted(members, key=lambda name: _hash(name, salt)):
        count = Counter(key for i in members[name] for key in classes[i])
        gain = sum(min(n, 2 * max(missing[key], 0) - n) for key, n in count.items())
        if gain > 0 and all(n < total[key] for key, n in count.items()):
            chosen[members[name]] = True
            total.subtract(count)
            missing.subtract(count)
    return chosen


def few(ids: Sequence[str], label: Sequence[int], count: int) -> NDArray[np.int64]:
    """Ascending indices of at most `count` videos, for a quick look at a large list.

    In the order of a hash of their ids, and class by class in turn, from no more classes than can have four videos
    each, so that what is left can still be learned, selected on and tested.
    """
    order = sorted(range(len(ids)), key=lambda i: _hash(ids[i], "few"))
    classes = list(dict.fromkeys(label[i] for i in order))[: max(2, count // 4)]
    by_class: dict[int, list[int]] = {c: [] for c in classes}
    for i in order:
        if label[i] in by_class:
            by_class[label[i]].append(i)
    in_turn = [(turn, i) for videos in by_class.values() for turn, i in enumerate(videos)]
    return np.array(sorted(i for _, i in sorted(in_turn)[:count]), dtype=np.int64)


def _hash(name: str, salt: str) -> bytes:
    return hashlib.sha256(f"{salt}\0{name}".encode("utf-8", "surrogateescape")).digest()
