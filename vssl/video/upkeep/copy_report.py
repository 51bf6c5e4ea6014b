"""What a call of `vssl data prepare` did, as a CSV file and on screen."""

import csv
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Group
from rich.text import Text

from vssl.records.atomic import atomic
from vssl.video.upkeep.check_report import SHOWN, printable
from vssl.video.upkeep.copy_all import Outcome
from vssl.video.upkeep.copy_speed import FRAMES, SPAN, STRIDE, Speed

REPORT = "prepare.csv"
COLUMNS = ("path", "copy", "verdict", "frames", "width", "height", "bytes_before", "bytes", "psnr_db", "reason")


def write_report(outcomes: Sequence[Outcome], out: Path) -> None:
    """A row a copy; names that are not UTF-8 keep their bytes. Raises WorkError."""
    with atomic(out) as temporary, temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        rows.writerows(map(_row, outcomes))


def _row(one: Outcome) -> list[str]:
    before = str(_bytes(one.job.path))
    if one.copied is None:
        assert one.failed is not None
        return [one.job.name, "", one.failed.verdict, "0", "0", "0", before, "0", "", one.failed.reason]
    made = one.copied
    numbers = [made.frames, made.width, made.height, before, made.size, f"{made.psnr_db:.2f}"]
    return [one.job.name, one.job.copy_name, "ok", *map(str, numbers), ""]


def told(outcomes: Sequence[Outcome], speed: Speed | None) -> Group:
    """Counts, sizes, quality and speed, then the first of the videos that were not copied."""
    done = [one for one in outcomes if one.copied is not None]
    failed = [one for one in outcomes if one.failed is not None]
    kept = sum(one.kept for one in done)
    lines = [f"copied {len(done) - kept:,}, there already {kept:,}, failed {len(failed):,}"]
    if done:
        before = sum({one.job.path: _bytes(one.job.path) for one in done}.values())
        after = sum(one.copied.size for one in done if one.copied)
        lines.append(f"{_amount(before)} before, {_amount(after)} after")
        quality = [one.copied.psnr_db for one in done if one.copied]
        worst = done[int(np.argmin(quality))].job.copy_name
        lines.append(f"PSNR {np.mean(quality):.1f} dB in the mean, {min(quality):.1f} dB at worst ({printable(worst)})")
    if speed is not None and speed.videos:
        clip = f"random clips of {FRAMES} frames, {STRIDE} apart, from {speed.videos} videos"
        times = f"{1000 * speed.original_s:.1f} ms before, {1000 * speed.copy_s:.1f} ms after"
        lines.append(f"{clip}: {times}, {speed.ratio:.1f} times as fast (medians)")
    elif speed is not None:
        lines.append(f"no video has the {SPAN} frames of a clip of which the speed could be told")
    bad = [
        f"{one.failed.verdict:<10}  {printable(one.job.name)}: {printable(one.failed.reason)}"
        for one in failed[:SHOWN] if one.failed
    ]  # fmt: skip
    if len(failed) > SHOWN:
        bad.append(f"and {len(failed) - SHOWN:,} more")
    return Group(*map(Text, [*lines, *(["", *bad] if bad else [])]))


def _bytes(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


def _amount(count: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.2f} GB"
