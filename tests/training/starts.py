"""Starts `vssl` with the strangers' methods, and with a SIGKILL at a named moment: `starts.py MOMENT COUNT WORDS...`.

The moments of a training, each with its count of micro-batches or of saves: `batch` (before a micro-batch), `stepped`
(after an optimiser step, before anything is written), `row` (its row is in metrics.csv, no checkpoint yet), `saving`
(the checkpoint is written, not yet in its place), `saved`.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

STRANGERS = Path(__file__).parent / "strangers"
ROOT = Path(__file__).parents[2]
NEVER = ("never", 0)


def command(words: Sequence[str], moment: tuple[str, int] = NEVER) -> list[str]:
    return [sys.executable, __file__, moment[0], str(moment[1]), *words, "--config-dir", str(STRANGERS)]


def start(
    words: Sequence[str], moment: tuple[str, int] = NEVER, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs it to its end."""
    return subprocess.run(
        command(words, moment), env=surroundings(**environment), capture_output=True, text=True, timeout=300
    )


def surroundings(**environment: str) -> dict[str, str]:
    path = os.pathsep.join([str(STRANGERS), str(ROOT)])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **environment}


def main() -> int:
    moment, count, *words = sys.argv[1:]
    if moment != NEVER[0]:
        _arm(moment, int(count))
    from vssl.cli.main import main as vssl

    return vssl(words)


def _arm(moment: str, count: int) -> None:
    from vssl.training import callbacks

    place: tuple[Any, str] = {
        "batch": (callbacks.StepSeed, "on_train_batch_start"), "stepped": (callbacks.Meter, "on_train_batch_end"),
        "row": (callbacks.Checkpoints, "on_train_batch_end"), "saving": (os, "replace"), "saved": (os, "replace"),
    }[moment]  # fmt: skip
    owner, name = place
    former, seen = getattr(owner, name), [0]

    def counted(*args: Any, **kwargs: Any) -> Any:
        of_interest = owner is not os or str(args[1]).endswith("last.ckpt")
        seen[0] += of_interest
        if of_interest and seen[0] == count and moment != "saved":
            os.kill(os.getpid(), signal.SIGKILL)
        result = former(*args, **kwargs)
        if of_interest and seen[0] == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, counted)


if __name__ == "__main__":
    sys.exit(main())
