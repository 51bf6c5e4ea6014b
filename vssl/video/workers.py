"""What a loader worker does first: it ends with its main process, and never by a signal that was meant for that one."""

import os
import select
import signal
import threading
import time
from collections.abc import Callable
from functools import partial

import torch

POLL_S = 5.0


def worker_start() -> Callable[[int], None]:
    """`worker_init_fn` for a DataLoader of this process."""
    return partial(_start, os.getpid())


def _start(main: int, _: int) -> None:
    # A signal to the process group must end the run through its main process, not kill its workers one by one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    torch.set_num_threads(1)
    threading.Thread(target=_end_with, args=(main,), daemon=True).start()


def _end_with(main: int) -> None:
    """Workers are children of a fork server, which lives as long as they do: torch's own check never sees that the main
    process was killed, and both would stay for ever."""
    try:
        select.select([os.pidfd_open(main)], [], [])
    except ProcessLookupError:
        pass
    except OSError:  # kernels before 5.3
        while _is_alive(main):
            time.sleep(POLL_S)
    os._exit(1)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
