"""The curves of one training: a panel a quantity, over optimiser steps."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from vssl.drawing.figure import COLOURS, INK, new_figure, plain, save, short

_A_LINE = 3
_NOT_CURVES = ("step", "epoch", "samples", "seconds")
_TITLES = {
    "loss": "loss", "lr": "learning rate", "wait_share": "share of time spent waiting for data",
    "feature_std": "deviation of features", "effective_rank": "effective rank of features",
    "probe_knn": "online probe, kNN top-1 on training videos", "probe_std": "online probe, deviation of features",
    "probe_rank": "online probe, effective rank",
}  # fmt: skip
_SMOOTHED = 40  # from so many values a mean over a fortieth of them is drawn over the single ones


def draw_curves(title: str, curves: pd.DataFrame, path_png: Path) -> None:
    """Writes the picture.

    Args:
        curves: a row a step, with the column `step`; a panel for every other column of numbers that has two of them.
    """
    columns = drawn_columns(curves)
    across = min(_A_LINE, len(columns))
    down = math.ceil(len(columns) / across)
    note = "Dark: the mean over a fortieth of the training."
    figure = new_figure(title, 3.1 * across, 2.2 * down + 0.7, note)
    panels = figure.subplots(down, across, squeeze=False).flatten()
    for panel, column in zip(panels, columns, strict=False):
        _curve(panel, curves[["step", column]].dropna(), column)
    for panel in panels[len(columns) :]:
        panel.set_axis_off()
    save(figure, path_png)


def drawn_columns(curves: pd.DataFrame) -> Sequence[str]:
    """The loss and its terms first, as they stand; columns without two numbers are left out."""
    numbers = curves.select_dtypes("number")
    return [str(name) for name in numbers if name not in _NOT_CURVES and numbers[name].count() >= 2]


def _curve(panel: Any, curve: pd.DataFrame, column: str) -> None:
    step, value = curve["step"].to_numpy(), curve[column]
    if len(curve) >= _SMOOTHED:
        panel.plot(step, value, color=COLOURS[0], linewidth=0.6, alpha=0.35)
        panel.plot(step, value.rolling(len(curve) // _SMOOTHED, center=True, min_periods=1).mean(), color=COLOURS[0],
                   linewidth=1.3)  # fmt: skip
    else:
        panel.plot(step, value, "o-", color=COLOURS[0], linewidth=1.3, markersize=2.6)
    panel.set_title(short(_TITLES.get(column, column), 44), fontsize=8.5, color=INK, loc="left")
    panel.set_xlabel("optimiser steps", fontsize=8, color=INK)
    panel.margins(x=0.02)
    plain(panel)
