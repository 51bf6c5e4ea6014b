"""The table itself, with the words of every other form of it; a click on a header sorts."""

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from vssl.report.grid import BELOW, Entry, Slot
from vssl.report.html.markup import Markup, joined, tag
from vssl.report.html.section import Section, raised
from vssl.report.html.series import Series
from vssl.report.rows import COST, Row

if TYPE_CHECKING:
    from vssl.report.table import Table

SINGLE = "single seed"


def comparison(table: "Table", series: Sequence[Series], notes: Sequence[str] = ()) -> Section:
    """`notes` come last, as in the other forms."""
    if not table.rows:
        return Section("comparison", "Comparison", joined(*_notes(table, notes)))
    slots = [*table.results, *table.costs]
    parts = [_head(slots)]
    for _, group in groupby(enumerate(table.rows), key=lambda placed: placed[1].section):
        parts.append(tag("tbody", *(_row(table, place, slots, series[place]) for place, _ in group)))
    if any(slot.chance.text for slot in slots):
        chances = [tag("td", slot.chance.text, class_="number") for slot in slots]
        parts.append(tag("tfoot", tag("tr", tag("th", "chance", scope="row"), tag("td"), *chances)))
    grid = tag("table", *parts, class_="sortable", id="table")
    body = joined(tag("div", grid, class_="scroll", tabindex=0), *_notes(table, notes))
    return Section("comparison", "Comparison", body)


def command_anchor(place: int) -> str:
    """Of the command of a row."""
    return f"command-{place + 1}"


def _head(slots: Sequence[Slot]) -> Markup:
    over = [
        tag("th", name, colspan=len(list(group)), scope="colgroup", class_="over")
        for name, group in groupby(slots, key=lambda slot: slot.over)
    ]
    heads = [_sorter("method", "text"), _sorter("n", "number")]
    heads += [_sorter(slot.head, "number", slot.marks) for slot in slots]
    return tag("thead", tag("tr", tag("td", colspan=2), *over), tag("tr", *heads))


def _sorter(name: str, kind: str, marks: str = "") -> Markup:
    button = tag("button", name, raised(marks), type="button")
    return tag("th", button, scope="col", class_=None if kind == "text" else "number", aria_sort="none", data_kind=kind)


def _row(table: "Table", place: int, slots: Sequence[Slot], series: Series) -> Markup:
    row = table.rows[place]
    values = [*_scores(table, row), *_costs(table.rows, row)]
    cells = [_cell(slot.entries[place], value) for slot, value in zip(slots, values, strict=True)]
    name = tag("a", row.name, href=f"#{command_anchor(place)}", title="its command")
    head = tag("th", series.swatch(), name, raised(row.letters), scope="row", data_value=row.name)
    single = [tag("span", SINGLE, class_="badge")] if row.n == 1 and row.kind == "run" else []
    count = tag("td", str(row.n), *single, class_="number", data_value=row.n)
    return tag("tr", head, count, *cells, class_=f"section-{row.section}")


def _scores(table: "Table", row: Row) -> list[float | None]:
    cells = [row.cells.get(column.key) for column in table.columns]
    return [cell.mean if cell else None for cell in cells]


def _costs(rows: Sequence[Row], row: Row) -> list[float | None]:
    """In the order and with the choice of `grid.cost_slots`."""
    return [row.cost.get(key) for key in COST if any(one.cost.get(key) for one in rows)]


def _cell(entry: Entry, value: float | None) -> Markup:
    below = [tag("span", BELOW, class_="below", title="does not beat random")] if entry.not_above_random else []
    text = tag("b", entry.text) if entry.best else tag("span", entry.text)
    interval = [tag("small", f"{entry.low}–{entry.high}")] if entry.low else []
    kinds = "number below" if entry.not_above_random else "number"
    known = None if value is None else repr(float(value))
    return tag("td", text, *below, raised(entry.marks), *interval, class_=kinds, data_value=known)


def _notes(table: "Table", notes: Sequence[str]) -> list[Markup]:
    marks = [tag("li", raised(letter), f" {text}") for letter, text in table.marks]
    lines = [tag("li", line) for line in table.lines]
    troubles = [tag("li", f"⚠ {line}", class_="trouble") for line in table.troubles]
    last = [tag("li", line, class_="strong") for line in notes]
    return [tag("ul", *marks, *lines, *troubles, *last, class_="notes")]
