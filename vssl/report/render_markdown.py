"""The table as GitHub markdown."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vssl.report.grid import BELOW, Entry

if TYPE_CHECKING:
    from vssl.report.table import Table


CODE = r"(`[\w.-]+`|`vssl [^`]*`)"
_MARKUP = re.compile(r"[\\`*_\[\]<>|~&#$]")


def markdown(table: "Table", notes: Sequence[str] = ()) -> str:
    """Title, table, and notes as a list; ends with a newline."""
    slots = [*table.results, *table.costs]
    lines = [f"**{escaped(table.title)}**", ""]
    if table.rows:
        heads = ["method", "n", *(escaped(slot.title) + _raised(slot.marks) for slot in slots)]
        lines += [joined(heads), joined([":--", *["--:"] * (len(heads) - 1)])]
        for place, row in enumerate(table.rows):
            entries = [_entry(slot.entries[place]) for slot in slots]
            lines.append(joined([escaped(row.name) + _raised(row.letters), str(row.n), *entries]))
        if any(slot.chance.text for slot in slots):
            lines.append(joined(["*chance*", "", *(slot.chance.text for slot in slots)]))
        lines.append("")
    lines += [f"- {_raised(letter)} {escaped(text)}" for letter, text in table.marks]
    lines += [f"- {escaped(line)}" for line in table.lines]
    lines += [f"- ⚠ {escaped(line)}" for line in table.troubles]
    lines += [f"- **{escaped(line)}**" for line in notes]
    return "\n".join(lines).rstrip() + "\n"


def joined(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _entry(entry: Entry) -> str:
    text = f"**{entry.text}**" if entry.best else entry.text
    text += (BELOW if entry.not_above_random else "") + _raised(entry.marks)
    return f"{text} [{entry.low}, {entry.high}]" if entry.low else text


def _raised(letters: str) -> str:
    return f"<sup>{letters}</sup>" if letters else ""


def escaped(text: str) -> str:
    """Names hold underscores, settings stars and brackets, errors anything: none of it is markup.

    But for a name or a command in backquotes, which is code; what is code needs no escapes, and would show them.
    """
    parts = re.split(CODE, text.replace("\n", " "))
    return "".join(part if place % 2 else _MARKUP.sub(r"\\\g<0>", part) for place, part in enumerate(parts))
