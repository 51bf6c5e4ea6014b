"""Further tables that were asked for: paired tests, ranks, published numbers."""

from typing import TYPE_CHECKING

from vssl.report.html.markup import joined, tag
from vssl.report.html.section import Section, folded, grid

if TYPE_CHECKING:
    from vssl.report.listing import Listing

_SHORT = 12  # rows; more of them are folded, so that the charts below stay in reach


def listed(listing: "Listing") -> Section:
    shown = grid(listing.heads, listing.rows, words=sorted(listing.text))
    count = len(listing.rows)
    table = [shown] if 0 < count <= _SHORT else [folded(f"{count} rows", shown)] if count else []
    lines = [tag("li", line) for line in listing.lines]
    lines += [tag("li", f"⚠ {line}", class_="trouble") for line in listing.troubles]
    title = listing.title[:1].upper() + listing.title[1:]
    return Section(listing.name, title, joined(*table, tag("ul", *lines, class_="notes")))
