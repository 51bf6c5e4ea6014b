"""The table for a paper: booktabs, intervals small behind their values."""

import itertools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vssl.report.grid import BELOW, NOTHING, Entry, Slot
from vssl.report.render_markdown import CODE

if TYPE_CHECKING:
    from vssl.report.table import Table

_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "±": r"$\pm$", "≥": r"$\geq$", "·": r"$\cdot$", "×": r"$\times$", "–": "--", "…": r"\dots{}", "°": r"$^{\circ}$",
    "−": "$-$", "[": "{[}", "]": "{]}", "`": r"\textasciigrave{}",
}  # fmt: skip


def latex(table: "Table", notes: Sequence[str] = ()) -> str:
    """A `table` environment; a bracket that opens a cell is in braces, since `\\\\` would take it as its argument."""
    results, costs = table.results, table.costs
    slots = [*results, *costs]
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escaped(table.title)}}}",
        rf"\begin{{tabular}}{{lr{'r' * len(slots)}}}",
        r"\toprule",
        *_header(slots),
        r"\midrule",
    ]
    for place, row in enumerate(table.rows):
        if place and row.section != table.rows[place - 1].section:
            lines.append(r"\midrule")
        entries = [_entry(slot.entries[place]) for slot in slots]
        lines.append(joined([escaped(row.name) + _raised(row.letters), str(row.n), *entries]))
    if any(slot.chance.text for slot in slots):
        lines += [r"\midrule", joined([r"\textit{chance}", "", *(escaped(slot.chance.text) for slot in slots)])]
    lines += [r"\bottomrule", r"\end{tabular}", r"\par\medskip", r"\begin{minipage}{\linewidth}\footnotesize"]
    lines += [rf"{_raised(letter)} {escaped(text)}\par" for letter, text in table.marks]
    lines += [rf"{escaped(line)}\par" for line in [*table.lines, *table.troubles, *notes]]
    lines += [r"\end{minipage}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _header(slots: Sequence[Slot]) -> list[str]:
    """Labels over their protocols, with rules that say which belong together."""
    heads = joined(["", "$n$", *(escaped(slot.head) + _raised(slot.marks) for slot in slots)])
    if not any(slot.over for slot in slots):
        return [heads]
    cells, rules, place = ["", ""], [], 3
    for over, group in itertools.groupby(slots, key=lambda slot: slot.over):
        width = len(list(group))
        if over:
            cells.append(rf"\multicolumn{{{width}}}{{c}}{{{escaped(over)}}}")
            rules.append(rf"\cmidrule(lr){{{place}-{place + width - 1}}}")
        else:
            cells += [""] * width
        place += width
    return [joined(cells), " ".join(rules), heads]


def joined(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _entry(entry: Entry) -> str:
    text = escaped(entry.text)
    text = rf"\textbf{{{text}}}" if entry.best else "--" if entry.text == NOTHING else text
    text += (escaped(BELOW) if entry.not_above_random else "") + _raised(entry.marks)
    return rf"{text} {{\scriptsize [{entry.low}, {entry.high}]}}" if entry.low else text


def _raised(letters: str) -> str:
    return rf"\textsuperscript{{{letters}}}" if letters else ""


def escaped(text: str) -> str:
    """Plain text; a name or a command in backquotes is set as code."""
    parts = re.split(CODE, text.replace("\n", " "))
    return "".join(rf"\texttt{{{_safe(part[1:-1])}}}" if place % 2 else _safe(part) for place, part in enumerate(parts))


def _safe(text: str) -> str:
    return "".join(_SPECIAL.get(letter, letter) for letter in text)
