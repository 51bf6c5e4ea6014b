"""What is missing from the rows: failed and unfinished runs, failed trials of sweeps with their last error."""

from pathlib import Path
from typing import TYPE_CHECKING

from vssl.report.html.markup import Content, joined, tag
from vssl.report.html.section import Section, grid
from vssl.report.html.trials import trials_of

if TYPE_CHECKING:
    from vssl.report.table import Table

HEADS = ("failed trial", "last error", "tried", "log")


def failures(table: "Table", runs: Path) -> Section:
    trials = [grid(HEADS, rows, words=(0, 1, 3))] if (rows := _failed(runs)) else []
    lines = [tag("li", line, class_="trouble") for line in table.troubles]
    parts = [*trials, *([tag("ul", *lines, class_="notes")] if lines else [])]
    nothing = tag("p", "Nothing failed, nothing is unfinished, nothing was left out.", class_="note")
    return Section("failures", "Failures", joined(*(parts or [nothing])))


def _failed(runs: Path) -> list[tuple[Content, ...]]:
    return [
        (one.name, one.error, str(one.attempts), tag("code", (one.folder / "log.txt").relative_to(runs).as_posix()))
        for one in sorted(trials_of(runs), key=lambda trial: (trial.name, str(trial.folder)))
        if one.status == "failed"
    ]
