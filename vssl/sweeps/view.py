"""A sweep while it runs: live on a terminal, in a log a line whenever a trial begins or ends."""

import datetime
import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from vssl.sweeps.progress import Seen, Watched, counts, left_s

LOOK_EVERY_S = 1.0
SAY_EVERY_S = 60.0
ROWS = 20
ORDER = ("running", "interrupted", "failed", "waiting", "stopped", "trained", "done")
STYLES = {
    "running": "bold", "failed": "red", "done": "green", "trained": "green", "stopped": "green",
    "interrupted": "yellow", "waiting": "dim",
}  # fmt: skip


class View:
    """Shows the trials of `watched` while the `with` block runs; `look` is called about once a second."""

    def __init__(self, title: str, watched: Watched, console: Console) -> None:
        self.title, self.watched, self.console = title, watched, console
        self._live: Live | None = None
        self._told: dict[str, str] = {}
        self._looked = self._spoke = 0.0

    def __enter__(self) -> "View":
        self._told = {one.trial: one.state.told for one in self.watched.look()}
        if self.console.is_terminal:
            self._live = Live(console=self.console, transient=True, auto_refresh=False)
            self._live.start()
        self._spoke = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
        self._say_changes(self.watched.look())

    def look(self) -> None:
        if time.monotonic() - self._looked < LOOK_EVERY_S:
            return
        seen = self.watched.look()
        self._say_changes(seen)
        if self._live is not None:
            self._live.update(shown(self.title, seen), refresh=True)
        elif time.monotonic() - self._spoke >= SAY_EVERY_S:
            self._spoke = time.monotonic()
            self._print(f"{self.title}: {summary(seen)}")
        self._looked = time.monotonic()

    def _say_changes(self, seen: Sequence[Seen]) -> None:
        for place, one in enumerate(seen, 1):
            status = one.state.told
            if status == self._told.get(one.trial) or status in ("waiting", "interrupted"):
                continue
            self._told[one.trial] = status
            told = f": {one.state.error}" if status == "failed" else ""
            self._print(f"{self.title}: {place} of {len(seen)}: {one.name}: {one.state.said}{told}")

    def _print(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True, markup=False)


def shown(title: str, seen: Sequence[Seen], rows: int | None = ROWS) -> RenderableType:
    """A line of counts, then a table: running trials first, with their progress."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("trial", "status", "", "steps", "left", "last error"):
        table.add_column(column, overflow="fold" if column in ("trial", "last error") else "ellipsis")
    ordered = sorted(seen, key=lambda one: ORDER.index(one.state.told))
    for one in ordered[:rows]:
        table.add_row(*_cells(one))
    parts: list[RenderableType] = [Text(f"{title}: {summary(seen)}"), table]
    if rows is not None and len(ordered) > rows:
        parts.append(Text(f"and {len(ordered) - rows} more", style="dim"))
    return Group(*parts)


def _cells(one: Seen) -> list[RenderableType]:
    status, progress = one.state.told, one.progress
    bar: RenderableType = ""
    if progress and progress.total:
        bar = ProgressBar(total=progress.total, completed=progress.step, width=16)
    steps = f"{progress.step}/{progress.total or '?'}" if progress else ""
    left = _duration(progress.left_s) if progress and status == "running" else ""
    return [Text(one.name), Text(one.state.said, STYLES[status]), bar, steps, left, Text(one.state.error or "", "red")]


def summary(seen: Sequence[Seen]) -> str:
    """`12 trials: 3 done, 1 failed, 2 running, 6 waiting; about 4 min left`."""
    found = counts(seen)
    told = [f"{found[status]} {status}" for status in reversed(ORDER) if found[status]]
    left = left_s(seen)
    ending = f"; about {_duration(left)} left" if left is not None and found["running"] else ""
    return f"{len(seen)} trial{'s' if len(seen) != 1 else ''}: {', '.join(told) or 'none'}{ending}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.0f} s" if seconds < 120 else str(datetime.timedelta(seconds=round(seconds)))
