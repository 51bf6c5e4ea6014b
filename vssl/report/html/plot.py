"""One panel of a chart, as inline SVG."""

from collections.abc import Sequence

from vssl.report.html.markup import Markup, joined, number, tag
from vssl.report.html.scales import Axis
from vssl.report.html.series import Series

_LETTER = 6.0  # px, a wide letter of the labels
_TOP, _RIGHT, _BOTTOM, _LINE = 30.0, 16.0, 42.0, 15.0
_LONGEST = 26

Point = tuple[float, float]


class Plot:
    """Axes, and what is drawn between them in the order in which it is added.

    Args:
        inner: width and height between the axes in px.
        grid: lines at the ticks of "x", "y" or both.
        below: lines under the title.
    """

    def __init__(
        self, title: str, x: Axis, y: Axis, inner: Point = (336.0, 200.0), grid: str = "xy", below: Sequence[str] = ()
    ) -> None:
        self.title, self.x, self.y, self.grid, self.below = title, x, y, grid, below
        self.inner_width, self.inner_height = inner
        self.top = _TOP + _LINE * len(below)
        labels = max((len(label[:_LONGEST]) for _, label in y.ticks), default=0)
        self.left = 12 + _LETTER * labels + (18 if y.title else 0)
        # A label stands in the middle below its tick, and the last one may be at the end of the axis.
        self.right = max(_RIGHT, 4 + _LETTER / 2 * max((len(label[:_LONGEST]) for _, label in x.ticks), default=0))
        self.parts: list[Markup] = []
        self.names: list[Markup] = []  # above everything else

    def at(self, x: float, y: float) -> Point:
        """A point in px."""
        return self.left + self.inner_width * self.x.at(x), self.top + self.inner_height * (1 - self.y.at(y))

    def line(self, points: Sequence[Point], series: Series, faint: bool = False, shift: float = 0.0) -> None:
        path = "M" + "L".join(f"{number(x + shift)} {number(y)}" for x, y in (self.at(*point) for point in points))
        dash = series.dash
        self.parts.append(
            tag("path", d=path, class_=f"line {series.colour}{' faint' if faint else ''}", stroke_dasharray=dash)
        )

    def marker(self, point: Point, series: Series, title: str, shift: float = 0.0) -> None:
        x, y = self.at(*point)
        self.parts.append(series.marker(x + shift, y, title=title))

    def bar(self, start: Point, end: Point, kind: str, title: str = "", shift: float = 0.0) -> None:
        """A straight line.

        Args:
            kind: classes of the style sheet.
            shift: px to the right, so that what lies at one place can be told apart.
        """
        (x1, y1), (x2, y2) = ((x + shift, y) for x, y in (self.at(*start), self.at(*end)))
        told = [tag("title", title)] if title else []
        self.parts.append(tag("line", *told, x1=x1, y1=y1, x2=x2, y2=y2, class_=kind))

    def stairs(self, points: Sequence[Point], kind: str) -> None:
        """From each point on its height to the next, then up; the last one to the edge."""
        places = [self.at(*point) for point in points]
        steps = "".join(f"H{number(x)}V{number(y)}" for x, y in places[1:])
        start = f"M{number(places[0][0])} {number(places[0][1])}"
        self.parts.append(tag("path", d=f"{start}{steps}H{number(self.left + self.inner_width)}", class_=kind))

    def level(self, value: float, label: str) -> None:
        """A dotted line over the whole width."""
        (x1, y1), x2 = self.at(self.x.low, value), self.left + self.inner_width
        self.parts.append(tag("line", tag("title", label), x1=x1, y1=y1, x2=x2, y2=y1, class_="level"))
        self.names.append(tag("text", label, x=x2 - 3, y=y1 - 3, class_="level-name", text_anchor="end"))

    def cell(self, column: int, row: int, share: float, text: str, title: str) -> None:
        """One place of a heat map; `share` in [0, 1] is its strength."""
        (x1, y1), (x2, y2) = self.at(column - 0.5, row + 0.5), self.at(column + 0.5, row - 0.5)
        box = tag("rect", tag("title", title), x=x1 + 1, y=y1 + 1, width=x2 - x1 - 2, height=y2 - y1 - 2, rx=3,
                  class_="heat", style=f"fill-opacity:{number(0.06 + 0.94 * share)}")  # fmt: skip
        strong = " strong" if share > 0.45 else ""
        told = tag("text", text, x=(x1 + x2) / 2, y=(y1 + y2) / 2 + 4, text_anchor="middle", class_=f"value{strong}")
        self.parts += [box, told]

    def svg(self) -> Markup:
        right, bottom = self.left + self.inner_width, self.top + self.inner_height
        width, height = right + self.right, bottom + _BOTTOM
        return tag(
            "svg",
            tag("text", _cut(self.title, int(width / _LETTER)), x=4, y=15, class_="title"),
            *(tag("text", line, x=4, y=15 + _LINE * place, class_="tick") for place, line in enumerate(self.below, 1)),
            *self._ticks(right, bottom),
            *self.parts,
            *self.names,
            tag("text", self.x.title, x=(self.left + right) / 2, y=height - 6, text_anchor="middle", class_="axis"),
            self._up(bottom),
            role="img", aria_label=self.title, width=width, height=height,
            viewBox=f"0 0 {number(width)} {number(height)}",
        )  # fmt: skip

    def _up(self, bottom: float) -> Markup:
        if not self.y.title:
            return Markup()
        place = f"translate(12 {number((self.top + bottom) / 2)}) rotate(-90)"
        return tag("text", self.y.title, transform=place, text_anchor="middle", class_="axis")

    def _ticks(self, right: float, bottom: float) -> list[Markup]:
        parts = []
        for value, label in self.y.ticks:
            _, y = self.at(self.x.low, value)
            if "y" in self.grid:
                parts.append(tag("line", x1=self.left, y1=y, x2=right, y2=y, class_="grid"))
            parts.append(_label(label, self.left - 6, y + 4, "end"))
        letters = self.inner_width / max(1, len(self.x.ticks)) / _LETTER
        for value, label in self.x.ticks:
            x, _ = self.at(value, self.y.low)
            if "x" in self.grid:
                parts.append(tag("line", x1=x, y1=self.top, x2=x, y2=bottom, class_="grid"))
            parts.append(_label(label, x, bottom + 16, "middle", max(5, int(letters))))
        return parts


def panels(plots: Sequence[Plot]) -> Markup:
    return tag("div", joined(*(plot.svg() for plot in plots)), class_="panels")


def _label(text: str, x: float, y: float, anchor: str, longest: int = _LONGEST) -> Markup:
    short = _cut(text, longest)
    whole = [tag("title", text)] if short != text else []
    return tag("text", short, *whole, x=x, y=y, text_anchor=anchor, class_="tick")


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
