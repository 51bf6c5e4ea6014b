"""Did two rows see the same clips? Digest chains compared at the last sample count that both have."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import pandas as pd

from vssl.report.gather import Encoder
from vssl.report.rows import Row

DIGITS = 16  # of a digest in metrics.csv

Verdict = Literal["same", "differ", "unknown"]


@dataclass(frozen=True)
class Comparison:
    """Of the first views of two rows.

    Args:
        samples: the count compared at; of several seeds, the smallest, or the one that differs.
        reason: why nothing is known.
    """

    verdict: Verdict
    samples: int = 0
    reason: str = ""


def compare(row: Row, reference: Row) -> Comparison:
    """Seed by seed; one that differs makes the rows differ."""
    pairs = [(a, b) for a in row.encoders for b in reference.encoders if a.seed == b.seed]
    if not pairs:
        return Comparison("unknown", reason="no seed in common")
    found = [compare_runs(own, other) for own, other in pairs]
    for verdict in ("differ", "unknown"):
        if of_it := [one for one in found if one.verdict == verdict]:
            return of_it[0]
    return Comparison("same", min(one.samples for one in found))


def compare_runs(own: Encoder, other: Encoder) -> Comparison:
    """Of two runs, whatever their seeds."""
    mine, theirs = chain(own), chain(other)
    if not mine or not theirs:
        return Comparison("unknown", reason="no digests in the records")
    common = mine.keys() & theirs.keys()
    if not common:
        return Comparison("unknown", reason="no sample count in common")
    last = max(common)
    return Comparison("same" if mine[last] == theirs[last] else "differ", last)


def chain(encoder: Encoder) -> dict[int, str]:
    """{samples: first `DIGITS` hex digits} of the first view: every step's of `metrics.csv`, and the record's last."""
    if not encoder.positions:
        return {}
    first = encoder.positions[0]
    curve = encoder.folder / "metrics.csv"
    steps = _curve(curve, f"clips.{first['name']}", curve.stat().st_mtime_ns) if curve.is_file() else {}
    return {**steps, int(encoder.record["clips"]["samples"]): first["digest"][:DIGITS]}


@cache
def _curve(path: Path, column: str, changed_ns: int) -> dict[int, str]:
    """`changed_ns` is there for the cache: the curve of a run that goes on grows."""
    try:
        rows = pd.read_csv(path, usecols=["samples", column], dtype={column: str})
    except (OSError, ValueError):  # not to be read, no such column
        return {}
    return dict(zip(rows["samples"].astype(int), rows[column].astype(str), strict=True))
