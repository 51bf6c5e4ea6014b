"""What a launcher is."""

import os
import sys
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


def own_paths() -> list[str]:
    """Where this process finds code beside what is installed: a folder of methods of one's own, for example."""
    installed = tuple({os.path.join(prefix, "") for prefix in (sys.prefix, sys.base_prefix)})
    return [path for path in sys.path if os.path.isdir(path) and not path.startswith(installed)]
