"""What a check found, as a CSV file and on screen."""

import csv
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Group
from rich.table import Table
from rich.text import Text

from vssl.records.atomic import atomic
from vssl.video.upkeep.check import VERDICTS, Finding

COLUMNS = ("path", "verdict", "frames", "width", "height", "fps", "duration_s", "reason")
SHOWN = 20  # bad files on screen


def write_findings(findings: Sequence[Finding], out: Path) -> None:
    """UTF-8, but for names that are not: these keep their bytes. Raises WorkError."""
    # surrogateescape: by it Python carries such names, and with it they are read back.
    with atomic(out) as temporary, temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        rows.writerows(map(_row, findings))


def _row(finding: Finding) -> list[str]:
    size = (finding.frames, finding.width, finding.height)
    numbers = ["" if math.isnan(value) else f"{value:.6g}" for value in (finding.fps, finding.duration_s)]
    return [finding.path, finding.verdict, *map(str, size), *numbers, finding.reason]


def summary(findings: Sequence[Finding]) -> Group:
    """Counts by verdict, and the first of the bad files with their reasons."""
    counts: Counter[str] = Counter(finding.verdict for finding in findings)
    table = Table("verdict", "files", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    for verdict in VERDICTS:
        if counts[verdict]:
            table.add_row(verdict, f"{counts[verdict]:,}")
    table.add_row("in all", f"{len(findings):,}")
    bad = [finding for finding in findings if finding.verdict != "ok"]
    lines = [Text(f"{one.verdict:<10}  {printable(one.path)}: {printable(one.reason)}") for one in bad[:SHOWN]]
    if len(bad) > SHOWN:
        lines.append(Text(f"and {len(bad) - SHOWN:,} more"))
    return Group(table, *([Text(), *lines] if bad else []))


def printable(text: str) -> str:
    """The text in one line, without what would command a terminal or cannot be encoded."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
