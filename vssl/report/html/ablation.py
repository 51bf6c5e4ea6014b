"""What one setting does: a curve along every setting that varies within a method, a heat map where two do."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from vssl.report.differences import differing, flat, shown
from vssl.report.grid import percent
from vssl.report.html.markup import Markup, joined, tag
from vssl.report.html.plot import Plot, panels
from vssl.report.html.scales import Axis, categories, linear, settings
from vssl.report.html.section import Section
from vssl.report.html.series import Series, legend
from vssl.report.names import comparable_settings, plain_name
from vssl.report.rows import Cell, Column, Row

if TYPE_CHECKING:
    from vssl.report.table import Table

_MOST_LINES, _MOST_MAPS = 12, 6
_APART = 4.0  # px from line to line
_READING = (
    "A line joins rows that differ in this setting alone (and in what changes with it). A setting that was chosen by "
    "these numbers is to be reported by others.",
)


@dataclass(frozen=True)
class Trained:
    """A row and its values of the settings that vary within its method.

    Args:
        method: name of the rows that it may be joined with.
        values: {key: value}.
    """

    row: Row
    method: str
    values: dict[str, object]

    def others(self, *keys: str) -> str:
        """Method and all settings but `keys`, in words."""
        told = [f"{_short(key)}={shown(value)}" for key, value in self.values.items() if key not in keys]
        return ", ".join([self.method, *told])

    def order(self, *keys: str) -> list[tuple[bool, float, str]]:
        """The same to sort by: numbers by size, then words."""
        others = [value for key, value in self.values.items() if key not in keys]
        told = [(not _is_number(one), float(str(one)) if _is_number(one) else 0.0, shown(one)) for one in others]
        return [(True, 0.0, self.method), *told]


def ablation(table: "Table") -> Section:
    trained = trained_of(table.rows)
    columns = [column for column in table.columns if column.is_ranked]
    parts = [part for key in axes_of(trained) if (part := _curves(trained, key, columns))]
    parts += _heat_maps(trained, columns)
    why = "no two rows of one method differ in a setting (vssl sweep method=videomae optim.base_lr=3e-4,1e-3)"
    return Section("ablation", "One setting at a time", joined(*parts), why, _READING)


def trained_of(rows: Sequence[Row]) -> list[Trained]:
    """Rows with a configuration, whose method has another one."""
    found = []
    whole = [row for row in rows if row.kind == "run" and row.first.config and not row.first.unfinished]
    names = dict.fromkeys(plain_name(row) for row in whole)
    for name in names:
        alike = [row for row in whole if plain_name(row) == name]
        leaves = [flat(comparable_settings(row.first)) for row in alike]
        keys = _distinct(leaves, differing([comparable_settings(row.first) for row in alike]))
        for row, leaf in zip(alike, leaves, strict=True):
            found.append(Trained(row, name, {key: leaf.get(key) for key in keys}))
    return [one for one in found if one.values]


def axes_of(trained: Sequence[Trained]) -> list[str]:
    """Keys that vary within some method, each once."""
    return list(dict.fromkeys(key for one in trained for key in one.values))


def _distinct(leaves: Sequence[dict[str, object]], keys: Sequence[str]) -> list[str]:
    """One of all keys that always change together, a numeric one if there is one."""
    found: dict[tuple[int, ...], str] = {}
    for key in sorted(keys, key=lambda key: not all(_is_number(leaf.get(key)) for leaf in leaves)):
        values = [repr(leaf.get(key)) for leaf in leaves]
        found.setdefault(tuple(values.index(value) for value in values), key)
    return sorted(found.values())


def _curves(trained: Sequence[Trained], key: str, columns: Sequence[Column]) -> Markup:
    lines = _lines(trained, key)
    if not lines:
        return Markup()
    values = _ordered([one.values[key] for line in lines.values() for one in line])
    title = tag("h3", _short(key))
    plots = [plot for column in columns if (plot := _curve(lines, key, values, column))]
    left = [tag("p", f"{_MOST_LINES} lines at most are drawn.", class_="note")] if len(lines) == _MOST_LINES else []
    named = legend(Series(place, name) for place, name in enumerate(lines))
    return joined(title, named, panels(plots), *left) if plots else Markup()


def _lines(trained: Sequence[Trained], key: str) -> dict[str, list[Trained]]:
    """{what is equal along a line: its rows}, where there are two or more."""
    groups: dict[str, list[Trained]] = {}
    for one in trained:
        if key in one.values:
            groups.setdefault(one.others(key), []).append(one)
    whole = {name: line for name, line in groups.items() if len({repr(one.values[key]) for one in line}) > 1}
    ordered = sorted(whole.items(), key=lambda item: item[1][0].order(key))
    return dict(ordered[:_MOST_LINES])


def _curve(lines: dict[str, list[Trained]], key: str, values: list[object], column: Column) -> Plot | None:
    found = {name: _points(line, key, values, column) for name, line in lines.items()}
    cells = [cell for points in found.values() for _, _, cell in points]
    if max(map(len, found.values())) < 2:
        return None
    chance = [100 * column.chance] if column.chance is not None else []
    y = linear("%", [*(100 * bound for cell in cells for bound in cell.interval), *chance])
    plot = Plot(f"{column.label} · {column.head}", _axis(_short(key), values), y)
    for level in chance:
        plot.level(level, "chance")
    for place, (name, points) in enumerate(found.items()):
        series, shift = Series(place, name), _APART * (place - (len(found) - 1) / 2)
        if points and _numeric(values):
            plot.line([(x, 100 * cell.mean) for x, _, cell in points], series, shift=shift)
        for x, row, cell in points:
            _marked(plot, (x, row, cell), series, shift)
    return plot


def _marked(plot: Plot, point: tuple[float, Row, Cell], series: Series, shift: float) -> None:
    x, row, cell = point
    low, high = cell.interval
    plot.bar((x, 100 * low), (x, 100 * high), f"interval {series.colour}", shift=shift)
    told = f"{row.title}: {percent(cell.mean)} % ({percent(low)}–{percent(high)}), n = {cell.n}"
    plot.marker((x, 100 * cell.mean), series, told, shift)


def _points(line: Sequence[Trained], key: str, values: list[object], column: Column) -> list[tuple[float, Row, Cell]]:
    found = [
        (_place(one.values[key], values), one.row, cell)
        for one in line
        if (cell := one.row.cells.get(column.key)) is not None
    ]
    return sorted(found, key=lambda point: point[0])


def _heat_maps(trained: Sequence[Trained], columns: Sequence[Column]) -> Iterator[Markup]:
    """For each method of which two settings vary: those two with most values, a map for each rest of settings."""
    for method, group in groupby(trained, key=lambda one: one.method):
        own = list(group)
        if len(own[0].values) < 2:
            continue
        across, up = sorted(own[0].values, key=lambda key: -len(_ordered([one.values[key] for one in own])))[:2]
        rests: dict[str, list[Trained]] = {}
        for one in own:
            rests.setdefault(one.others(across, up), []).append(one)
        maps = [
            plot
            for name, rest in list(rests.items())[:_MOST_MAPS]
            for column in columns
            if (plot := _heat_map(name, rest, (across, up), column))
        ]
        if maps:
            yield joined(tag("h3", f"{method}: {_short(across)} and {_short(up)}"), panels(maps))


def _heat_map(name: str, rows: Sequence[Trained], keys: tuple[str, str], column: Column) -> Plot | None:
    across, up = (_ordered([one.values[key] for one in rows]) for key in keys)
    cells = [(one, cell) for one in rows if (cell := one.row.cells.get(column.key)) is not None]
    if len(across) < 2 or len(up) < 2 or len(cells) < 3:
        return None
    means = [cell.mean for _, cell in cells]
    low, span = min(means), max(means) - min(means)
    x, y = (
        categories(_short(key), [shown(value) for value in found])
        for key, found in zip(keys, (across, up), strict=True)
    )
    head = f"{column.label} · {column.head}, %"
    plot = Plot(head, x, y, (64.0 * len(across), 34.0 * len(up)), grid="")
    for one, cell in cells:
        place = across.index(one.values[keys[0]]), up.index(one.values[keys[1]])
        interval = "–".join(percent(bound) for bound in cell.interval)
        told = f"{name}; {one.row.title}: {percent(cell.mean)} % ({interval}), n = {cell.n}"
        plot.cell(*place, (cell.mean - low) / span if span else 0.5, percent(cell.mean), told)
    return plot


def _axis(title: str, values: list[object]) -> Axis:
    if _numeric(values):
        return settings(title, [float(value) for value in values if isinstance(value, int | float)])
    return categories(title, [shown(value) for value in values])


def _place(value: object, values: list[object]) -> float:
    return float(value) if _numeric(values) and isinstance(value, int | float) else float(values.index(value))


def _ordered(values: Sequence[object]) -> list[object]:
    """Each once; numbers by size, others as they come."""
    found: list[object] = []
    for value in values:
        if value not in found:
            found.append(value)
    return sorted(found, key=lambda value: float(str(value))) if _numeric(found) else found


def _numeric(values: Sequence[object]) -> bool:
    return all(map(_is_number, values))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(key: str) -> str:
    return key.removeprefix("method.")
