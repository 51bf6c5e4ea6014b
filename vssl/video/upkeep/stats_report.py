"""What lists of videos are made of, as a CSV file and on screen."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from vssl.records.atomic import atomic
from vssl.video.upkeep.check_report import SHOWN, printable
from vssl.video.upkeep.stats import QUANTILES, Found, Stats, quantiles, rows_of
from vssl.video.upkeep.video_set import VideoSet

COLUMNS = ("list", "path", "label", "frames", "fps", "duration_s", "width", "height", "reason")
SIZES = 6  # frame sizes on screen


def write_stats(sets: Sequence[VideoSet], found: Found, out: Path) -> None:
    """A row a video; names that are not UTF-8 keep their bytes. Raises WorkError."""
    with atomic(out) as temporary, temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for part in sets:
            for video, facts, reason in rows_of(part.videos, found):
                numbers = ["", "", "", "", ""]
                if facts is not None:
                    rates = [_number(facts.fps), _number(facts.duration_s)]
                    numbers = [str(facts.frames), *rates, str(facts.width), str(facts.height)]
                rows.writerow([part.name, video.name, video.label, *numbers, reason])


def told(parts: Sequence[Stats]) -> Group:
    """A row a list, then its values' spread, the sizes of frames, and the first videos that cannot be read."""
    heads = ("list", "videos", "classes", "largest", "smallest", "hours", "cannot be read")
    counts = Table(*heads, box=None, pad_edge=False)
    spread = Table("list", "", *_heads(), box=None, pad_edge=False)
    for table in (counts, spread):
        for column in table.columns[1 if table is counts else 2 :]:
            column.justify = "right"
    for one in parts:
        classes = list(one.classes.values()) or [0]
        hours = float(np.nansum(one.duration_s)) / 3600
        counts.add_row(
            Text(printable(one.name)), f"{one.videos:,}", f"{len(one.classes):,}", f"{max(classes):,}",
            f"{min(classes):,}", f"{hours:.3g}", f"{len(one.unread):,}",
        )  # fmt: skip
        for name, values in (("seconds", one.duration_s), ("frames", one.frames), ("fps", one.fps)):
            first = Text(printable(one.name) if name == "seconds" else "")
            spread.add_row(first, name, *(_number(value) for value in quantiles(values)))
    sizes: dict[tuple[int, int], int] = {}
    for one in parts:
        for size, count in one.sizes.items():
            sizes[size] = sizes.get(size, 0) + count
    ordered = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    told_sizes = ", ".join(f"{width}x{height} ({count:,})" for (width, height), count in ordered[:SIZES])
    more = f", and {len(ordered) - SIZES:,} more" if len(ordered) > SIZES else ""
    lines = [Text(f"frame sizes: {told_sizes or 'none'}{more}")]
    unread = [pair for one in parts for pair in one.unread]
    if unread:
        lines += [Text(), *(Text(f"{printable(name)}: {printable(why)}") for name, why in unread[:SHOWN])]
    if len(unread) > SHOWN:
        lines.append(Text(f"and {len(unread) - SHOWN:,} more"))
    return Group(counts, Text(), spread, Text(), *lines)


def _heads() -> list[str]:
    names = {0: "least", 50: "median", 100: "most"}
    return [names.get(share, f"{share} %") for share in QUANTILES]


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"
