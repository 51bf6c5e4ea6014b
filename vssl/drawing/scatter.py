"""Points in a plane, coloured by class."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vssl.drawing.figure import COLOURS, INK, new_figure, plain, save, short

_MARKERS = ("o", "^", "s")
_TOLD_APART = len(COLOURS) * len(_MARKERS)
_GREY = "#d4d4d4"


def draw_scatter(
    title: str,
    places: NDArray[np.float64],
    axes: Sequence[str],
    label: NDArray[np.int64],
    classes: Sequence[str],
    path_png: Path,
) -> None:
    """Writes the picture.

    Args:
        places: [N, 2]. axes: what each of the two is.
        label: int64 [N], -1 for none: grey, unless none has one. Of too many classes to be told apart those with most
            points have a colour.
    """
    present, sizes = np.unique(label[label >= 0], return_counts=True)
    order = np.argsort(-sizes, kind="stable")[:_TOLD_APART]
    coloured = np.sort(present[order])
    note = ""
    if len(coloured) < len(present):
        note = f"Coloured: the {len(coloured)} of {len(present)} classes with most test videos; grey: the others."
    figure = new_figure(title, 7.2 if len(coloured) else 5.2, 4.8, note)
    panel = figure.subplots()
    # Small sets have room for larger dots.
    size = float(np.clip(6000 / len(places), 5, 28))
    grey = ~np.isin(label, coloured)
    panel.scatter(places[grey, 0], places[grey, 1], s=size, color=_GREY if len(coloured) else COLOURS[0], linewidth=0)
    for place, one in enumerate(coloured):
        colour, marker = COLOURS[place % len(COLOURS)], _MARKERS[place // len(COLOURS)]
        own = places[label == one]
        panel.scatter(
            own[:, 0],
            own[:, 1],
            s=size,
            color=colour,
            marker=marker,
            linewidth=0,
            alpha=0.8,
            label=short(classes[one], 32),
        )
    plain(panel)
    panel.set_aspect("equal", adjustable="datalim")
    panel.set_xlabel(axes[0], fontsize=8, color=INK)
    panel.set_ylabel(axes[1], fontsize=8, color=INK)
    if len(coloured):
        figure.legend(
            loc="outside right upper", fontsize=7.5, frameon=False, labelcolor=INK, markerscale=(40 / size) ** 0.5
        )
    save(figure, path_png)
