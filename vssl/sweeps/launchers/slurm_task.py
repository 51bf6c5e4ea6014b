"""What a job of Slurm does once submitit has started it. Imports next to nothing, since the worker imports it all."""

import os
import sys


def become_worker(folder: str, trial: str) -> None:
    """Replaces this process, so that signals reach the worker alone and its exit code is that of the job's step."""
    os.execv(sys.executable, [sys.executable, "-m", "vssl.sweeps.worker", folder, trial])
