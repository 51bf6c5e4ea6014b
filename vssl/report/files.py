"""A table into files."""

from collections.abc import Sequence
from pathlib import Path

from vssl.records.atomic import writable, write_text
from vssl.report.curves import plot_curves
from vssl.report.plots import plot_table
from vssl.report.table import Table


def write_all(table: Table, folder: Path, notes: Sequence[str] = ()) -> list[Path]:
    """Writes `table.md`, `.csv`, `.tex` and `.png` into `folder` and returns their paths; `notes` come last in a table.

    Where the runs were probed while they were trained, `curves.png` too.

    Raises:
        UserError: the folder cannot be written to.
    """
    folder = Path(folder)
    writable(folder)
    texts = {"md": table.to_markdown(notes), "csv": table.to_csv(), "tex": table.to_latex(notes)}
    for ending, text in texts.items():
        write_text(folder / f"table.{ending}", text)
    plot_table(table, folder / "table.png")
    files = [folder / f"table.{ending}" for ending in (*texts, "png")]
    return files + ([folder / "curves.png"] if plot_curves(table, folder / "curves.png") else [])
