"""A confusion matrix: which classes are taken for which."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import PowerNorm
from numpy.typing import NDArray

from vssl.drawing.figure import INK, new_figure, plain, save, short

_WRITTEN = 16  # up to so many classes every cell has its count, and both axes have names
_NAMED = 40  # up to so many the rows have names and the columns numbers; of more only the worst cells are named
_LETTERS, _TURNED_LETTERS = 38, 26
_PAIRS, _PAIR_LETTERS = 12, 44
_NOTE = "Row: the class it is; column: the class it is taken for. Colour: share of the row."


def draw_matrix(title: str, counts: NDArray[np.int64], classes: Sequence[str], path_png: Path) -> None:
    """Writes the picture.

    Args:
        counts: [K, K], videos of the class of the row that were taken for the class of the column.
    """
    size = len(classes)
    side = min(max(2.4, 0.36 * size), 9.0)
    longest = max(map(len, classes))
    left = 0.075 * min(_LETTERS, longest) + 0.2 if size <= _NAMED else 0.3
    below = 0.055 * min(_TURNED_LETTERS, longest) + 0.2 if size <= _WRITTEN else 0.5
    note = "\n".join([_NOTE, *_pairs(counts, classes)])
    height = side + below + 0.6 + 0.13 * len(note.splitlines())
    figure = new_figure(title, max(side + left + 1.2, 5.2), height, note)
    panel = figure.subplots()
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    # Of many classes the few that are taken for another would be lost among the pale ones.
    scale = PowerNorm(1 if size <= _WRITTEN else 0.5, vmin=0, vmax=100)
    drawn = panel.imshow(100 * share, cmap="Blues", norm=scale, interpolation="nearest")
    plain(panel, grid=False)
    _name(panel, classes)
    if size <= _WRITTEN:
        _write(panel, counts, share)
    bar = figure.colorbar(drawn, ax=panel, shrink=0.6, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=7.5, colors=INK)
    bar.set_label("% of the row", fontsize=8, color=INK)
    save(figure, path_png)


def _name(panel: Any, classes: Sequence[str]) -> None:
    size = len(classes)
    if size > _WRITTEN:
        panel.set_xlabel("class, by number from 0", fontsize=8, color=INK)
    else:
        turned = [short(name, _TURNED_LETTERS) for name in classes]
        panel.set_xticks(range(size), turned, rotation=45, ha="right", rotation_mode="anchor", fontsize=7.5)
    if size <= _NAMED:
        numbers = [f"{place} " if size > _WRITTEN else "" for place in range(size)]
        names = [number + short(name, _LETTERS) for number, name in zip(numbers, classes, strict=True)]
        panel.set_yticks(range(size), names, fontsize=7.5)


def _write(panel: Any, counts: NDArray[np.int64], share: NDArray[np.float64]) -> None:
    for row, column in np.argwhere(counts):
        colour = "white" if share[row, column] > 0.55 else INK
        panel.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=7.5, color=colour)


def _pairs(counts: NDArray[np.int64], classes: Sequence[str]) -> list[str]:
    """The commonest confusions where there are too many classes for names beside the matrix."""
    if len(classes) <= _NAMED:
        return []
    wrong = counts - np.diag(np.diag(counts))
    order = np.argsort(-wrong, axis=None, kind="stable")[:_PAIRS]
    cells = [(int(row), int(column)) for row, column in zip(*np.unravel_index(order, wrong.shape), strict=True)]
    return ["Most often taken for another:"] + [
        f"{wrong[row, column]} of {counts[row].sum()}: {row} {short(classes[row], _PAIR_LETTERS)} → "
        f"{column} {short(classes[column], _PAIR_LETTERS)}"
        for row, column in cells
        if wrong[row, column]
    ]
