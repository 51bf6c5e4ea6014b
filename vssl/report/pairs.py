"""Every two rows on the same test videos: by how much they differ, and whether that can be told from chance."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vssl.report.answers import Answers, NotPaired, read_once, same_videos
from vssl.report.differences import told
from vssl.report.gather import MAP
from vssl.report.listing import Listing, Value
from vssl.report.rows import Column, Row, by_seed
from vssl.statistics import Paired, holm, mcnemar, paired_bootstrap, paired_over_seeds

if TYPE_CHECKING:
    from vssl.report.table import Table

LEVEL = 0.05
UNDECIDED = "undecided"
HEADS = ("a", "b", "protocol", "label", "seeds", "a − b", "95% interval", "McNemar p", "Holm p", "verdict")
_WORDS = frozenset({0, 1, 2, 3, 9})


@dataclass(frozen=True)
class Pair:
    """Two rows in one column.

    Args:
        seeds: that both have; each compares two trainings on the same clips.
        found: the difference in shares, its interval, and the p that Holm's correction goes over.
        mcnemar: exact p, one a seed.
        holm: `found.p`, corrected for all pairs of the column.
    """

    a: Row
    b: Row
    column: Column
    seeds: tuple[int, ...]
    videos: int
    found: Paired
    mcnemar: tuple[float, ...]
    holm: float = 1.0

    @property
    def verdict(self) -> str:
        """The title of the better row; undecided is a normal outcome."""
        if self.holm >= LEVEL:
            return UNDECIDED
        return (self.a if self.found.difference > 0 else self.b).title

    @property
    def test(self) -> str:
        return "McNemar, exact" if len(self.seeds) == 1 else "Student's t over seeds and videos"


def pairs(table: "Table") -> Listing:
    """Paired tests between all rows of a table, column by column."""
    troubles: list[str] = []
    found = [pair for column in table.columns for pair in _of_column(table.rows, column, troubles)]
    troubles += _across_columns(table)
    several = len({column.data for column in table.columns}) > 1
    return Listing(
        name="pairs",
        title="paired differences on the same test videos",
        heads=HEADS,
        text=_WORDS,
        rows=[_shown(pair, several) for pair in found],
        records=[_record(pair) for pair in found],
        lines=_reading(found, table),
        troubles=troubles,
    )


def _of_column(rows: Sequence[Row], column: Column, troubles: list[str]) -> list[Pair]:
    """All pairs of one column: one family of tests."""
    known: dict[Path, Answers | str] = {}
    found, refused = list[Pair](), list[tuple[str, str]]()
    for a, b in itertools.combinations([row for row in rows if column.key in row.cells], 2):
        try:
            found.append(_pair(a, b, column, known))
        except NotPaired as reason:
            refused.append((f"{a.title} and {b.title}", str(reason)))
    reasons = {reason for _, reason in refused}
    if not found and len(refused) > 1 and len(reasons) == 1:
        refused = [("no two rows", reasons.pop())]
    troubles += [f"{who}, {column.head} on {column.label}: not paired: {reason}" for who, reason in refused]
    return [replace(pair, holm=p) for pair, p in zip(found, holm([pair.found.p for pair in found]), strict=True)]


def _pair(a: Row, b: Row, column: Column, known: dict[Path, Answers | str]) -> Pair:
    mine, theirs = by_seed(a, column), by_seed(b, column)
    seeds = tuple(sorted(mine.keys() & theirs.keys()))
    if not seeds:
        raise NotPaired("no seed in common")
    both = [(read_once(mine[seed], known), read_once(theirs[seed], known)) for seed in seeds]
    for one, other in both:
        same_videos(one, other)
        same_videos(both[0][0], one)
    right_a, right_b = (np.stack([pair[place].right for pair in both]) for place in (0, 1))
    each = tuple(mcnemar(one, other) for one, other in zip(right_a, right_b, strict=True))
    if len(seeds) == 1:
        found = replace(paired_bootstrap(right_a[0], right_b[0]), p=each[0])
    else:
        found = paired_over_seeds(right_a, right_b)
    found = replace(found, low=max(-1.0, found.low), high=min(1.0, found.high))
    return Pair(a, b, column, seeds, right_a.shape[1], found, each)


def _across_columns(table: "Table") -> list[str]:
    """Rows that were asked the same question in two ways stand in two columns and are not paired; here is why."""
    reasons = []
    for a, b in itertools.combinations(table.rows, 2):
        for question in dict.fromkeys(column.question for column in table.columns):
            alike = [column for column in table.columns if column.question == question]
            mine, theirs = ([column for column in alike if column.key in row.cells] for row in (a, b))
            if mine and theirs and not any(column in theirs for column in mine):
                other = told(mine[0].stamp, theirs[0].stamp)
                test = [column.stamp.get("lists", {}).get("test") for column in (mine[0], theirs[0])]
                why = "not the same test list" if test[0] != test[1] else "another evaluation"
                where = f"{mine[0].head} on {mine[0].label}"
                reasons.append(f"{a.title} and {b.title}, {where}: not paired: {why} ({other})")
    return reasons


def _shown(pair: Pair, several: bool) -> tuple[str, ...]:
    found = pair.found
    return (
        pair.a.title,
        pair.b.title,
        pair.column.head + (f" [{pair.column.marks}]" if pair.column.marks else ""),
        f"{pair.column.data} {pair.column.label}" if several else pair.column.label,
        str(len(pair.seeds)),
        _points(found.difference),
        f"{_points(found.low)} to {_points(found.high)}",
        " / ".join(_p(one) for one in pair.mcnemar),
        _p(pair.holm),
        pair.verdict,
    )


def _record(pair: Pair) -> dict[str, Value]:
    found, column = pair.found, pair.column
    return {
        "a": pair.a.title, "b": pair.b.title, "data": column.data, "label": column.label, "protocol": column.protocol,
        "metric": column.metric, "evaluation": column.key[3][:8], "videos": pair.videos,
        "seeds": " ".join(map(str, pair.seeds)),
        "difference": found.difference, "low": found.low, "high": found.high, "test": pair.test, "p": found.p,
        "mcnemar_p": " ".join(map(str, pair.mcnemar)), "holm_p": pair.holm, "verdict": pair.verdict,
    }  # fmt: skip


def _points(share: float) -> str:
    return f"{100 * share:+.1f}".replace("+0.0", "0.0").replace("-0.0", "0.0").replace("-", "−")


def _p(value: float) -> str:
    """Rounded, but never across `LEVEL`."""
    text = "<0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"
    return f"<{text}" if value < LEVEL <= float(text.lstrip("<")) else text


def _reading(found: Sequence[Pair], table: "Table") -> list[str]:
    if not found:
        several = any(column.metric == MAP for column in table.columns)
        map_ = " Mean average precision is no mean over videos, so that no pairs are tested on it." if several else ""
        return [f"No two rows have an accuracy on the same test videos, got in the same way.{map_}"]
    lines = ["a − b in points of accuracy, on the same test videos for both."]
    if any(len(pair.seeds) == 1 for pair in found):
        lines.append(
            "1 seed: paired bootstrap over videos, McNemar's exact test; these two encoders are compared, and nothing "
            "is said about other seeds of their methods."
        )
    if any(len(pair.seeds) > 1 for pair in found):
        lines.append(
            "Several seeds: those that both rows have, paired, since they saw the same clips; interval and p are "
            "Student's over seeds and videos together; McNemar's p is of each seed alone and decides nothing."
        )
    lines.append(
        "Holm: corrected for all pairs of a column. The verdict names the better row where that p is below "
        f"{LEVEL}; undecided is a normal outcome, and no proof that two rows are equal."
    )
    used = {letter for pair in found for row in (pair.a, pair.b) for letter in (row.letters, pair.column.marks)}
    return lines + [f"[{letter}] {text}" for letter, text in table.marks if any(letter in one for one in used)]
