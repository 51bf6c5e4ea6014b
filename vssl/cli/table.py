"""`vssl table`: records to a comparison."""

from pathlib import Path

from vssl.cli.arguments import Arguments
from vssl.cli.command import Command
from vssl.config.errors import UserError


def run(arguments: Arguments) -> int:
    folder = Path(arguments.first or "runs")
    if not folder.is_dir():
        raise UserError(f"table: there is no folder {folder}", "give the folder that holds the runs, run.out of theirs")
    from rich.console import Console

    from vssl.report.files import write_all
    from vssl.report.table import comparison

    table = comparison(folder)
    Console().print(table.to_screen())
    for file in write_all(table, Path(arguments.own_paths.get("out", folder))):
        print(file)
    return 0


COMMAND = Command(
    name="table",
    summary="records to a table on screen, .md, .csv, .tex and a plot",
    description=(
        "Collects every record under FOLDER (runs/ if none is given) into one table: a row a method, a column an "
        "evaluation, then the cost. Rows that are not comparable are marked, with the difference named below. Also "
        "writes table.md, .csv, .tex and .png there, or into out=, and curves.png where runs were probed in training."
    ),
    examples=("vssl table runs", "vssl table runs/bench/quick", "vssl table runs out=paper/tables"),
    run=run,
    first="FOLDER",
    paths=("out",),
    configured=False,
)
