"""Class names to class indices."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vssl.config.errors import UserError, nearest
from vssl.video.lists.manifest import Row

MOST_CLASSES = 100_000


def read_class_names(file: Path) -> tuple[str, ...]:
    """One class a line, in order; empty lines are left out."""
    try:
        names = tuple(line.strip() for line in file.read_text("utf-8-sig").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        hint = "it is UTF-8 text, one class a line"
        raise UserError(f"the class list {file} cannot be read: {error}", hint) from error
    return checked_class_names(names, str(file))


def checked_class_names(names: Sequence[str], where: str) -> tuple[str, ...]:
    if double := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"{where}: the class '{double}' stands there twice")
    return tuple(names)


def class_indices(rows: Sequence[Row], names: Sequence[str] | None, where: str) -> tuple[list[int], tuple[str, ...]]:
    """The class index of each row (-1 without a label) and the class names in order.

    Given `names` set the order. Without them labels that are all integers stay as they are, and others are sorted.
    """
    labels = sorted({row.label for row in rows if row.label})
    integers = all(_is_integer(label) for label in labels)
    if names is None:
        names = _integer_names(rows, labels) if integers else tuple(labels)
    by_name = {name: i for i, name in enumerate(names)}
    if integers and not all(label in by_name for label in labels):
        by_name = {label: int(label) for label in labels if int(label) < len(names)}
    if len(labels) == 1:
        raise UserError(f"{where}: there is one class, '{labels[0]}', and a comparison needs two", "give more labels")
    _refuse_unknown(rows, by_name, names)
    return [by_name[row.label] if row.label else -1 for row in rows], tuple(names)


def class_sets(
    rows: Sequence[Row], names: Sequence[str] | None, where: str
) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    """(N, K) which classes each row carries, and the class names in order, which come about as in `class_indices`."""
    single = [replace(row, label=label, labels=()) for row in rows for label in row.labels]
    index, class_names = class_indices(single, names, where)
    found = np.zeros((len(rows), len(class_names)), np.bool_)
    found[np.repeat(np.arange(len(rows)), [len(row.labels) for row in rows]), index] = True
    return found, class_names


def _is_integer(label: str) -> bool:
    return label.isascii() and label.isdigit() and len(label) < 10


def _integer_names(rows: Sequence[Row], labels: Sequence[str]) -> tuple[str, ...]:
    count = max((int(label) for label in labels), default=-1) + 1
    if count > MOST_CLASSES:
        row = next(row for row in rows if row.label and int(row.label) == count - 1)
        hint = "integer labels count the classes from 0; numbers that are names need a classes.txt beside the manifest"
        raise UserError(f"{row.where}: label {row.label} is outside 0..{MOST_CLASSES - 1}", hint)
    return tuple(str(i) for i in range(count))


def _refuse_unknown(rows: Sequence[Row], known: dict[str, int], names: Sequence[str]) -> None:
    unknown = [row for row in rows if row.label and row.label not in known]
    if not unknown:
        return
    first, hint = unknown[0], f"{len(unknown)} of {len(rows)} rows have such a label"
    if _is_integer(first.label) and not _is_integer(names[0] if names else ""):
        raise UserError(f"{first.where}: label {first.label} is outside 0..{len(names) - 1}", hint)
    message = f"{first.where}: label '{first.label}' is none of the {len(names)} classes{nearest(first.label, names)}"
    raise UserError(message, hint)
