"""The table as a picture: one panel an evaluation, one bar a row, `random` and chance as lines."""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from vssl.records.atomic import atomic
from vssl.report.gather import METRIC
from vssl.report.grid import BELOW
from vssl.report.notes import interval_legend
from vssl.report.rows import Cell, Column, Row

if TYPE_CHECKING:
    from vssl.report.table import Table

_PANELS_A_LINE = 4
_COLOURS = ("#3b6fb6", "#9db8db", "#4f9d69", "#a58bc0", "#b8b8b8")  # one a section of rows
_INK = "#333333"
_PANEL_IN = 2.5
_LETTER_PT = 0.6  # width of a letter as a share of its size, on the safe side
_HALO = [withStroke(linewidth=2, foreground="white")]


def plot_table(table: "Table", path_png: Path) -> None:
    """Writes a picture of the results; without any evaluation it says so and is written all the same."""
    figure = _figure(table)
    with atomic(path_png) as temporary:
        figure.savefig(temporary, format="png", dpi=160, facecolor="white")


def _figure(table: "Table") -> Figure:
    columns = max(1, min(_PANELS_A_LINE, len(table.columns)))
    lines = max(1, math.ceil(len(table.columns) / columns))
    height = 0.32 * max(3, len(table.rows)) + 0.75
    longest = max((len(_name(row)) for row in table.rows), default=0)
    width = 0.4 + longest * 8 * _LETTER_PT / 72 + _PANEL_IN * columns
    legend = _wrapped(_legend(table), width, 7.5)
    figure = Figure(figsize=(width, 0.8 + 0.12 * len(legend.splitlines()) + height * lines), layout="constrained")
    FigureCanvasAgg(figure)
    title = _wrapped([table.title], width, 12)  # bold letters are wider
    figure.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold", color=_INK, parse_math=False)
    if not table.columns:
        figure.text(0.5, 0.5, "no evaluation is finished", ha="center", color=_INK)
        return figure
    panels = figure.subplots(lines, columns, sharey=True, squeeze=False).flatten()
    for panel, column in zip(panels, table.columns, strict=False):
        _panel(panel, column, table.rows, len({one.data for one in table.columns}) > 1)
    for panel in panels[len(table.columns) :]:
        panel.set_axis_off()
    figure.supxlabel(legend, x=0.01, ha="left", fontsize=7.5, color="#666666", parse_math=False)
    return figure


def _panel(panel: Any, column: Column, rows: Sequence[Row], several: bool) -> None:
    places = range(len(rows))
    for place, row in zip(places, rows, strict=True):
        if cell := row.cells.get(column.key):
            _bar(panel, place, cell, row)
    _lines(panel, column, rows)
    head = f"{column.data} {column.label}" if several else column.label
    panel.set_title(_raised(f"{head} · {column.head}", column.marks), fontsize=9, color=_INK, loc="left")
    panel.set_yticks(list(places), [_name(row) for row in rows], fontsize=8, color=_INK)
    panel.set_ylim(len(rows) - 0.4, -0.6)
    top = 100 * max((_end(cell) for row in rows if (cell := row.cells.get(column.key))), default=0.0)
    panel.set_xlim(0, 1.22 * max(top, 100 * (column.chance or 0), 1))
    panel.set_xticks([tick for tick in panel.get_xticks() if tick <= min(100, panel.get_xlim()[1])])
    panel.set_xlabel("top-1, %" if column.metric == METRIC else "%", fontsize=8, color=_INK)
    panel.tick_params(length=0, labelsize=8, colors=_INK)
    panel.grid(axis="x", color="#e6e6e6", linewidth=0.8)
    panel.set_axisbelow(True)
    for side in ("top", "right", "left", "bottom"):
        panel.spines[side].set_visible(False)


def _bar(panel: Any, place: int, cell: Cell, row: Row) -> None:
    mean, (low, high) = cell.mean, cell.interval
    panel.barh(place, 100 * mean, height=0.62, color=_COLOURS[row.section], hatch="////" if row.marks else None,
               edgecolor="white", linewidth=0)  # fmt: skip
    panel.hlines(place, 100 * low, 100 * high, color=_INK, linewidth=1.1)
    if cell.n > 1:
        panel.plot([100 * value for value in cell.values], [place] * cell.n, "o", color=_INK, markersize=2.6)
    mark = BELOW if cell.not_above_random else ""
    weight = "bold" if cell.best else "normal"
    panel.annotate(f"{100 * mean:.1f}{mark}", (100 * _end(cell), place), (3, 0), textcoords="offset points",
                   va="center", fontsize=7.5, color=_INK, fontweight=weight, path_effects=_HALO)  # fmt: skip


def _end(cell: Cell) -> float:
    """Where the drawing of a cell ends on the right, a share."""
    return max(cell.interval[1], *cell.values)


def _lines(panel: Any, column: Column, rows: Sequence[Row]) -> None:
    for row in rows:
        if row.kind == "random" and (cell := row.cells.get(column.key)):
            low, high = cell.interval
            panel.axvspan(100 * low, 100 * high, color="#000000", alpha=0.06, linewidth=0)
            panel.axvline(100 * cell.mean, color=_INK, linewidth=0.9)
    if column.chance is not None:
        panel.axvline(100 * column.chance, color=_INK, linewidth=1.0, linestyle=":")


def _name(row: Row) -> str:
    return _raised(row.name, row.letters) + (f"  n={row.n}" if row.kind == "run" or row.n > 1 else "")


def _raised(text: str, marks: str) -> str:
    return text.replace("$", r"\$") + (f"$^{{{marks}}}$" if marks else "")


def _legend(table: "Table") -> list[str]:
    """What is drawn in this table, then a line a letter."""
    cells = [cell for row in table.rows for cell in row.cells.values()]
    parts = []
    if any(row.kind == "random" and row.cells for row in table.rows):
        parts.append("line and band: random encoder and its interval")
    if any(column.chance is not None for column in table.columns):
        parts.append("dotted: chance")
    if cells:
        parts.append(interval_legend(cells))
    if any(cell.not_above_random for cell in cells):
        parts.append(f"{BELOW} does not beat random")
    return ["  |  ".join(parts), *(f"{letter}  {text}" for letter, text in table.marks)]


def _wrapped(lines: Sequence[str], width_in: float, size_pt: float) -> str:
    letters = int(width_in * 72 / (size_pt * _LETTER_PT))
    return "\n".join(part for line in lines for part in textwrap.wrap(line, letters, subsequent_indent="    "))
