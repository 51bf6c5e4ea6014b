"""Encoders to rows, evaluations to columns and cells."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from vssl.report.gather import GAP, METRIC, Encoder, Evaluated, Gathered, Kind
from vssl.statistics import mean_std_t

COST = ("steps", "samples", "seconds", "flops", "data_wait_share")
"""Fields of a record's budget that a table shows; all of them are means over seeds."""


@dataclass(frozen=True)
class Column:
    """One number of one evaluation: protocol on a label of a data set, under one stamp."""

    key: tuple[str, str, str, str, str]
    stamp: dict[str, Any]
    marks: str = ""

    @property
    def data(self) -> str:
        return self.key[0]

    @property
    def label(self) -> str:
        return self.key[1]

    @property
    def protocol(self) -> str:
        return self.key[2]

    @property
    def metric(self) -> str:
        return self.key[4]

    @property
    def head(self) -> str:
        """The protocol, and its number where that is not top-1."""
        return self.protocol if self.metric == METRIC else f"{self.protocol} {self.metric}"

    @property
    def is_ranked(self) -> bool:
        """More is better."""
        return not self.metric.startswith(GAP)

    @property
    def question(self) -> tuple[str, ...]:
        """Equal for columns that only their stamps tell apart."""
        return *self.key[:3], self.metric

    @property
    def chance(self) -> float | None:
        """Top-1 of guessing, 1 / classes; None for other numbers, and where the record does not hold the classes."""
        classes = self.stamp.get("classes")
        return 1 / classes if classes and self.metric == METRIC else None


@dataclass
class Cell:
    """The number of one row in one column: a share in [0, 1], or a difference of shares.

    Args:
        values: one a seed, in the order of seeds.
        lows: bootstrap bounds over videos, one a seed, as are `highs`.
        inputs: digests of the clips that the encoder was shown, one a seed.
        bounded: it is a share, so that no interval leaves [0, 1].
        marks: letters of notes.
        not_above_random: no higher than the upper bound of the random encoder.
        best: not told apart from the highest value among rows under the same conditions.
    """

    values: tuple[float, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]
    inputs: tuple[str | None, ...] = ()
    bounded: bool = True
    marks: str = ""
    not_above_random: bool = False
    best: bool = False

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def mean(self) -> float:
        return mean_std_t(self.values).mean

    @property
    def std(self) -> float | None:
        return mean_std_t(self.values).std

    @property
    def interval(self) -> tuple[float, float]:
        """n = 1: bootstrap over videos; n = 2: what both seeds' bootstraps cover; n >= 3: t interval over seeds.

        Student's t knows no bounds; what no accuracy can be is cut off.
        """
        summary = mean_std_t(self.values)
        if summary.low is not None and summary.high is not None:
            return (max(0.0, summary.low), min(1.0, summary.high)) if self.bounded else (summary.low, summary.high)
        return min(self.lows), max(self.highs)

    @property
    def interval_name(self) -> str:
        return INTERVAL_NAMES[min(self.n, 3)]


INTERVAL_NAMES = {
    1: "95% bootstrap over videos",
    2: "95% bootstrap over videos, of both seeds together",
    3: "95% t interval over seeds",
}


