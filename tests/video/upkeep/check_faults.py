"""Stand-ins for the look at one file, which workers import: what no video file does on demand."""

import os
import signal
import time

from vssl.video.decoding.errors import Limits
from vssl.video.upkeep.check import Finding


def look(path: str, limits: Limits) -> Finding:
    """By the name of the file; the process that looked is told as the reason."""
    if path.startswith("hang"):
        time.sleep(3600)
    if path.startswith("crash"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if path.startswith("killed"):
        os.kill(os.getpid(), signal.SIGKILL)
    if path.startswith("exit"):
        os._exit(7)
    return Finding(path, "ok", reason=str(os.getpid()))
