"""How sure the order of the rows is, and whether all evaluations see the same order."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vssl.report.answers import Answers, NotPaired, read_once, same_videos
from vssl.report.listing import Listing, Value
from vssl.report.rows import Column, Row, by_seed
from vssl.statistics import kendalls_w, rank_probabilities, tau_b

if TYPE_CHECKING:
    from vssl.report.table import Table

RANK_HEADS = ("row", "protocol", "label", "seeds", "value", "rank", "mean rank", "probability of each rank")
AGREEMENT_HEADS = ("evaluations", "rows", "measure", "value")
_LEAST = 0.005  # a probability that would be shown as 0 %


@dataclass(frozen=True)
class Ranked:
    """The ranked rows of one column.

    Args:
        seeds: that all of them have.
        values: [R], over these seeds, shares in [0, 1].
        chances: [R, R]: row a row, column a rank from 1 on.
    """

    column: Column
    rows: tuple[Row, ...]
    seeds: tuple[int, ...]
    videos: int
    values: NDArray[np.float64]
    chances: NDArray[np.float64]

    def rank(self, place: int) -> float:
        """As observed, 1 for the highest; rows with equal values share the mean of their ranks."""
        equal = int((self.values == self.values[place]).sum())
        return float((self.values > self.values[place]).sum()) + (equal + 1) / 2

    def mean_rank(self, place: int) -> float:
        return float(self.chances[place] @ np.arange(1, len(self.rows) + 1))


def ranks(table: "Table") -> list[Listing]:
    """The probability of each rank, column by column; and where there are several columns, how well they agree."""
    troubles: list[str] = []
    found = [one for column in table.columns if (one := _of_column(table.rows, column, troubles)) is not None]
    listings = [
        Listing(
            name="ranks",
            title="ranks when other test videos and other seeds are drawn",
            heads=RANK_HEADS,
            text=frozenset({0, 1, 2, 7}),
            rows=[_shown(one, place) for one in found for place in _in_order(one)],
            records=[_record(one, place) for one in found for place in _in_order(one)],
            lines=_reading(found),
            troubles=troubles,
        )
    ]
    agreement = _agreement(table)
    return listings + ([agreement] if agreement.rows else [])


def _of_column(rows: Sequence[Row], column: Column, troubles: list[str]) -> Ranked | None:
    """None where fewer than two rows can be ranked; what was left out, and why, goes into `troubles`."""
    where = f"{column.head} on {column.label}"
    if not column.is_ranked:
        return None
    known: dict[Path, Answers | str] = {}
    answered: dict[str, tuple[Row, dict[int, Answers]]] = {}
    for row in [row for row in rows if row.is_ranked and column.key in row.cells]:
        try:
            answered[row.title] = row, {seed: read_once(one, known) for seed, one in by_seed(row, column).items()}
        except NotPaired as reason:
            troubles.append(f"{row.title}, {where}: not ranked: {reason}")
    if len(answered) < 2:
        return None
    seeds = sorted(set.intersection(*(set(of_row) for _, of_row in answered.values())))
    try:
        if not seeds:
            raise NotPaired("no seed that all of them have")
        each = [[of_row[seed] for seed in seeds] for _, of_row in answered.values()]
        for one in itertools.chain.from_iterable(each):
            same_videos(each[0][0], one)
    except NotPaired as reason:
        troubles.append(f"{', '.join(answered)}, {where}: not ranked: {reason}")
        return None
    right = np.array([[one.right for one in of_row] for of_row in each])
    kept = tuple(row for row, _ in answered.values())
    return Ranked(column, kept, tuple(seeds), right.shape[2], right.mean(axis=(1, 2)), rank_probabilities(right))


def _in_order(one: Ranked) -> list[int]:
    return sorted(range(len(one.rows)), key=lambda place: -one.values[place])


def _shown(one: Ranked, place: int) -> tuple[str, ...]:
    likely = [f"{rank}: {share:.0%}" for rank, share in enumerate(one.chances[place], 1) if share >= _LEAST]
    return (
        one.rows[place].title,
        one.column.head + (f" [{one.column.marks}]" if one.column.marks else ""),
        one.column.label,
        str(len(one.seeds)),
        f"{100 * one.values[place]:.1f}",
        f"{one.rank(place):g}",
        f"{one.mean_rank(place):.1f}",
        " · ".join(likely),
    )


def _record(one: Ranked, place: int) -> dict[str, Value]:
    column = one.column
    return {
        "row": one.rows[place].title, "data": column.data, "label": column.label, "protocol": column.protocol,
        "metric": column.metric, "evaluation": column.key[3][:8], "videos": one.videos,
        "seeds": " ".join(map(str, one.seeds)), "value": float(one.values[place]), "rank": one.rank(place),
        "mean_rank": one.mean_rank(place),
        **{f"rank {rank}": float(share) for rank, share in enumerate(one.chances[place], 1)},
    }  # fmt: skip


def _reading(found: Sequence[Ranked]) -> list[str]:
    if not found:
        return ["No two rows that may be ranked together were evaluated on the same test videos in the same way."]
    lines = [
        "Probability of each rank: the same test videos, and the same seeds, are drawn again for all rows, many times; "
        "rows that come out equal share their ranks. Ranked are rows under the same conditions alone."
    ]
    if any(len(one.seeds) == 1 for one in found):
        lines.append(
            "1 seed: only videos are drawn; these encoders are ranked, and nothing is said about other seeds of their "
            "methods."
        )
    if any(1 < len(one.seeds) < 5 for one in found):
        lines.append(
            "Few seeds: what two to four of them do not show cannot be drawn; see the paired tests (pairs=true)."
        )
    fewer = {
        one.column.label + "/" + one.column.head for one in found if any(row.n > len(one.seeds) for row in one.rows)
    }
    return lines + [f"Seeds that not all rows have are left out: {', '.join(sorted(fewer))}."] * bool(fewer)


def _agreement(table: "Table") -> Listing:
    """Of the orders that the columns see, each group over the ranked rows that stand in all of its columns."""
    columns = [column for column in table.columns if column.is_ranked]
    pairs = itertools.combinations(columns, 2)
    asked = [(name, "Kendall's W", group) for name, group in _groups(columns)]
    asked += [(f"{_name(a)}, {_name(b)}", "Kendall's tau-b", [a, b]) for a, b in pairs]
    found: list[tuple[str, int, str, float]] = []
    for name, measure, group in asked:
        rows = [row for row in table.rows if row.is_ranked and all(column.key in row.cells for column in group)]
        if len(rows) > 1:
            orders = [[round(row.cells[column.key].mean, 12) for row in rows] for column in group]
            value = kendalls_w(orders) if measure == "Kendall's W" else tau_b(*orders)
            found.append((name, len(rows), measure, value))
    return Listing(
        name="agreement",
        title="agreement of the evaluations on the order of the rows",
        heads=AGREEMENT_HEADS,
        text=frozenset({0, 2}),
        rows=[(name, str(n), measure, _two_digits(value)) for name, n, measure, value in found],
        records=[
            {"evaluations": name, "rows": n, "measure": measure, "value": None if math.isnan(value) else value}
            for name, n, measure, value in found
        ],
        lines=[
            "Over the ranked rows that stand in all of these columns. W is 1 where all orders are the same and 0 where "
            "they cancel out; tau-b runs from −1 (one order is the other reversed) to 1. Both are corrected for ties.",
            "Two random orders of n rows are the same in 1 of n! cases: of 3 rows in 1 of 6, of 4 in 1 of 24.",
        ],
    )


def _groups(columns: Sequence[Column]) -> list[tuple[str, list[Column]]]:
    """Protocols on one label, label by label, and all columns where there are several labels."""
    groups: dict[tuple[str, str], list[Column]] = {}
    for column in columns:
        groups.setdefault((column.data, column.label), []).append(column)
    found = [(f"all protocols on {label}", group) for (_, label), group in groups.items() if len(group) > 1]
    return found + ([("all columns", list(columns))] if len(groups) > 1 else [])


def _name(column: Column) -> str:
    return f"{column.head}{f' [{column.marks}]' if column.marks else ''} on {column.label}"


def _two_digits(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}".replace("-0.00", "0.00").replace("-", "−")