@dataclass
class Row:
    """Encoders that differ in their seed only.

    Args:
        name: method, with what tells it from rows of the same method, unless its marks do.
        differences: what is other than in the first row, in words.
        marks: letters of these.
        collapse: of which seeds the features collapsed while they were trained, in words. Such a row is ranked like
            any other: that a method collapses is a result.
        warning: the letter of this.
    """

    encoders: list[Encoder]
    cells: dict[tuple[str, ...], Cell]
    name: str = ""
    differences: list[str] = field(default_factory=list)
    marks: str = ""
    collapse: str = ""
    warning: str = ""

    @property
    def first(self) -> Encoder:
        return self.encoders[0]

    @property
    def kind(self) -> Kind:
        return self.first.kind

    @property
    def letters(self) -> str:
        """Of all notes on this row."""
        return self.marks + self.warning

    @property
    def title(self) -> str:
        """Name and letters, for a sentence."""
        return f"{self.name} [{self.letters}]" if self.letters else self.name

    @property
    def seeds(self) -> list[int]:
        return [encoder.seed for encoder in self.encoders]

    @property
    def n(self) -> int:
        return len(self.encoders)

    @property
    def is_ranked(self) -> bool:
        """Trained without labels, to the end, under the conditions of the first row."""
        return self.kind == "run" and self.first.label is None and not self.marks

    @property
    def section(self) -> int:
        """Rows of one section stand together: ranked; other conditions; labels; files; without training."""
        if self.kind == "run":
            return 2 if self.first.label is not None else 0 if not self.marks else 1
        return 3 if self.kind == "file" else 4

    @cached_property
    def cost(self) -> dict[str, float]:
        """Mean over seeds of every field of `COST` that the records hold; nothing for what was not trained here."""
        if self.kind != "run":
            return {}
        budgets = [encoder.record.get("budget") or {} for encoder in self.encoders]
        return {
            key: mean_std_t([float(budget[key]) for budget in budgets]).mean
            for key in COST
            if all(isinstance(budget.get(key), int | float) for budget in budgets)
        }


def rows_of(found: Gathered) -> list[Row]:
    """Encoders grouped by what they are; of two with the same seed the newer one stays, and a trouble says so."""
    groups: dict[tuple[object, ...], dict[int, Encoder]] = {}
    for encoder in sorted(found.encoders, key=_finished):
        seeds = groups.setdefault(encoder.group, {})
        if former := seeds.get(encoder.seed):
            same = f"{encoder.called}, seed {encoder.seed}: same configuration and seed in {encoder.folder}"
            found.troubles.append(f"{same}; {former.folder} is left out")
        seeds[encoder.seed] = encoder
    return [_row([seeds[seed] for seed in sorted(seeds)]) for seeds in groups.values()]


def columns_of(encoders: Iterable[Encoder], metrics: Sequence[str] = (METRIC,)) -> list[Column]:
    """Every evaluation once, by data set, label, protocol; of several stamps the one with most numbers first.

    Several numbers of one evaluation stand in the order of `metrics`.
    """
    found = [one for encoder in encoders for one in encoder.evaluations]
    counts: dict[tuple[str, ...], int] = {}
    for one in found:
        counts[one.column] = counts.get(one.column, 0) + 1
    columns = {one.column: Column(one.column, one.stamp) for one in found}
    place = {metric: place for place, metric in enumerate(metrics)}
    return sorted(
        columns.values(),
        key=lambda one: (*one.key[:3], -counts[one.key], one.key[3], place.get(one.metric, len(place))),
    )


def by_seed(row: Row, column: Column) -> dict[int, Evaluated]:
    """The evaluations behind one cell."""
    return {encoder.seed: one for encoder in row.encoders for one in encoder.evaluations if one.column == column.key}


def _row(encoders: Sequence[Encoder]) -> Row:
    by_column: dict[tuple[str, ...], list[Evaluated]] = {}
    for encoder in encoders:
        for one in encoder.evaluations:
            by_column.setdefault(one.column, []).append(one)
    return Row(list(encoders), {key: _cell(evaluated) for key, evaluated in by_column.items()})


def _cell(evaluated: Sequence[Evaluated]) -> Cell:
    results = [one.result for one in evaluated]
    return Cell(
        values=tuple(result["value"] for result in results),
        lows=tuple(result["low"] for result in results),
        highs=tuple(result["high"] for result in results),
        inputs=tuple(one.record.get("inputs") for one in evaluated),
        bounded=not evaluated[0].metric.startswith(GAP),
    )


def _finished(encoder: Encoder) -> str:
    return str(encoder.record.get("finished") or "")
