"""A plain table of text with its notes, in every format: what stands below the comparison when it is asked for."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from vssl.records.atomic import writable, write_text
from vssl.report import render_latex, render_markdown

Value = str | int | float | None


@dataclass(frozen=True)
class Listing:
    """One table.

    Args:
        name: of its files, without ending.
        heads: of the columns as shown.
        text: which columns hold words, by place; the others are aligned as numbers.
        rows: cells as shown.
        records: the same with numbers unrounded and what is too long to be shown, for a script.
        lines: how it is to be read.
        troubles: what was left out, and why.
    """

    name: str
    title: str
    heads: tuple[str, ...]
    text: frozenset[int]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    records: list[Mapping[str, Value]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def write(self, folder: Path) -> list[Path]:
        """Writes its `.md`, `.csv` and `.tex` into `folder` and returns their paths.

        Raises:
            UserError: the folder cannot be written to.
        """
        writable(folder)
        texts = {"md": self.to_markdown(), "csv": self.to_csv(), "tex": self.to_latex()}
        for ending, text in texts.items():
            write_text(folder / f"{self.name}.{ending}", text)
        return [folder / f"{self.name}.{ending}" for ending in texts]

    def to_screen(self) -> RenderableType:
        """For `rich`'s Console; long words are wrapped, numbers never."""
        grid = Grid(box=box.HORIZONTALS, pad_edge=False, header_style="bold", padding=(0, 0, 0, 1))
        for place, head in enumerate(self.heads):
            words = place in self.text
            grid.add_column(Text(head), justify="left" if words else "right", no_wrap=not words, overflow="fold")
        for row in self.rows:
            grid.add_row(*map(Text, row))
        notes = [Text(line, style="dim") for line in self.lines] + [
            Text(f"! {line}", style="red") for line in self.troubles
        ]
        return Group(Text(self.title, style="bold"), *([grid] if self.rows else []), *notes)

    def to_markdown(self) -> str:
        """A GitHub table with its notes."""
        escaped, joined = render_markdown.escaped, render_markdown.joined
        lines = [f"**{escaped(self.title)}**", ""]
        if self.rows:
            lines.append(joined([escaped(head) for head in self.heads]))
            lines.append(joined([":--" if place in self.text else "--:" for place in range(len(self.heads))]))
            lines += [joined([escaped(cell) for cell in row]) for row in self.rows]
            lines.append("")
        lines += [f"- {escaped(line)}" for line in self.lines]
        lines += [f"- ⚠ {escaped(line)}" for line in self.troubles]
        return "\n".join(lines).rstrip() + "\n"

    def to_csv(self) -> str:
        """One line a record; the header alone where there is none."""
        heads = list(dict.fromkeys(key for record in self.records for key in record)) or list(self.heads)
        text = io.StringIO()
        writer = csv.DictWriter(text, heads, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.records)
        return text.getvalue()

    def to_latex(self) -> str:
        """A `table` environment for booktabs, with its notes below."""
        escaped, joined = render_latex.escaped, render_latex.joined
        kinds = "".join("l" if place in self.text else "r" for place in range(len(self.heads)))
        notes: Sequence[str] = [*self.lines, *self.troubles]
        lines = [
            r"% needs \usepackage{booktabs}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escaped(self.title)}}}",
            rf"\begin{{tabular}}{{{kinds}}}",
            r"\toprule",
            joined([escaped(head) for head in self.heads]),
            r"\midrule",
            *(joined([escaped(cell) for cell in row]) for row in self.rows),
            r"\bottomrule",
            r"\end{tabular}",
            r"\par\medskip",
            r"\begin{minipage}{\linewidth}\footnotesize",
            *(rf"{escaped(line)}\par" for line in notes),
            r"\end{minipage}",
            r"\end{table}",
        ]
        return "\n".join(lines) + "\n"
