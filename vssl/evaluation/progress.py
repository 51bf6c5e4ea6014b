"""Progress of a loop: a bar with the time left on a terminal, a line now and then in a log."""

import logging
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LOG_EVERY_S = 15.0

logger = logging.getLogger(__name__)

T = TypeVar("T")


def track(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Hands on `items`, of which there are `total`, and says on stderr how far they are."""
    console = Console(stderr=True)
    return _with_bar(items, total, what, console) if console.is_terminal else _with_lines(items, total, what)


def _with_bar(items: Iterable[T], total: int, what: str, console: Console) -> Iterator[T]:
    columns = (
        TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(),
        TimeRemainingColumn(compact=True), TextColumn("left"),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as progress:
        yield from progress.track(items, total=total, description=what)


def _with_lines(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    started = spoke = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - spoke >= LOG_EVERY_S and done < total:
            spoke = now
            logger.info("%s: %d of %d, %.0f s left", what, done, total, (now - started) / done * (total - done))
