"""The table as text without markup: what every way of showing it has in common."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vssl.report.rows import Cell, Column, Row

BELOW = "°"
NOTHING = "–"


@dataclass(frozen=True)
class Entry:
    """One place of the table.

    Args:
        text: "41.2", "41.2 / 43.0", "41.8 ± 1.3", "1,459".
        low: lower bound in the same unit as `text`, as `high` is the upper; empty where none is shown.
        marks: letters of notes.
    """

    text: str = ""
    low: str = ""
    high: str = ""
    marks: str = ""
    best: bool = False
    not_above_random: bool = False


@dataclass(frozen=True)
class Slot:
    """One column as text.

    Args:
        over: first line of the header, shared by neighbours that belong together.
        entries: one a row.
        chance: the entry in the row of chance levels.
    """

    over: str
    head: str
    entries: tuple[Entry, ...]
    chance: Entry = Entry()
    marks: str = ""

    @property
    def title(self) -> str:
        return f"{self.over} {self.head}".strip()


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def result_slots(columns: Sequence[Column], rows: Sequence[Row]) -> list[Slot]:
    """One slot an evaluation; the data set is named where there are several."""
    several = len({column.data for column in columns}) > 1
    return [
        Slot(
            over=f"{column.data} {column.label}" if several else column.label,
            head=column.head,
            entries=tuple(_result(row.cells.get(column.key), row) for row in rows),
            chance=Entry(percent(column.chance)) if column.chance is not None else Entry(NOTHING),
            marks=column.marks,
        )
        for column in columns
    ]


def cost_slots(rows: Sequence[Row]) -> list[Slot]:
    """One slot a kind of cost; one that is nothing in all rows says nothing and is left out."""
    unit, divisor = flop_unit(max((row.cost.get("flops", 0.0) for row in rows), default=0.0))
    kinds: list[tuple[str, str, Callable[[float], str]]] = [
        ("steps", "steps", lambda steps: f"{steps:,.0f}"),
        ("samples", "samples", lambda samples: f"{samples:,.0f}"),
        ("seconds", "time", duration),
        ("flops", unit, lambda flops: _three_digits(flops / divisor)),
        ("data_wait_share", "wait", _percent_waited),
    ]
    return [
        Slot("", head, tuple(Entry(show(row.cost[key]) if key in row.cost else NOTHING) for row in rows))
        for key, head, show in kinds
        if any(row.cost.get(key) for row in rows)
    ]


def flop_unit(flops: float) -> tuple[str, float]:
    """Name and size of the largest unit that leaves one digit or more before the point."""
    for unit, size in (("EFLOP", 1e18), ("PFLOP", 1e15), ("TFLOP", 1e12)):
        if flops >= size:
            return unit, size
    return "GFLOP", 1e9


def duration(seconds: float) -> str:
    """`"1.7 s"`, `"4.1 min"`, `"26.5 h"`: the largest unit that leaves one digit or more before the point."""
    if 0 < seconds < 0.05:
        return "<0.1 s"
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if round(seconds, 1) >= size and round(seconds / size, 1) >= 1:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.1f} s"


def _result(cell: Cell | None, row: Row) -> Entry:
    if cell is None:
        return Entry(NOTHING)
    low, high = (percent(bound) for bound in cell.interval)
    return Entry(
        text=_value(cell) + (f" (n = {cell.n})" if cell.n != row.n else ""),
        low="" if cell.n == 2 else low,
        high="" if cell.n == 2 else high,
        marks=cell.marks,
        best=cell.best,
        not_above_random=cell.not_above_random,
    )


def _value(cell: Cell) -> str:
    if cell.n <= 2:
        return " / ".join(percent(value) for value in cell.values)
    return f"{percent(cell.mean)} ± {percent(cell.std or 0.0)}"


def _percent_waited(share: float) -> str:
    return "<1%" if 0 < share < 0.005 else f"{100 * share:.0f}%"


def _three_digits(value: float) -> str:
    """Three significant digits without an exponent: 0.0321, 2.51, 150, 1,234."""
    if value == 0 or value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 1 else f"{value:.3g}"
