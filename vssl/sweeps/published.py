"""Published figures of an ablation beside the sweep's own numbers: a setting a line, never ranked with each other."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vssl.report.listing import Listing, Value

if TYPE_CHECKING:
    from vssl.report.rows import Row
    from vssl.report.table import Table
    from vssl.sweeps.plan import Plan, Trial

NAME = "published"  # of the files
UNNAMED = "published"  # head of figures that a file gives without one
NOT_VERIFIED = "not verified"

Figures = dict[str, dict[str, float | None]]


def published_beside(todo: "Plan", table: "Table", folders: Mapping[Path, "Trial"]) -> Listing | None:
    """The sweep's numbers by setting, beside what its file says of published ones; None where it says nothing.

    Args:
        table: the comparison of the sweep's trials.
        folders: the trial behind each folder of a run or of an encoder without training.
    """
    settings = todo.settings
    if not settings.published and not settings.published_note:
        return None
    figures, own = figures_of(settings.published), _own(todo, table, folders)
    heads = list(dict.fromkeys(head for one in figures.values() for head in one)) or [UNNAMED]
    titles = [head if head == UNNAMED else f"{UNNAMED}: {head}" for head in heads]
    titles += [
        f"{column.label} {column.head}{f' [{column.marks}]' if column.marks else ''}" for column in table.columns
    ]
    rows, records = list[tuple[str, ...]](), list[Mapping[str, Value]]()
    for label in dict.fromkeys([*figures, *own]):
        there = [figures.get(label, {}).get(head) for head in heads]
        told = [NOT_VERIFIED if figure is None else figure for figure in there]
        for row in own.get(label, [None]):
            called = f"{label}: {row.name}" if row and len(own[label]) > 1 else label
            here = [100 * row.cells[one.key].mean if row and one.key in row.cells else None for one in table.columns]
            rows.append((called, *map(_told, there), *("–" if one is None else f"{one:.1f}" for one in here)))
            records.append({"setting": called, **dict(zip(titles, [*told, *here], strict=True))})
    notes = [f"Published: {settings.published_note}"] if settings.published_note else []
    return Listing(
        name=NAME,
        title=f"published figures beside own ones: {todo.title}",
        heads=("setting", *titles),
        text=frozenset({0}),
        rows=rows,
        records=records,
        lines=[*notes, _READING],
    )


_READING = (
    "In %, own numbers as in the table above, means over seeds. Unless the sweep ran at the paper's scale, they have "
    "other data, encoders, lengths and tests than the published figures: compare directions, not values. "
    f"{NOT_VERIFIED}: no source of such a figure was read."
)


def figures_of(published: Mapping[str, Any]) -> Figures:
    """{setting: {head: figure, or None where it is not verified}}.

    Raises:
        ValueError: a figure is neither a number, nor null, nor these by name.
    """
    return {str(label): _figures(label, given) for label, given in published.items()}


def label_of(trial: "Trial", axes: Mapping[str, Any]) -> str:
    """What a file with these axes calls a trial in `published`: its settings; without training its encoder's name."""
    if trial.encoder is not None:
        return trial.encoder
    said = dict(word.split("=", 1) for word in trial.words)  # a value on the command line makes no axis
    told = [trial.settings.get(axis, said.get(axis)) for axis in axes if axis != "seed"]
    return ", ".join(one for one in told if one is not None)


def _own(todo: "Plan", table: "Table", folders: Mapping[Path, "Trial"]) -> dict[str, list["Row | None"]]:
    """The table's rows by setting, in the order of the trials."""
    found: dict[str, list[Row | None]] = {label_of(trial, todo.settings.axes): [] for trial in todo.trials}
    for row in table.rows:
        if trial := folders.get(row.first.folder):
            found[label_of(trial, todo.settings.axes)].append(row)
    return {label: rows for label, rows in found.items() if rows}


def _figures(label: str, given: Any) -> dict[str, float | None]:
    named = dict(given) if isinstance(given, Mapping) else {UNNAMED: given}
    for head, figure in named.items():
        if figure is not None and (isinstance(figure, bool) or not isinstance(figure, int | float)):
            raise ValueError(f"published: {label}: {head} is {figure!r}, and neither a number nor null")
    return {} if given is None else named


def _told(figure: float | None) -> str:
    return NOT_VERIFIED if figure is None else f"{figure:.1f}"
