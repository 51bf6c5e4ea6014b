"""The table for a terminal: intervals below their values, in several parts where the terminal is narrow."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table as Grid
from rich.text import Text

from vssl.report.grid import BELOW, Entry, Slot

if TYPE_CHECKING:
    from vssl.report.table import Table

_RAISED = str.maketrans("abcdefghijklmnoprstuvwxyz", "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ")


class Screen:
    """A renderable for rich's Console."""

    def __init__(self, table: "Table", notes: Sequence[str] = ()) -> None:
        self.table, self.notes = table, notes

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(self.table.title, style="bold")
        if self.table.rows:
            for place, part in enumerate(self._parts(console, options)):
                if place:
                    yield Text()
                yield self._grid(part)
        for letter, text in self.table.marks:
            yield Text(f"{raised(letter)} {text}")
        yield from (Text(line, style="dim") for line in self.table.lines)
        yield from (Text(f"! {line}", style="red") for line in self.table.troubles)
        yield from (Text(line, style="bold") for line in self.notes)

    def _parts(self, console: Console, options: ConsoleOptions) -> Iterator[list[Slot]]:
        """All columns in one part if they fit, else results and cost apart, each in as many parts as it takes."""
        results, costs = self.table.results, self.table.costs
        if not (results or costs) or self._fits([*results, *costs], console, options):
            yield [*results, *costs]
            return
        for slots in (results, costs):
            part: list[Slot] = []
            for slot in slots:
                if part and not self._fits([*part, slot], console, options):
                    yield part
                    part = []
                part.append(slot)
            if part:
                yield part

    def _fits(self, slots: Sequence[Slot], console: Console, options: ConsoleOptions) -> bool:
        unbounded = options.update(max_width=10_000)
        return Measurement.get(console, unbounded, self._grid(slots)).maximum <= options.max_width

    def _grid(self, slots: Sequence[Slot]) -> Grid:
        grid = Grid(box=box.HORIZONTALS, show_edge=True, pad_edge=False, header_style="", padding=(0, 0, 0, 1))
        grid.add_column("", vertical="top", no_wrap=True)
        grid.add_column(Text("n", style="dim"), justify="right", vertical="top")
        previous, widths = "", list[int]()
        for slot in slots:
            over = slot.over if slot.over != previous else ""
            previous = slot.over
            head = slot.head + raised(slot.marks)
            heads = [over, head] if any(one.over for one in slots) else [head]
            widths.append(_width(slot, heads))
            grid.add_column(
                Text("\n".join(_right(head, widths[-1]) for head in heads), "bold"), vertical="top", no_wrap=True
            )
        for place, row in enumerate(self.table.rows):
            name = Text(row.name + raised(row.letters), style="" if row.section < 3 else "dim")
            entries = [_cell(slot.entries[place], slot, width) for slot, width in zip(slots, widths, strict=True)]
            grid.add_row(name, Text(str(row.n), style="dim"), *entries, end_section=self._ends_section(place))
        if any(slot.chance.text for slot in slots):
            chances = [_cell(slot.chance, slot, width, "dim") for slot, width in zip(slots, widths, strict=True)]
            grid.add_row(Text("chance", style="dim"), Text(""), *chances)
        return grid

    def _ends_section(self, place: int) -> bool:
        rows = self.table.rows
        return place + 1 == len(rows) or rows[place].section != rows[place + 1].section


def raised(letters: str) -> str:
    return letters.translate(_RAISED)


def _cell(entry: Entry, slot: Slot, width: int, style: str = "") -> Text:
    """Value with its marks, and its interval below; marks have a place of their own, so that digits stay in line.

    Aligned here and not by rich, which takes the blanks of absent marks away.
    """
    marks = _marks(entry).ljust(_marks_width(slot))
    text = Text(" " * (width - cell_len(entry.text + marks)))
    text.append(entry.text, style or ("bold" if entry.best else "yellow" if entry.not_above_random else ""))
    text.append(marks, style="yellow" if entry.not_above_random else "")
    if entry.low:
        text.append("\n" + _right(_interval(entry), width), style="dim")
    return text


def _width(slot: Slot, heads: Sequence[str]) -> int:
    """Of a column, in places on the screen."""
    entries = [*slot.entries, slot.chance]
    values = [cell_len(entry.text) + _marks_width(slot) for entry in entries if entry.text]
    return max([*values, *(len(_interval(entry)) for entry in entries if entry.low), *map(cell_len, heads)])


def _right(text: str, width: int) -> str:
    return " " * (width - cell_len(text)) + text


def _interval(entry: Entry) -> str:
    return f"{entry.low}–{entry.high}"


def _marks_width(slot: Slot) -> int:
    return max((len(_marks(entry)) for entry in slot.entries), default=0)


def _marks(entry: Entry) -> str:
    return (BELOW if entry.not_above_random else "") + raised(entry.marks)
