"""How well each class is told: a bar a class, the best first."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vssl.drawing.figure import COLOURS, HALO, INK, new_figure, plain, ranked, save, short

_A_COLUMN = 60  # bars
_LETTERS = 40


def draw_class_bars(title: str, counts: NDArray[np.int64], classes: Sequence[str], path_png: Path) -> None:
    """Writes the picture.

    Args:
        counts: [K, K], videos of the class of the row that were taken for the class of the column. Classes without a
            video are left out.
    """
    videos, right = counts.sum(axis=1), np.diag(counts)
    shown = [place for place in range(len(classes)) if videos[place]]
    accuracy = [float(right[place] / videos[place]) for place in shown]
    order = [shown[place] for place in ranked(accuracy)]
    columns = math.ceil(len(order) / _A_COLUMN)
    rows = math.ceil(len(order) / columns)
    longest = max(min(_LETTERS, len(classes[place])) for place in order)
    width = 0.075 * longest + 2.2
    mean = float(np.mean(accuracy))
    note = f"Line: mean over classes, {100 * mean:.1f} %. In brackets: test videos."
    figure = new_figure(title, max(4.2, width * columns), max(1.6, 0.19 * rows + 1.0), note)
    for column, panel in enumerate(figure.subplots(1, columns, squeeze=False)[0]):
        own = order[column * rows : (column + 1) * rows]
        height = [100 * right[place] / videos[place] for place in own]
        panel.barh(range(len(own)), height, height=0.66, color=COLOURS[0])
        for bar, value in enumerate(height):
            panel.annotate(f"{value:.0f}", (value, bar), (2, 0), textcoords="offset points", va="center", fontsize=7,
                           color=INK, path_effects=HALO)  # fmt: skip
        names = [f"{short(classes[place], _LETTERS)} ({videos[place]})" for place in own]
        panel.axvline(100 * mean, color=INK, linewidth=0.8, linestyle=":")
        plain(panel)
        panel.grid(axis="y", visible=False)
        panel.set_yticks(range(len(own)), names, fontsize=7.5)
        panel.set_ylim(rows - 0.4, -0.6)
        panel.set_xlim(0, 112)
        panel.set_xticks([0, 25, 50, 75, 100])
        panel.set_xlabel("right, %", fontsize=8, color=INK)
    save(figure, path_png)
