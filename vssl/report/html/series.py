"""What a row looks like in every chart: a colour and a shape, either of which tells it from its neighbours."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vssl.report.html.markup import Markup, joined, number, tag
from vssl.report.rows import Row

COLOURS = 6  # style.css has as many, told apart with any colour vision
_SHAPES = (  # within -1 to 1; as many as share no divisor with COLOURS, so that pairs repeat late
    "M-.9 0a.9 .9 0 1 0 1.8 0a.9 .9 0 1 0 -1.8 0Z",
    "M-.8 -.8H.8V.8H-.8Z",
    "M0 -1L1 .8H-1Z",
    "M0 -1.1L1.1 0L0 1.1L-1.1 0Z",
    "M0 1L1 -.8H-1Z",
)
_DASHES = (None, "6 3", "2 3")


@dataclass(frozen=True)
class Series:
    """One line, or the points of one row; `place` 0 is the first, and -1 what was not trained here."""

    place: int
    name: str

    @property
    def colour(self) -> str:
        """Class of the style sheet."""
        return "bare" if self.place < 0 else f"c{self.place % COLOURS}"

    @property
    def dash(self) -> str | None:
        return _DASHES[self.place // COLOURS % len(_DASHES)]

    def marker(self, x: float, y: float, title: str = "", size: float = 4.5) -> Markup:
        """Its shape around a point, with what is shown where the pointer rests."""
        shape = _SHAPES[self.place % len(_SHAPES)]
        told = [tag("title", title)] if title else []
        return tag("path", *told, d=shape, class_=f"mark {self.colour}",
                   transform=f"translate({number(x)} {number(y)}) scale({size})")  # fmt: skip

    def swatch(self) -> Markup:
        return tag("svg", self.marker(7, 7), class_="swatch", width=14, height=14, viewBox="0 0 14 14",
                   aria_hidden="true")  # fmt: skip


def series_of(rows: Sequence[Row]) -> list[Series]:
    """One a row, in their order."""
    trained = [place for place, row in enumerate(rows) if row.kind in ("run", "file")]
    return [Series(trained.index(place) if place in trained else -1, row.title) for place, row in enumerate(rows)]


def legend(series: Iterable[Series]) -> Markup:
    items = [tag("li", one.swatch(), one.name) for one in dict.fromkeys(series)]
    return tag("ul", joined(*items), class_="legend") if items else Markup()
