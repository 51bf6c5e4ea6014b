"""Learning curves as a picture of their own: what the online probe saw while the runs were trained."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vssl.records.atomic import atomic
from vssl.report.rows import Row

if TYPE_CHECKING:
    from vssl.report.table import Table

COLUMN = "probe_knn"

COLOURS = ("#3b6fb6", "#c8553d", "#4f9d69", "#8a5fb0", "#b8862b", "#4aa3a2", "#a3476b", "#777777")  # one a row
STYLES = ("-", "--", ":", "-.")  # one a round of the colours
INK = "#333333"
_FAR = 4  # from this ratio of the longest training to the shortest the axis of samples is logarithmic
NOTE = (
    "Online probe: kNN on training videos held back. A point inside a schedule is not what a training of that length "
    "would have reached, since the learning rate had not come to its end."
)


@dataclass(frozen=True)
class Curve:
    """The online probe of one run.

    Args:
        row: place of its row in the table.
        title: of its row.
        points: (samples seen, top-1 as a share), in their order.
    """

    row: int
    title: str
    seed: int
    points: tuple[tuple[int, float], ...]


def curves_of(rows: Sequence[Row]) -> list[Curve]:
    """One for each run that was probed, as its `metrics.csv` says; runs without the column have none."""
    curves = [
        Curve(place, row.title, encoder.seed, _points(encoder.folder / "metrics.csv"))
        for place, row in enumerate(rows)
        for encoder in row.encoders
        if row.kind == "run"
    ]
    return [curve for curve in curves if curve.points]


def plot_curves(table: "Table", path_png: Path) -> bool:
    """Writes one panel: a line a row, the mean of its seeds, each seed behind it; False, no file, if there are none."""
    curves = curves_of(table.rows)
    if not curves:
        return False
    figure = _figure(curves, table)
    with atomic(path_png) as temporary:
        figure.savefig(temporary, format="png", dpi=160, facecolor="white")
    return True


def _figure(curves: Sequence[Curve], table: "Table") -> Figure:
    figure = Figure(figsize=(6.6, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    heading = "\n".join(textwrap.wrap(f"unfinished schedule · {table.title}", 62))
    figure.suptitle(heading, x=0.01, ha="left", fontsize=10, fontweight="bold", color=INK, parse_math=False)
    panel = figure.subplots()
    places = {row: place for place, row in enumerate(dict.fromkeys(curve.row for curve in curves))}
    for row, place in places.items():
        own = [curve for curve in curves if curve.row == row]
        colour, style = COLOURS[place % len(COLOURS)], STYLES[place // len(COLOURS) % len(STYLES)]
        for curve in own if len(own) > 1 else []:
            panel.plot(*_xy(curve.points), color=colour, linewidth=0.7, alpha=0.3)
        mean = _xy(mean_of(own))
        panel.plot(*mean, style, marker="o", color=colour, markersize=3, linewidth=1.4, label=own[0].title)
    ends = [curve.points[-1][0] for curve in curves]
    if max(ends) > _FAR * min(ends):
        panel.set_xscale("log")
    else:
        panel.set_xlim(left=0)
    panel.set_ylim(bottom=0)
    panel.set_xlabel("samples, repeats counted", fontsize=8, color=INK)
    panel.set_ylabel("kNN top-1 on training videos, %", fontsize=8, color=INK)
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    panel.tick_params(length=0, labelsize=8, colors=INK)
    panel.grid(color="#e6e6e6", linewidth=0.8)
    panel.set_axisbelow(True)
    for side in ("top", "right", "left", "bottom"):
        panel.spines[side].set_visible(False)
    legend = figure.legend(loc="outside right upper", fontsize=8, frameon=False, labelcolor=INK)
    for text in legend.get_texts():
        text.set_parse_math(False)
    letters = "".join(table.rows[row].letters for row in places)
    notes = [NOTE, *(f"{letter}  {text}" for letter, text in table.marks if letter in letters)]
    note = "\n".join(line for note in notes for line in textwrap.wrap(note, 105, subsequent_indent="    "))
    figure.supxlabel(note, x=0.01, ha="left", fontsize=7.5, color="#666666", parse_math=False)
    return figure


def mean_of(curves: Sequence[Curve]) -> tuple[tuple[int, float], ...]:
    """The mean over seeds, at the numbers of samples at which all of them were probed."""
    by_samples = [dict(curve.points) for curve in curves]
    shared = [samples for samples, _ in curves[0].points if all(samples in points for points in by_samples)]
    return tuple((samples, fmean(points[samples] for points in by_samples)) for samples in shared)


def _xy(points: Sequence[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [samples for samples, _ in points], [100 * share for _, share in points]


def _points(path: Path) -> tuple[tuple[int, float], ...]:
    try:
        found = pd.read_csv(path, usecols=["samples", COLUMN]).dropna()
    except (OSError, ValueError):  # not to be read, no such column
        return ()
    return tuple(zip(found["samples"].astype(int).tolist(), found[COLUMN].astype(float).tolist(), strict=True))
