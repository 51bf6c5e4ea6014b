"""HTML and SVG elements as text: whatever is no `Markup` is escaped, so that no name can become a tag."""

from html import escape

_VOID = ("br", "meta", "wbr")


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Content = str | Markup
Attribute = str | int | float | bool | None


def tag(element: str, /, *children: Content, **attributes: Attribute) -> Markup:
    """One element: `tag("td", "a < b", class_="number", data_value=3)`.

    Args:
        attributes: `_` stands for `-`, one at the end for nothing; None and False leave one out, True needs no value.
    """
    given = "".join(_attribute(key, value) for key, value in attributes.items() if value is not None)
    return Markup(f"<{element}{given}>" if element in _VOID else f"<{element}{given}>{joined(*children)}</{element}>")


def joined(*children: Content) -> Markup:
    return Markup("".join(map(_text, children)))


def number(value: float) -> str:
    """A coordinate in pixels: two digits after the point are enough, and the same on every machine."""
    return f"{round(value, 2) + 0.0:g}"  # + 0.0 makes 0 of -0


def _text(content: Content) -> str:
    return content if isinstance(content, Markup) else escape(_visible(content))


def _attribute(key: str, value: Attribute) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is True or value is False:
        return f" {name}" if value else ""
    return f' {name}="{escape(_visible(number(value) if isinstance(value, float) else str(value)))}"'


def _visible(text: str) -> str:
    """Without control characters, which no HTML file may hold."""
    return "".join(one if one >= " " or one in "\n\t" else "\ufffd" for one in text)
