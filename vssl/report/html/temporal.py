"""How much a change of the clips costs: normal minus changed, video by video, for every evaluation that measured it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vssl.report.gather import GAP, Evaluated
from vssl.report.grid import percent
from vssl.report.html.markup import joined
from vssl.report.html.plot import Plot, panels
from vssl.report.html.scales import Axis, linear
from vssl.report.html.section import Section
from vssl.report.html.series import Series, legend
from vssl.report.rows import Cell

if TYPE_CHECKING:
    from vssl.report.table import Table

_MOST_ROWS = 8
_MOST_KINDS = 20
_BAR = 11.0  # px a row

Gaps = dict[str, dict[int, Cell]]
"""{change: {place of a row: its gap}}."""


def temporal(table: "Table", series: Sequence[Series]) -> Section:
    found = gaps_of(table)
    plots = [_plot(head, gaps, series) for head, gaps in found.items()]
    places = sorted({place for gaps in found.values() for cells in gaps.values() for place in cells})
    lines = [
        "Points of top-1 that are lost when the test clips are changed; near 0: encoder and probe did not use what was "
        "taken away. Whiskers: intervals of the differences, as those of the table."
    ]
    if len(places) > _MOST_ROWS:
        lines.append(f"The first {_MOST_ROWS} rows of the table; the others: metrics=gap_shuffled,...")
    body = joined(legend(series[place] for place in places[:_MOST_ROWS]), panels(plots)) if plots else joined()
    why = "no evaluation here changed its clips (vssl evaluate RUN eval=temporal)"
    return Section("temporal", "Changed clips", body, why, lines)


def gaps_of(table: "Table") -> dict[str, Gaps]:
    """By evaluation, in the words of the table's header."""
    found: dict[str, Gaps] = {}
    for column in table.columns:
        head = f"{column.label} · {column.protocol}" + (f" [{column.marks}]" if column.marks else "")
        for place, row in enumerate(table.rows):
            own = [one for encoder in row.encoders for one in encoder.evaluations if one.column == column.key]
            for name, cell in _cells(own).items():
                found.setdefault(head, {}).setdefault(name, {})[place] = cell
    return found


def _cells(evaluated: Sequence[Evaluated]) -> dict[str, Cell]:
    """Of one row: the gaps that the evaluations of all its seeds have."""
    results = [one.record["results"] for one in evaluated]
    names = [name for name in (results[0] if results else ()) if name.startswith(GAP)]
    whole = [name for name in names if all(_is_whole(result.get(name)) for result in results)]
    return {
        name.removeprefix(GAP): Cell(
            tuple(result[name]["value"] for result in results), tuple(result[name]["low"] for result in results),
            tuple(result[name]["high"] for result in results), bounded=False,
        )
        for name in whole
    }  # fmt: skip


def _is_whole(result: object) -> bool:
    return isinstance(result, dict) and all(
        isinstance(result.get(key), int | float) for key in ("value", "low", "high")
    )


def _plot(head: str, gaps: Gaps, series: Sequence[Series]) -> Plot:
    names = list(gaps)[:_MOST_KINDS][::-1]  # the first one on top
    places = sorted({place for name in names for place in gaps[name]})[:_MOST_ROWS]
    bounds = [
        100 * bound for name in names for place in places if place in gaps[name] for bound in _ends(gaps[name][place])
    ]
    ticks = tuple((float(at), name) for at, name in enumerate(names))
    up = Axis("", -0.5, len(names) - 0.5, ticks)
    plot = Plot(
        head, linear("points of top-1", bounds, zero=True), up, (336.0, len(names) * (_BAR * len(places) + 10)), "x"
    )
    plot.bar((0.0, up.low), (0.0, up.high), "zero")
    for at, name in enumerate(names):
        for order, place in enumerate(places):
            if (cell := gaps[name].get(place)) is None:
                continue
            y = at + 0.8 * ((len(places) - 1) / 2 - order) / len(places)
            low, high = (100 * bound for bound in cell.interval)
            told = f"{series[place].name}, {name}: {percent(cell.mean)} ({low:.1f} to {high:.1f}), n = {cell.n}"
            plot.bar((0.0, y), (100 * cell.mean, y), f"wide stroke {series[place].colour}", told)
            plot.bar((low, y), (high, y), "whisker", told)
            plot.marker((100 * cell.mean, y), series[place], told)
    return plot


def _ends(cell: Cell) -> tuple[float, ...]:
    return *cell.interval, cell.mean
