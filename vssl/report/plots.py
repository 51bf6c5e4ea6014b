"""The table as a picture: one panel an evaluation, one bar a row, `random` and chance as lines."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vssl.records.atomic import atomic
from vssl.report.grid import BELOW
from vssl.report.notes import interval_legend
from vssl.report.rows import Cell, Column, Row

if TYPE_CHECKING:
    from vssl.report.table import Table

_PANELS_A_LINE = 4
_COLOURS = ("#3b6fb6", "#9db8db", "#4f9d69", "#a58bc0", "#b8b8b8")  # one a section of rows
_INK = "#333333"


def plot_table(table: "Table", path_png: Path) -> None:
    """Writes a picture of the results; without any evaluation it says so and is written all the same."""
    figure = _figure(table)
    with atomic(path_png) as temporary:
        figure.savefig(temporary, format="png", dpi=160, facecolor="white")


def _figure(table: "Table") -> Figure:
    columns = max(1, min(_PANELS_A_LINE, len(table.columns)))
    lines = max(1, math.ceil(len(table.columns) / columns))
    height = 0.32 * max(3, len(table.rows)) + 0.75
    figure = Figure(figsize=(1.9 + 2.5 * columns, 1.0 + height * lines), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(table.title, x=0.01, ha="left", fontsize=10, fontweight="bold", color=_INK)
    if not table.columns:
        figure.text(0.5, 0.5, "no evaluation is finished", ha="center", color=_INK)
        return figure
    panels = figure.subplots(lines, columns, sharey=True, squeeze=False).flatten()
    for panel, column in zip(panels, table.columns, strict=False):
        _panel(panel, column, table.rows, len({one.data for one in table.columns}) > 1)
    for panel in panels[len(table.columns) :]:
        panel.set_axis_off()
    figure.supxlabel(_legend(table), x=0.01, ha="left", fontsize=7.5, color="#666666")
    return figure


def _panel(panel: Any, column: Column, rows: Sequence[Row], several: bool) -> None:
    places = range(len(rows))
    for place, row in zip(places, rows, strict=True):
        if cell := row.cells.get(column.key):
            _bar(panel, place, cell, row)
    _lines(panel, column, rows)
    head = f"{column.data} {column.label}" if several else column.label
    marks = f"$^{{{column.marks}}}$" if column.marks else ""
    panel.set_title(f"{head} · {column.protocol}{marks}", fontsize=9, color=_INK, loc="left")
    panel.set_yticks(list(places), [_name(row) for row in rows], fontsize=8, color=_INK)
    panel.set_ylim(len(rows) - 0.4, -0.6)
    top = max((100 * bound for row in rows if (cell := row.cells.get(column.key)) for bound in cell.highs), default=0)
    panel.set_xlim(0, min(104, 1.22 * max(top, 100 * (column.chance or 0), 1)))
    panel.set_xlabel("top-1, %", fontsize=8, color=_INK)
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
    end = 100 * max(high, *cell.values) if cell.n > 1 else 100 * high
    weight = "bold" if cell.best else "normal"
    panel.annotate(f"{100 * mean:.1f}{mark}", (end, place), (3, 0), textcoords="offset points", va="center",
                   fontsize=7.5, color=_INK, fontweight=weight)  # fmt: skip


def _lines(panel: Any, column: Column, rows: Sequence[Row]) -> None:
    for row in rows:
        if row.kind == "random" and (cell := row.cells.get(column.key)):
            low, high = cell.interval
            panel.axvspan(100 * low, 100 * high, color="#000000", alpha=0.06, linewidth=0)
            panel.axvline(100 * cell.mean, color=_INK, linewidth=0.9)
    if column.chance is not None:
        panel.axvline(100 * column.chance, color=_INK, linewidth=1.0, linestyle=":")


def _name(row: Row) -> str:
    marks = f"$^{{{row.marks}}}$" if row.marks else ""
    seeds = f"  n={row.n}" if row.kind == "run" else ""
    return row.name.replace("$", r"\$") + marks + seeds


def _legend(table: "Table") -> str:
    cells = [cell for row in table.rows for cell in row.cells.values()]
    parts = ["line and band: random encoder and its interval", "dotted: chance", interval_legend(cells)]
    if any(cell.not_above_random for cell in cells):
        parts.append(f"{BELOW} does not beat random")
    marks = [f"{letter}  {text}" for letter, text in table.marks]
    return "\n".join(["  |  ".join(parts), *marks])
