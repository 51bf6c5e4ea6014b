"""Killed at any moment and started again: the end is that of a run that nobody disturbed, bit for bit."""

import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from tests.training.starts import start
from vssl.records.record import read_record
from vssl.training.run import BACKBONE, LAST

STEPS, PER_EPOCH = 20, 6
SETTINGS = ["backbone.drop_path=0.3", f"budget.steps={STEPS}", "optim.base_lr=0.05"]

# workers, accumulation, method, and the seed of the moments at which it dies
STORM = [
    (0, 1, "videomae", 11), (0, 2, "momentum", 12), (2, 1, "momentum", 13), (2, 2, "simsiam", 14),
]  # fmt: skip
MOMENTS = ("batch", "stepped", "row", "saving", "saved")


def deaths(accumulate: int, seed: int) -> list[tuple[str, int]]:
    """Five moments of a run that writes a checkpoint every step; counts are from the start of each process.

    Before the last step of an epoch is saved, at that end, at the end of the next epoch, in the middle of a window
    where there is one, and one anywhere.
    """
    numbers = random.Random(seed)
    at_ends = [("row", PER_EPOCH * accumulate), ("saved", 1), ("saved", PER_EPOCH)]
    return [*at_ends, ("batch", 2 if accumulate == 2 else 1), (numbers.choice(MOMENTS), numbers.randint(1, 3))]


def saved_step(run: Path) -> int:
    return int(torch.load(run / LAST, weights_only=True)["global_step"])


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("workers", "accumulate", "method", "seed"), STORM)
def test_kill_storm(tiny: list[str], workers: int, accumulate: int, method: str, seed: int) -> None:
    decoder = "pyav" if workers else "prepared"
    words = [
        "pretrain",
        *tiny,
        *SETTINGS,
        f"method={method}",
        f"train.accumulate={accumulate}",
        f"data.decoder={decoder}",
    ]
    words += [f"run.workers={workers}", "run.save_steps=1"]
    whole = start([*words, "run.name=whole"])
    assert whole.returncode == 0, whole.stderr
    saved = []
    for moment in deaths(accumulate, seed):
        killed = start([*words, "run.name=parts"], moment)
        assert killed.returncode == -9, (moment, killed.stderr)
        saved.append(saved_step(Path("runs/parts")))
    assert saved[:4] == [PER_EPOCH - 1, PER_EPOCH, 2 * PER_EPOCH, 2 * PER_EPOCH]
    parts = start([*words, "run.name=parts"])
    assert parts.returncode == 0, parts.stderr
    same_end(Path("runs/whole"), Path("runs/parts"))


@pytest.mark.parametrize("moment", [("row", 6), ("saving", 2), ("batch", 4)])
def test_two_kills_with_a_checkpoint_every_third_step(tiny: list[str], moment: tuple[str, int]) -> None:
    words = [
        "pretrain",
        *tiny,
        *SETTINGS,
        "method=momentum",
        "train.accumulate=2",
        "run.save_steps=3",
        "budget.steps=8",
    ]
    whole = start([*words, "run.name=whole"])
    assert whole.returncode == 0, whole.stderr
    for death in (moment, ("saved", 1)):
        assert start([*words, "run.name=parts"], death).returncode == -9
    assert start([*words, "run.name=parts"]).returncode == 0
    same_end(Path("runs/whole"), Path("runs/parts"), steps=8)


def same_end(whole: Path, parts: Path, steps: int = STEPS) -> None:
    first, second = (torch.load(run / LAST, weights_only=True) for run in (whole, parts))
    for key in ("global_step", "state_dict", "optimizer_states", "lr_schedulers"):
        assert equal(first[key], second[key]), f"{key} differs"
    assert first["global_step"] == steps
    total = [state["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"] for state in (first, second)]
    assert total[0] == total[1]
    curves = [pd.read_csv(run / "metrics.csv") for run in (whole, parts)]
    assert curves[1]["step"].tolist() == list(range(1, steps + 1)), "a gap or a repeat"
    timed = ["seconds", "wait_share"]
    pd.testing.assert_frame_equal(curves[0].drop(columns=timed), curves[1].drop(columns=timed), check_exact=True)
    records = [read_record(run) for run in (whole, parts)]
    assert records[0]["clips"] == records[1]["clips"]
    assert (whole / BACKBONE).read_bytes() == (parts / BACKBONE).read_bytes()
    assert not list(parts.rglob("*.tmp*")), "left behind"


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other)
