"""The comparison: a row a method, a column an evaluation, then the cost; and what one must know to read it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import RenderableType

from vssl.report import compare
from vssl.report.detectable import detectable
from vssl.report.gather import METRIC, gather
from vssl.report.grid import Slot, cost_slots, result_slots
from vssl.report.levels import Level, levels
from vssl.report.names import name_rows
from vssl.report.notes import counted, reading, same_clips, title, transductive
from vssl.report.rows import Column, Row, columns_of, rows_of
from vssl.report.selection import Selection


@dataclass(frozen=True)
class Table:
    """A table that is ready to be shown.

    Args:
        rows: in the order shown: ranked, other conditions, trained with labels, foreign files, without training.
        marks: (letter, what is other), in the order of the letters.
        lines: how to read the table, and whether the clips were the same.
        troubles: what failed, is unfinished, or was left out.
    """

    title: str
    columns: list[Column] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    marks: list[tuple[str, str]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    @property
    def results(self) -> list[Slot]:
        return result_slots(self.columns, self.rows)

    @property
    def costs(self) -> list[Slot]:
        return cost_slots(self.rows)

    def to_screen(self, notes: Sequence[str] = ()) -> RenderableType:
        """For `rich`'s Console; on a narrow terminal the columns are shown in several parts. `notes` come last."""
        from vssl.report.render_screen import Screen

        return Screen(self, tuple(notes))

    def to_markdown(self, notes: Sequence[str] = ()) -> str:
        """A GitHub table with its notes."""
        from vssl.report.render_markdown import markdown

        return markdown(self, notes)

    def to_csv(self) -> str:
        """One line a row, numbers unrounded, with units in the header."""
        from vssl.report.render_csv import csv_text

        return csv_text(self)

    def to_latex(self, notes: Sequence[str] = ()) -> str:
        """A `table` environment for booktabs, with its notes below."""
        from vssl.report.render_latex import latex

        return latex(self, notes)


def comparison(
    folder: Path,
    only: Collection[Path] | None = None,
    metrics: Sequence[str] = (METRIC,),
    selection: Selection | None = None,
    level: Level | None = None,
) -> Table:
    """The table of everything that lies below `folder`.

    Args:
        only: folders of runs or evaluations to take; None takes all.
        metrics: numbers to show of each evaluation, as records call them; one that has none of them shows its top-1.
        selection: rows and columns to show, names and order; None shows all.
        level: the budget that runs were trained to; None takes any.
    Raises:
        UserError: no evaluation has one of `metrics`, or `selection` asks for what is not there.
    """
    found, selection = gather(Path(folder), only, metrics), selection or Selection()
    part = selection.keep(found) + (level.keep(found) if level else [])
    rows = rows_of(found)
    columns = columns_of((encoder for row in rows for encoder in row.encoders), metrics)
    columns = selection.ordered_columns(columns)
    rows.sort(key=lambda row: _order(row, columns))
    compared = compare.compared_by(rows)
    reference = compare.reference_of(rows, compared)
    letters = compare.Letters()
    compare.mark_rows(rows, reference, letters, compared)
    if not selection.name_rows(rows):
        name_rows(rows, with_backbone=compared == "backbone")
    rows.sort(key=lambda row: row.section)  # marks have moved some; the order within a section stays
    columns = compare.mark_columns(columns, letters)
    selection.order(rows, columns)
    compare.mark_inputs(rows, columns, letters)
    compare.mark_collapsed(rows, letters)
    bare = compare.mark_random(rows, columns)
    compare.mark_best(rows, columns)
    return Table(
        title=title(rows, reference, compared),
        columns=columns,
        rows=rows,
        marks=letters.pairs(),
        lines=part
        + reading(rows, bare)
        + detectable(rows, columns)
        + transductive(columns)
        + same_clips(rows, reference)
        + counted(rows),
        troubles=found.troubles,
    )


def by_budget(
    folder: Path, unit: str, metrics: Sequence[str] = (METRIC,), selection: Selection | None = None
) -> list[tuple[Level, Table]]:
    """A table for each budget of one kind that runs were trained to, the smallest first.

    Args:
        unit: a key of `budget`.
    Raises:
        UserError: no run was trained to such a budget, or as `comparison`.
    """
    found = gather(Path(folder), None, metrics)
    (selection or Selection()).keep(found)
    return [(one, comparison(folder, metrics=metrics, selection=selection, level=one)) for one in levels(found, unit)]


def _order(row: Row, columns: Sequence[Column]) -> tuple[object, ...]:
    """By the first column's value, highest first; `mean_frame` after `random`; then by name."""
    values = [row.cells[column.key].mean if column.key in row.cells else -1.0 for column in columns]
    return row.section, row.kind == "mean_frame", [-value for value in values], row.first.called
