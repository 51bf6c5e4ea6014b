"""Which videos stand in two lists, as a CSV file and on screen."""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Group
from rich.table import Table
from rich.text import Text

from vssl.records.atomic import atomic
from vssl.video.upkeep.check_report import SHOWN, printable
from vssl.video.upkeep.overlap import KINDS, Pair
from vssl.video.upkeep.video_set import VideoSet

COLUMNS = ("kind", "list_a", "path_a", "list_b", "path_b", "distance")


def write_pairs(pairs: Sequence[Pair], out: Path) -> None:
    """A row a pair; names that are not UTF-8 keep their bytes. Raises WorkError."""
    with atomic(out) as temporary, temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for pair in pairs:
            rows.writerow([pair.kind, pair.list_a, pair.path_a, pair.list_b, pair.path_b, _told(pair.distance)])


def _told(distance: float | None) -> str:
    return "" if distance is None else f"{distance:.3f}"


def told(sets: Sequence[VideoSet], pairs: Sequence[Pair]) -> Group:
    """The lists, how many videos of each repeat one of another, and the first pairs of each kind."""
    lists = Table("list", "videos", box=None, pad_edge=False)
    lists.columns[1].justify = "right"
    for one in sets:
        lists.add_row(Text(printable(one.name)), f"{len(one.videos):,}")
    if not pairs:
        return Group(lists, Text(), Text("no video stands in two lists, and none twice in one"))
    counts = Counter((pair.list_b, pair.list_a, pair.kind) for pair in pairs)
    table = Table("videos of", "that are in", *(f"by {kind}" for kind in KINDS), box=None, pad_edge=False)
    for column in table.columns[2:]:
        column.justify = "right"
    for later, earlier in dict.fromkeys((pair.list_b, pair.list_a) for pair in pairs):
        cells = [f"{counts[later, earlier, kind]:,}" for kind in KINDS]
        table.add_row(Text(printable(later)), Text(printable(earlier) if earlier != later else "twice"), *cells)
    ordered = sorted(pairs, key=lambda pair: (KINDS.index(pair.kind), pair.distance or 0.0))
    lines = [
        Text(f"{pair.kind:<6}  {_told(pair.distance):<5}  {printable(pair.path_a)}  {printable(pair.path_b)}")
        for pair in ordered[:SHOWN]
    ]
    if len(pairs) > SHOWN:
        lines.append(Text(f"and {len(pairs) - SHOWN:,} more"))
    return Group(lists, Text(), table, Text(), *lines)
