"""Whole loaders, as `benchmarks/data.py` measures them: clips a second, memory over many clips, waiting in a training.

The run's own loader reads a folder of videos with the views and the batches of a training, in worker processes. Memory
is what this process and its workers have of their own, pages that they share counted in parts (PSS).
"""

import contextlib
import csv
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import vssl
from vssl.cli.main import main as vssl_command

BATCH = 8
COLUMNS = ("samples", "seconds", "wait_share")


@dataclass(frozen=True)
class Flow:
    """What a loader gave.

    Args:
        clips_a_second: after the first batches, in which workers start.
        megabytes: own memory of this process and its workers, 10^6 bytes, at some numbers of clips.
    """

    clips_a_second: float
    megabytes: dict[int, float]


@dataclass(frozen=True)
class Waiting:
    """A training, without its first steps: clips a second, and the share of the time spent waiting for clips."""

    clips_a_second: float
    wait_share: float


def words_for(folder: Path, workers: int, size: int, steps: int) -> list[str]:
    return [
        "data=video_list", f"data.root={folder}", "method=videomae", "backbone=vit_small", f"clip.size={size}",
        f"train.batch_size={BATCH}", f"budget.steps={steps}", f"run.workers={workers}",
    ]  # fmt: skip


def flow(folder: Path, workers: int, clips: int, size: int, seen_at: tuple[float, ...] = (0.1, 0.5, 1.0)) -> Flow:
    """Reads `clips` clips with no training behind. Videos lie directly in `folder` and are read over and over.

    Args:
        seen_at: when memory is looked at, as shares of all clips.
    """
    steps = clips // BATCH
    built = vssl.build(words_for(folder, workers, size, steps))
    marks = {max(2, int(share * steps)) for share in seen_at}
    megabytes, begun = {}, 0.0
    warm_up = max(1, min(2 * workers, steps // 2))
    for step, _ in enumerate(built.datamodule.train_dataloader(), 1):
        if step == warm_up:
            begun = time.perf_counter()
        if step in marks:
            megabytes[step * BATCH] = sum(map(own_memory, family())) / 1e6
        if step == steps:
            break
    return Flow((steps - warm_up) * BATCH / (time.perf_counter() - begun), megabytes)


def family() -> Iterator[int]:
    """This process and all that descend from it."""
    pending = [os.getpid()]
    while pending:
        yield (process := pending.pop())
        with contextlib.suppress(OSError):  # it has ended
            for thread in Path(f"/proc/{process}/task").iterdir():
                pending += map(int, (thread / "children").read_text().split())


def own_memory(process: int) -> int:
    """Bytes, each shared page counted by how many share it; 0 for a process that has ended."""
    try:
        rows = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(row.split()[1]) for row in rows if row.startswith("Pss:")), 0)


def waiting(folder: Path, workers: int, size: int, steps: int, words: tuple[str, ...] = ()) -> Waiting:
    """A pretraining by `vssl pretrain`, read from its curve without the first quarter, in which all starts."""
    with tempfile.TemporaryDirectory() as out, open(os.devnull, "w") as nowhere:
        command = ["pretrain", *words_for(folder, workers, size, steps), f"run.out={out}", "run.name=run", *words]
        with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            code = vssl_command(command)
        if code:
            raise RuntimeError(f"vssl {' '.join(command)} ended with {code}")
        with (Path(out) / "run" / "metrics.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
    rows = rows[len(rows) // 4 :]
    samples, seconds, share = (np.array([float(row[key]) for row in rows]) for key in COLUMNS)
    spent, waited = np.ptp(seconds), np.ptp(seconds * share)
    return Waiting(float(np.ptp(samples) / spent), float(waited / spent))


def cores() -> int:
    return len(os.sched_getaffinity(0))


def device() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"{cores()} cores"
