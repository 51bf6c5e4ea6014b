"""Class by class: by how much the two best rows of a column differ, on the same videos."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vssl.report.answers import Answers, NotPaired, read_once, same_videos
from vssl.report.gather import METRIC
from vssl.report.html.markup import Markup
from vssl.report.html.plot import Plot, panels
from vssl.report.html.scales import Axis, linear
from vssl.report.html.section import Section
from vssl.report.html.series import Series
from vssl.report.rows import Column, Row, by_seed
from vssl.statistics import Paired, paired_bootstrap, paired_over_seeds

if TYPE_CHECKING:
    from vssl.report.table import Table

_MOST_CLASSES = 24
_READING = (
    "Difference of recall on the same test videos for both: paired bootstrap over the videos of a class; of several "
    "seeds Student's, over seeds and videos. Grey: the interval covers 0.",
    "Intervals are not corrected for the number of classes: one in twenty misses 0 where there is nothing.",
)


@dataclass(frozen=True)
class Compared:
    """Two rows of one column.

    Args:
        classes: (name, videos, a - b in shares), the largest difference first.
    """

    a: Row
    b: Row
    column: Column
    seeds: tuple[int, ...]
    classes: tuple[tuple[str, int, Paired], ...]


def classes(table: "Table") -> Section:
    reasons: list[str] = []
    found = [
        one
        for column in table.columns
        if column.metric == METRIC and (one := _compared(table.rows, column, reasons)) is not None
    ]
    body = panels([_plot(one) for one in found]) if found else Markup()
    lines = [*_READING, *dict.fromkeys(reasons)]
    if any(len(one.classes) > _MOST_CLASSES for one in found):
        lines.append(
            f"The {_MOST_CLASSES} classes that differ most; all of them are in per_class.csv of each evaluation."
        )
    why = "; ".join(dict.fromkeys(reasons)) or "no column has two trained rows with predictions"
    return Section("classes", "Class by class: the best two rows", body, why, lines)


def _compared(rows: Sequence[Row], column: Column, reasons: list[str]) -> Compared | None:
    """The two highest rows that were trained, those under equal conditions first."""
    own = [row for row in rows if column.key in row.cells and row.kind in ("run", "file")]
    ranked = [row for row in own if row.is_ranked]
    best = sorted(ranked if len(ranked) > 1 else own, key=lambda row: -row.cells[column.key].mean)[:2]
    if len(best) < 2:
        return None
    try:
        return _paired(best[0], best[1], column)
    except NotPaired as reason:
        reasons.append(f"{column.label} · {column.head}: {best[0].title} and {best[1].title} are not paired: {reason}")
        return None


def _paired(a: Row, b: Row, column: Column) -> Compared:
    """Raises NotPaired where they have no seed or not the same videos in common."""
    mine, theirs = by_seed(a, column), by_seed(b, column)
    seeds = tuple(sorted(mine.keys() & theirs.keys()))
    if not seeds:
        raise NotPaired("no seed in common")
    known: dict[Path, Answers | str] = {}
    both = [(read_once(mine[seed], known), read_once(theirs[seed], known)) for seed in seeds]
    for one, other in both:
        same_videos(one, other)
        same_videos(both[0][0], one)
    right = [np.stack([pair[place].right for pair in both]) for place in (0, 1)]
    labels = both[0][0].label
    names = mine[seeds[0]].record.get("classes") or []
    found = []
    for label in np.unique(labels):
        of_class = labels == label
        name = str(names[label]) if 0 <= label < len(names) else f"class {label}"
        found.append((name, int(of_class.sum()), _difference(right[0][:, of_class], right[1][:, of_class])))
    found.sort(key=lambda one: (-abs(one[2].difference), one[0]))
    return Compared(a, b, column, seeds, tuple(found))


def _difference(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> Paired:
    """Of one class; [seeds, videos]."""
    if min(a.shape) < 2:
        return paired_bootstrap(a.mean(axis=0), b.mean(axis=0))
    found = paired_over_seeds(a, b)
    return Paired(found.difference, max(-1.0, found.low), min(1.0, found.high), found.p)


def _plot(one: Compared) -> Plot:
    shown = sorted(one.classes[:_MOST_CLASSES], key=lambda found: found[2].difference)
    bounds = [100 * bound for _, _, found in shown for bound in (found.low, found.high)]
    up = Axis("", -0.5, len(shown) - 0.5, tuple((float(place), name) for place, (name, _, _) in enumerate(shown)))
    head = f"{one.column.label} · {one.column.head}"
    across = linear("A − B, points of recall", bounds, zero=True)
    rows = f"A: {one.a.title}", f"B: {one.b.title}"
    plot = Plot(head, across, up, (300.0, 22.0 * len(shown)), "x", rows)
    plot.bar((0.0, up.low), (0.0, up.high), "zero")
    for place, (name, videos, found) in enumerate(shown):
        kind = "more" if found.low > 0 else "less" if found.high < 0 else "unclear"
        value, low, high = (100 * share for share in (found.difference, found.low, found.high))
        told = f"{name}: {value:+.1f} ({low:+.1f} to {high:+.1f}), {videos} videos, {len(one.seeds)} seed(s)"
        plot.bar((0.0, place), (value, place), f"wide {kind}", told)
        plot.bar((low, place), (high, place), "whisker", told)
        plot.marker((value, place), Series(-1, name), told)
    return plot
