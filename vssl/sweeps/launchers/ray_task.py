"""What a task of Ray does: has a trial carried out by a process of its own. Imports next to nothing."""

import json
import os
import select
import subprocess
import sys
from typing import Any

LOOK_EVERY_S = 0.5
END_S = 60.0  # for a last checkpoint, once the task is cancelled


def work(folder: str, place: str, ticket: dict[str, Any]) -> str:
    """What became of the trial ("done", "failed", "busy"), or a sentence on how its process died.

    Args:
        place: working directory of the planner, which paths of the configuration may be relative to.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "vssl.sweeps.worker", folder],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=place,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    try:
        os.write(process.stdin.fileno(), json.dumps(ticket).encode() + b"\n")
        # Cancelling raises KeyboardInterrupt, which a read that blocks would not notice.
        while not select.select([process.stdout], [], [], LOOK_EVERY_S)[0]:
            pass
        line = process.stdout.readline()
        if line.endswith(b"\n"):
            return str(json.loads(line)["outcome"])
        return f"its process ended with exit code {process.wait()}"
    finally:
        process.stdin.close()  # at work it writes a checkpoint then, idle it ends
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
