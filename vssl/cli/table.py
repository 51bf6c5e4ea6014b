"""`vssl table`: records to a comparison."""

from pathlib import Path
from typing import TYPE_CHECKING

from vssl.cli.arguments import Arguments
from vssl.cli.command import Command, Key
from vssl.cli.own_keys import own_arguments
from vssl.config.errors import UserError
from vssl.config.problems import listed

if TYPE_CHECKING:
    from vssl.report.beside import Beside
    from vssl.report.selection import Selection
    from vssl.report.table import Table

BESIDE = "vssl.report.beside.Beside"
SELECTION = "vssl.report.selection.Selection"
DIFF, HTML = "--diff", "--html"


def run(arguments: Arguments) -> int:
    if DIFF in arguments.flags:
        return _diff(arguments)
    if arguments.more:
        given = listed([repr(word) for word in (arguments.first, *arguments.more)])
        raise UserError(f"table takes one FOLDER; given are {given}", "two runs side by side: vssl table --diff A B")
    folder = Path(arguments.first or "runs")
    if not folder.is_dir():
        raise UserError(f"table: there is no folder {folder}", "give the folder that holds the runs, run.out of theirs")
    from vssl.report.beside import Beside
    from vssl.report.selection import Selection
    from vssl.report.table import comparison

    given_keys = own_arguments(arguments.overrides, {"": [Beside, Selection]})
    beside, selection = Beside(**given_keys[Beside]), Selection(**given_keys[Selection])
    out = Path(arguments.own_paths.get("out", folder))
    html = HTML in arguments.flags
    if selection.budget is not None:
        return _by_budget(folder, out, selection.budget, beside, selection, html)
    table = comparison(folder, metrics=beside.metrics, selection=selection)
    print(*_shown(table, beside, out, folder if html else None), sep="\n")
    return 0


def _by_budget(folder: Path, out: Path, unit: str, beside: "Beside", selection: "Selection", html: bool = False) -> int:
    from vssl.report.levels import plot_levels
    from vssl.report.table import by_budget

    tables = by_budget(folder, unit, beside.metrics, selection)
    runs = folder if html else None
    files = [file for level, table in tables for file in _shown(table, beside, out / level.folder, runs)]
    if plot_levels(tables, picture := out / f"{unit}.png"):
        files.append(picture)
    print(*files, sep="\n")
    return 0


def _shown(table: "Table", beside: "Beside", out: Path, runs: Path | None) -> list[Path]:
    """Prints the table and what stands below it, and writes them into files; also a page, where `runs` is given."""
    from rich.console import Console

    from vssl.report.files import write_all

    listings = beside.listings(table)
    Console().print(table.to_screen(), *[listing.to_screen() for listing in listings], sep="\n")
    files = write_all(table, out) + [file for listing in listings for file in listing.write(out)]
    if runs is None:
        return files
    from vssl.report.html.page import write_page

    return [*files, write_page(table, runs, out, listings)]


def _diff(arguments: Arguments) -> int:
    """Two folders side by side, into files only where `out=` says so."""
    folders = [word for word in (arguments.first, *arguments.more) if word is not None]
    if len(folders) != 2 or arguments.overrides:
        other = f", and not {arguments.overrides[0]}" if arguments.overrides else ""
        raise UserError(f"table {DIFF} takes the folders of two runs, A and B, and out={other}; given {len(folders)}")
    from rich.console import Console

    from vssl.report.diff import diff

    listing = diff(*map(Path, folders))
    Console().print(listing.to_screen())
    if out := arguments.own_paths.get("out"):
        print(*listing.write(Path(out)), sep="\n")
    return 0


COMMAND = Command(
    name="table",
    summary="records to a table on screen, .md, .csv, .tex and a plot",
    description=(
        "Collects every record under FOLDER (runs/ if none is given) into one table: a row a method, a column an "
        "evaluation, then the cost. Rows that are not comparable are marked, with the difference named below. Also "
        "writes table.md, .csv, .tex and .png there, or into out=, and curves.png where runs were probed in training. "
        "metrics= shows other numbers than top-1; filter=, rows=, columns= and sort= choose, name and order what is "
        "shown; budget= compares the runs trained to one kind of budget: a table for each of its values, and a picture "
        "of the numbers against them; pairs=true tests every two rows on the same test videos (pairs.md, .csv, .tex); "
        "ranks=true tells how sure their order is, and whether the columns agree on it (ranks and agreement .md, .csv, "
        ".tex); reference= "
        "puts published numbers beside the rows, not among them (published.md, .csv, .tex). --html adds table.html: "
        "one file that loads nothing, with the table to sort, charts, stamps, failures and the command of every row. "
        "--diff A B puts two runs "
        "side by side instead: configuration, data, commit, libraries, machine, budget, results; equal things are "
        "counted and left out."
    ),
    examples=(
        "vssl table runs --html",
        "vssl table runs filter='method=videomae,byol;label=motion' sort=-motion/knn pairs=true ranks=true",
        "vssl table --diff runs/A runs/B out=diff",
    ),
    run=run,
    first="FOLDER...",
    paths=("out",),
    keys=(
        Key("metrics", "numbers to show, as records call them: metrics=top1,gap_shuffled", BESIDE),
        Key("filter", "rows to keep: 'method=videomae,byol;seed!=3', any key of a run; label and protocol", SELECTION),
        Key("rows", "keys that name the rows: rows=method,backbone.depth", SELECTION),
        Key("columns", "evaluations to show, in this order: columns=linear,motion/knn", SELECTION),
        Key("sort", "a column, a cost or a key to order rows by; sort=-motion/knn: highest first", SELECTION),
        Key("budget", "steps, samples, flops, ...: a table for each such budget, of the runs trained to it", SELECTION),
        Key("pairs", "paired tests between all rows on the same test videos", BESIDE),
        Key("ranks", "the probability of each rank, and the agreement of the columns on it", BESIDE),
        Key("reference", "a set of published rows to stand beside: DATA_EVALUATION", BESIDE),
    ),
    configured=False,
    flags=(DIFF, HTML),
)
