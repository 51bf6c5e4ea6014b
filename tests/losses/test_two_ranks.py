"""Losses over the clips of all ranks: two processes of 3 clips against one of 6, value and gradient."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.losses import two_ranks

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[two_ranks.Found]:
    folder = tmp_path_factory.mktemp("ranks")
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen(
            [sys.executable, two_ranks.__file__, str(rank), str(folder)],
            stderr=subprocess.PIPE, text=True, env=surroundings,
        )
        for rank in range(two_ranks.RANKS)
    ]  # fmt: skip
    try:
        errors = [rank.communicate(timeout=120)[1] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert [rank.returncode for rank in ranks] == [0, 0], errors
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(two_ranks.RANKS)]


@pytest.mark.parametrize("name", list(two_ranks.LOSSES))
def test_two_ranks_are_one_process_with_all_clips(both: list[two_ranks.Found], name: str) -> None:
    whole = two_ranks.find(slice(None), lambda x: x)[name]
    for rank in both:
        torch.testing.assert_close(rank[name]["loss"], whole["loss"], rtol=1e-12, atol=0)
        torch.testing.assert_close(rank[name]["gradient"], whole["gradient"], rtol=1e-10, atol=1e-14)
    half = two_ranks.find(slice(0, two_ranks.CLIPS), lambda x: x)[name]
    assert (half["loss"] - whole["loss"]).abs() > 0.1  # negatives of one rank alone are another loss
