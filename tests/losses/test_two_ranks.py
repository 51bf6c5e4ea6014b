"""Two processes of 3 clips against one of 6, value and gradient: losses on CPUs, whole methods on a GPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.losses import two_ranks

ROOT = Path(__file__).parents[2]


def _both(folder: Path, device: str) -> list[two_ranks.Found]:
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen(
            [sys.executable, two_ranks.__file__, str(rank), str(folder), device],
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


@pytest.fixture(scope="module")
def on_cpus(tmp_path_factory: pytest.TempPathFactory) -> list[two_ranks.Found]:
    return _both(tmp_path_factory.mktemp("ranks"), "cpu")


@pytest.fixture(scope="module")
def on_gpus(tmp_path_factory: pytest.TempPathFactory) -> list[two_ranks.Found]:
    return _both(tmp_path_factory.mktemp("ranks"), "cuda")


def _assert_one_process(both: list[two_ranks.Found], name: str, rtol: float) -> None:
    case = two_ranks.cases("cuda")[name]
    whole = two_ranks.find(case, slice(None), "cpu", lambda x: x)
    half = two_ranks.find(case, slice(0, two_ranks.CLIPS), "cpu", lambda x: x)
    assert (half["loss"] - whole["loss"]).abs() > 1e-3  # the clips of one rank alone are another loss
    for rank in both:
        assert rank[name].keys() == whole.keys() and len(whole) > 1
        for part, expected in whole.items():
            torch.testing.assert_close(rank[name][part], expected, rtol=rtol, atol=1e-12, msg=f"{name}: {part}")


@pytest.mark.parametrize("name", list(two_ranks.LOSSES))
def test_two_ranks_are_one_process_with_all_clips(on_cpus: list[two_ranks.Found], name: str) -> None:
    _assert_one_process(on_cpus, name, rtol=1e-10)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: SyncBatchNorm raises on CPUs")
@pytest.mark.parametrize("name", list(two_ranks.cases("cuda")))
def test_batch_norm_over_ranks_makes_two_of_them_one_process(on_gpus: list[two_ranks.Found], name: str) -> None:
    _assert_one_process(on_gpus, name, rtol=1e-8)
