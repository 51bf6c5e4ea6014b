"""Accuracy against cost: who gets more for the same, and the front of those whom nobody beats at less."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vssl.report import compare
from vssl.report.compare import amount
from vssl.report.grid import duration, percent
from vssl.report.html.markup import Markup, joined
from vssl.report.html.plot import Plot, Point, panels
from vssl.report.html.scales import linear, logarithmic
from vssl.report.html.section import Section, folded
from vssl.report.html.series import Series, legend
from vssl.report.rows import Column, Row

if TYPE_CHECKING:
    from vssl.report.table import Table

_COSTS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("flops", "FLOPs of training", lambda value: amount("flops", float(f"{value:.3g}"))),
    ("seconds", "time of training", duration),
    ("samples", "samples of training, repeats counted", lambda value: f"{value:,.0f}"),
)
_NEAR, _APART = 2.0, 5.0  # px
_MINUTE, _HOUR = 60.0, 3600.0
_TIMES = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, *(_MINUTE * one for one in (1, 2, 5, 10, 20, 30)))
_TIMES = (*_TIMES, *(_HOUR * one for one in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)))
_READING = (
    "Front: no row to its left, or at its place, is higher. On it stand rows trained without labels that differ from "
    "the first in nothing but method and budget; all others are shown beside it.",
    "A cost in which no two rows differ is not drawn. Vertical bars: the intervals of the table. Cost: of training "
    "alone, mean over seeds; evaluation is not in it.",
)


def cost(table: "Table", series: Sequence[Series]) -> Section:
    columns = [column for column in table.columns if column.is_ranked]
    parts, shown = list[Markup](), list[Series]()
    for key, title, told in _varied(table.rows):
        plots = [plot for column in columns if (plot := _plot(table, column, series, key, title, told))]
        if plots:
            parts.append(folded(f"against {title}", panels(plots), opened=not parts))
    if parts:
        shown = [one for one, row in zip(series, table.rows, strict=True) if row.cost and row.cells]
    why = "no row here has both a trained encoder's cost and a finished evaluation (vssl evaluate RUN eval=knn,linear)"
    body = joined(legend(shown), *parts) if parts else Markup()
    return Section("cost", "Accuracy against cost", body, why, _READING)


def _varied(rows: Sequence[Row]) -> list[tuple[str, str, Callable[[float], str]]]:
    """The costs in which rows differ; the first one that is known where they differ in none."""
    values = {key: {row.cost[key] for row in rows if row.cost.get(key) and row.cells} for key, _, _ in _COSTS}
    known = [cost_ for cost_ in _COSTS if values[cost_[0]]]
    return [cost_ for cost_ in known if len(values[cost_[0]]) > 1] or known[:1]


def front(points: Sequence[Point]) -> list[Point]:
    """Those of (cost, value) that no other one beats or equals at the same cost or less, the cheapest first."""
    found: list[Point] = []
    for cost_, value in sorted(points, key=lambda point: (point[0], -point[1])):
        if not found or value > found[-1][1]:
            found.append((cost_, value))
    return found


def _plot(
    table: "Table", column: Column, series: Sequence[Series], key: str, title: str, told: Callable[[float], str]
) -> Plot | None:
    rows = [
        (row, one, row.cost[key], row.cells[column.key])
        for row, one in zip(table.rows, series, strict=True)
        if row.cost.get(key) and column.key in row.cells
    ]
    if not rows:
        return None
    bounds = [100 * bound for _, _, _, cell in rows for bound in cell.interval]
    chance = [100 * column.chance] if column.chance is not None else []
    head = f"{column.label} · {column.head}" + (f" [{column.marks}]" if column.marks else "")
    plot = Plot(
        head,
        logarithmic(title, [spent for _, _, spent, _ in rows], told, _TIMES if key == "seconds" else ()),
        linear("%", [*bounds, *chance]),
    )
    for value in chance:
        plot.level(value, "chance")
    equal = {id(row) for row in _alike(table.rows)}
    best = front([(spent, 100 * cell.mean) for row, _, spent, cell in rows if id(row) in equal])
    if best:
        plot.stairs(best, "front")
    places = [plot.at(spent, 0)[0] for _, _, spent, _ in rows]
    for place, (row, one, spent, cell) in enumerate(rows):
        shift = _aside(places, place)
        low, high = cell.interval
        plot.bar((spent, 100 * low), (spent, 100 * high), f"interval {one.colour}", shift=shift)
        text = f"{row.title}: {percent(cell.mean)} % ({percent(low)}–{percent(high)}), {told(spent)}"
        plot.marker((spent, 100 * cell.mean), one, text, shift)
    return plot


def _aside(places: Sequence[float], place: int) -> float:
    """px that a point is moved by, where others lie at the same cost."""
    near = [one for one, x in enumerate(places) if abs(x - places[place]) < _NEAR]
    return _APART * (near.index(place) - (len(near) - 1) / 2)


def _alike(rows: Sequence[Row]) -> list[Row]:
    """Trained without labels under the conditions of the first row, the budget apart."""
    compared = compare.compared_by(rows)
    reference = compare.reference_of(rows, compared)
    if reference is None:
        return []
    wanted = compare.conditions(reference, compared) | {"budget": ""}
    trained = [row for row in rows if row.kind == "run" and row.first.label is None and not row.first.unfinished]
    return [row for row in trained if compare.conditions(row, compared) | {"budget": ""} == wanted]
