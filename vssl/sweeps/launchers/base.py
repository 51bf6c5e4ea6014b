"""What a launcher is."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from vssl.sweeps.queue import Queue


class Launcher(ABC):
    """Has the trials of a queue carried out; what became of them stands in their own files.

    The constructor's signature is what `launcher.*` takes. Nothing of it is in a hash: it decides where and how fast.
    """

    @abstractmethod
    def check(self, needed: int) -> None:
        """Raises UserError where it cannot work here; nothing was started.

        Args:
            needed: devices that a trial trains on (`run.devices`), the most of any trial.
        """

    @abstractmethod
    def run(self, folder: Path, queue: Queue, watch: Callable[[], None]) -> None:
        """Takes trials from `queue` until it is empty, and reports what became of each.

        Args:
            folder: of the sweep.
            watch: to be called about once a second.
        Raises:
            KeyboardInterrupt, SystemExit: passed on, once what was started here has ended.
        """
