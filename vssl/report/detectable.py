"""How small a difference the seeds of a table could show."""

import itertools
from collections.abc import Sequence

from vssl.report.rows import Column, Row, by_seed
from vssl.statistics import ALPHA, POWER, pooled_std, smallest_difference


def detectable(rows: Sequence[Row], columns: Sequence[Column]) -> list[str]:
    """A line for every number of seeds that two ranked rows have in common, from two on.

    The spread is that of the seeds' differences, pooled over all pairs of ranked rows of a column: equal seeds saw the
    same clips, and what they share drops out.
    """
    found: dict[int, list[str]] = {}
    for column in [column for column in columns if column.is_ranked]:
        differences = _differences(rows, column)
        std = pooled_std(differences) if differences else 0.0
        if std == 0:
            continue
        for n in sorted({len(group) for group in differences}):
            points = 100 * smallest_difference(std, n)
            found.setdefault(n, []).append(f"{points:.1f} points in {column.head} on {column.label}")
    return [
        f"With {n} seeds a difference below {', '.join(texts)} cannot be told: a paired t test over seeds (two-sided, "
        f"{ALPHA:.0%}) finds it in fewer than {POWER:.0%} of cases."
        for n, texts in sorted(found.items())
    ]


def _differences(rows: Sequence[Row], column: Column) -> list[list[float]]:
    """Between every two ranked rows, one a seed that both have, where there are two or more."""
    values = [
        {seed: one.result["value"] for seed, one in by_seed(row, column).items()} for row in rows if row.is_ranked
    ]
    pairs = [[a[seed] - b[seed] for seed in sorted(a.keys() & b.keys())] for a, b in itertools.combinations(values, 2)]
    return [each for each in pairs if len(each) > 1]
