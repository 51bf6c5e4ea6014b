"""`budget=`: the runs that were trained to one kind of budget, a table for each of its values, and a picture of all."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vssl.config.budget_rule import LIMITS
from vssl.config.errors import UserError, nearest
from vssl.records.atomic import atomic
from vssl.report.compare import amount, planned
from vssl.report.curves import COLOURS, INK, STYLES
from vssl.report.gather import Gathered
from vssl.report.notes import interval_legend

if TYPE_CHECKING:
    from vssl.report.rows import Cell, Column
    from vssl.report.table import Table


@dataclass(frozen=True)
class Level:
    """A budget: `value` of `unit` (a key of `budget`)."""

    unit: str
    value: float

    @property
    def told(self) -> str:
        return amount(self.unit, self.value)

    @property
    def folder(self) -> str:
        return f"{self.unit}-{self.value:g}"

    def keep(self, found: Gathered) -> list[str]:
        """Leaves the runs that were trained to it, and what was not trained here; returns a line that says so."""
        trained = [one for one in found.encoders if one.kind == "run"]
        found.encoders = [one for one in found.encoders if one.kind != "run" or planned(one) == {self.unit: self.value}]
        left = sum(one.kind == "run" for one in found.encoders)
        return [f"Trained to {self.told}, each with a schedule that ends there: {left} of {len(trained)} runs."]


def levels(found: Gathered, unit: str) -> list[Level]:
    """The values of one kind of budget that runs were trained to, the smallest first.

    Raises:
        UserError: there is no such kind, or no run was trained to one; says which there are.
    """
    if unit not in LIMITS:
        raise UserError(f"budget={unit}: there is no such budget{nearest(unit, LIMITS)}", ", ".join(LIMITS))
    budgets = [planned(one) for one in found.encoders if one.kind == "run"]
    values = sorted({float(budget[unit]) for budget in budgets if unit in budget})
    if not values:
        known = ", ".join(sorted({key for budget in budgets for key in budget})) or "none"
        raise UserError(f"budget={unit}: no run here was trained to a number of {unit}", f"their budgets: {known}")
    return [Level(unit, value) for value in values]


def plot_levels(tables: Sequence[tuple[Level, "Table"]], path_png: Path) -> bool:
    """Writes a panel an evaluation, with a line a row through its budgets; False, no file, where none has two."""
    columns = list({column.key: column for _, table in tables for column in table.columns}.values())
    lines = {column.key: _lines(tables, column) for column in columns}
    if not any(len(points) > 1 for found in lines.values() for points in found.values()):
        return False
    figure = Figure(figsize=(max(5.2, 3.6 * len(columns)), 3.7), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle("finished schedules", x=0.01, ha="left", fontsize=10, fontweight="bold", color=INK)
    names = list(dict.fromkeys(name for found in lines.values() for name in found))
    panels = figure.subplots(1, len(columns), squeeze=False)[0]
    for panel, column in zip(panels, columns, strict=True):
        _panel(panel, column, lines[column.key], names, tables[0][0].unit)
    handles = {handle.get_label(): handle for panel in panels for handle in panel.get_lines()}
    labels = [name for name in names if name in handles]
    legend = figure.legend([handles[name] for name in labels], labels, loc="outside right upper", fontsize=8,
                           frameon=False, labelcolor=INK)  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)
    cells = [cell for _, table in tables for row in table.rows for cell in row.cells.values()]
    note = "\n".join(
        textwrap.wrap(
            f"Every point is a training whose schedule ended there. {interval_legend(cells).replace('bars', 'bands')}",
            100,
        )
    )
    figure.supxlabel(note, x=0.01, ha="left", fontsize=7.5, color="#666666", parse_math=False)
    with atomic(path_png) as temporary:
        figure.savefig(temporary, format="png", dpi=160, facecolor="white")
    return True


def _lines(tables: Sequence[tuple[Level, "Table"]], column: "Column") -> dict[str, list[tuple[float, "Cell"]]]:
    """{row: its (budget, number)}."""
    found: dict[str, list[tuple[float, Cell]]] = {}
    for level, table in tables:
        for row in table.rows:
            if row.kind == "run" and (cell := row.cells.get(column.key)):
                found.setdefault(row.name, []).append((level.value, cell))
    return found


def _panel(
    panel: Any, column: "Column", lines: dict[str, list[tuple[float, "Cell"]]], names: Sequence[str], unit: str
) -> None:
    for name, points in lines.items():
        place = names.index(name)
        colour, style = COLOURS[place % len(COLOURS)], STYLES[place // len(COLOURS) % len(STYLES)]
        x, y = [value for value, _ in points], [100 * cell.mean for _, cell in points]
        low, high = zip(*(cell.interval for _, cell in points), strict=True)
        panel.plot(x, y, style, marker="o", color=colour, markersize=3.5, linewidth=1.4, label=name)
        panel.fill_between(
            x, [100 * one for one in low], [100 * one for one in high], color=colour, alpha=0.12, linewidth=0
        )
    if column.chance is not None:
        panel.axhline(100 * column.chance, color=INK, linewidth=1.0, linestyle=":")
    values = sorted({value for points in lines.values() for value, _ in points})
    panel.set_xscale("log")
    panel.set_xticks(values, [amount(unit, value).rpartition(" ")[0] for value in values])
    panel.set_xticks([], minor=True)
    panel.set_ylim(bottom=0)
    panel.set_title(f"{column.label} · {column.head}", fontsize=9, color=INK, loc="left", parse_math=False)
    panel.set_xlabel(amount(unit, max(values)).rpartition(" ")[2], fontsize=8, color=INK)
    panel.set_ylabel("%", fontsize=8, color=INK)
    panel.tick_params(length=0, which="both", labelsize=8, colors=INK)
    panel.grid(color="#e6e6e6", linewidth=0.8)
    panel.set_axisbelow(True)
    for side in ("top", "right", "left", "bottom"):
        panel.spines[side].set_visible(False)
