"""One part of the page, and how what was not measured is told."""

from collections.abc import Sequence
from dataclasses import dataclass

from vssl.report.html.markup import Content, Markup, joined, tag


@dataclass(frozen=True)
class Section:
    """A heading with what stands below it.

    Args:
        key: its place in the address, `#key`.
        body: empty where nothing was measured; `absent` says why, and what would measure it.
        lines: how it is to be read.
    """

    key: str
    title: str
    body: Markup = Markup()
    absent: str = ""
    lines: Sequence[str] = ()

    def markup(self) -> Markup:
        notes = [tag("p", line, class_="note") for line in self.lines] if self.body else []
        absent = [] if self.body else [tag("p", f"not measured: {self.absent}", class_="absent")]
        return tag("section", tag("h2", self.title), self.body, *notes, *absent, id=self.key)


def grid(heads: Sequence[Content], rows: Sequence[Sequence[Content]], words: Sequence[int] = ()) -> Markup:
    """A plain table. `words`: places of the columns that hold no numbers."""

    def cells(name: str, contents: Sequence[Content]) -> Markup:
        kinds = [None if place in words else "number" for place in range(len(contents))]
        return tag("tr", *(tag(name, one, class_=kind) for one, kind in zip(contents, kinds, strict=True)))

    head = tag("thead", cells("th", heads))
    body = tag("tbody", *(cells("td", row) for row in rows))
    return tag("div", tag("table", head, body), class_="scroll", tabindex=0)


def folded(title: Content, *content: Content, opened: bool = False) -> Markup:
    return tag("details", tag("summary", title), *content, open=opened)


def raised(letters: str) -> Markup:
    return tag("sup", letters) if letters else joined()
