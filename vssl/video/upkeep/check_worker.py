"""The process in which files are decoded, so that one that hangs or crashes the decoder takes nothing else with it.

Started by `pool` as `python -P -m vssl.video.upkeep.check_worker DESCRIPTOR`; it ends when the other end of that pipe
is closed, so that it does not outlive its parent.
"""

import os
import resource
import signal
import sys
from contextlib import suppress
from multiprocessing.connection import Connection

# FFmpeg, numpy and PyAV are loaded here, before the bound on memory is set: it is for what a file takes beyond them.
from vssl.video.upkeep import check  # noqa: F401

READY = None  # the first message; the others are results


def main() -> None:
    with Connection(int(sys.argv[1])) as parent, suppress(EOFError, BrokenPipeError):
        limits, work, alarm_s, memory_bytes = parent.recv()
        _bound_memory(memory_bytes)
        parent.send(READY)
        while True:
            task = parent.recv()
            signal.setitimer(signal.ITIMER_REAL, alarm_s)  # its default action ends the process, whatever it is in
            result = work(task, limits)
            signal.setitimer(signal.ITIMER_REAL, 0)
            parent.send(result)


def _bound_memory(more_bytes: int) -> None:
    """Address space, since FFmpeg's allocations show up there at once; the resident size could only be watched."""
    with open("/proc/self/statm", encoding="ascii") as file:
        taken = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    most = taken + more_bytes
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash is told in the list; its image helps nobody


if __name__ == "__main__":
    main()
