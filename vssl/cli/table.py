"""`vssl table`: records to a comparison."""

from pathlib import Path

from vssl.cli.arguments import Arguments
from vssl.cli.command import Command, Key
from vssl.cli.own_keys import own_arguments
from vssl.config.errors import UserError

BESIDE = "vssl.report.beside.Beside"


def run(arguments: Arguments) -> int:
    folder = Path(arguments.first or "runs")
    if not folder.is_dir():
        raise UserError(f"table: there is no folder {folder}", "give the folder that holds the runs, run.out of theirs")
    from rich.console import Console

    from vssl.report.beside import Beside
    from vssl.report.files import write_all
    from vssl.report.table import comparison

    beside = Beside(**own_arguments(arguments.overrides, {"": [Beside]})[Beside])
    table, out = comparison(folder, metrics=beside.metrics), Path(arguments.own_paths.get("out", folder))
    listings = beside.listings(table)
    console = Console()
    console.print(table.to_screen())
    for listing in listings:
        console.print(listing.to_screen())
    files = write_all(table, out) + [file for listing in listings for file in listing.write(out)]
    print(*files, sep="\n")
    return 0


COMMAND = Command(
    name="table",
    summary="records to a table on screen, .md, .csv, .tex and a plot",
    description=(
        "Collects every record under FOLDER (runs/ if none is given) into one table: a row a method, a column an "
        "evaluation, then the cost. Rows that are not comparable are marked, with the difference named below. Also "
        "writes table.md, .csv, .tex and .png there, or into out=, and curves.png where runs were probed in training. "
        "metrics= shows other numbers than top-1; pairs=true tests every two rows on the same test videos (pairs.md, "
        ".csv, .tex); reference= puts published numbers beside the rows, not among them (published.md, .csv, .tex)."
    ),
    examples=(
        "vssl table runs",
        "vssl table runs pairs=true",
        "vssl table runs out=paper reference=kinetics400_finetune",
    ),
    run=run,
    first="FOLDER",
    paths=("out",),
    keys=(
        Key("metrics", "numbers to show, as records call them: metrics=top1,gap_shuffled", BESIDE),
        Key("pairs", "paired tests between all rows on the same test videos", BESIDE),
        Key("reference", "a set of published rows to stand beside: DATA_EVALUATION", BESIDE),
    ),
    configured=False,
)
