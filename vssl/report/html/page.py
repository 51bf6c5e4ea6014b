"""The page: sections in the order in which a reader asks, one style sheet and one script inside."""

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from vssl.records.atomic import writable, write_text
from vssl.report.html.ablation import ablation
from vssl.report.html.about import environment, protocol
from vssl.report.html.classes import classes
from vssl.report.html.commands import commands
from vssl.report.html.comparison import comparison
from vssl.report.html.cost import cost
from vssl.report.html.failures import failures
from vssl.report.html.learning import learning
from vssl.report.html.listings import listed
from vssl.report.html.markup import Markup, tag
from vssl.report.html.section import Section
from vssl.report.html.series import series_of
from vssl.report.html.temporal import temporal

if TYPE_CHECKING:
    from vssl.report.listing import Listing
    from vssl.report.table import Table

FILE = "table.html"


def write_page(table: "Table", runs: Path, folder: Path, listings: Sequence["Listing"] = ()) -> Path:
    """Writes `table.html` into `folder` and returns its path.

    Args:
        runs: folder that the table was made from.
        listings: further tables, shown below the first one.
    Raises:
        UserError: the folder cannot be written to.
    """
    writable(folder)
    write_text(folder / FILE, page(table, runs, listings))
    return folder / FILE


def page(table: "Table", runs: Path, listings: Sequence["Listing"] = ()) -> str:
    """The whole file; equal records give equal bytes."""
    sections = _sections(table, runs, listings)
    style, script = (
        Markup(files(__package__).joinpath(name).read_text("utf-8")) for name in ("style.css", "script.js")
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(script)),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("title", table.title),
        tag("style", style),
    )
    links = [tag("a", section.title, href=f"#{section.key}") for section in sections]
    body = tag(
        "body",
        tag("header", tag("h1", table.title), tag("nav", *links, aria_label="sections")),
        tag("main", *(section.markup() for section in sections)),
        tag("script", script),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _sections(table: "Table", runs: Path, listings: Sequence["Listing"]) -> list[Section]:
    series = series_of(table.rows)
    return [
        comparison(table, series),
        *(listed(listing) for listing in listings),
        cost(table, series),
        ablation(table),
        learning(table, series),
        classes(table),
        temporal(table, series),
        failures(table, runs),
        protocol(table),
        environment(table),
        commands(table, runs),
    ]


def _policy(script: str) -> str:
    """Nothing is loaded from anywhere, and no script runs but the page's own."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:"
