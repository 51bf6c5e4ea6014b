"""Ranks that a scheduler starts: here by hand, with what srun sets for two nodes of a device each."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from vssl.config.errors import UserError, WorkError
from vssl.records.record import read_record
from vssl.sweeps.plan import plan
from vssl.sweeps.run import sweep
from vssl.sweeps.state import PlanState
from vssl.training import meeting
from vssl.training.meeting import Meeting, Seat, seat
from vssl.training.settings import Run


def environment(rank: int, port: int) -> dict[str, str]:
    return {
        "VSSL_MEET": f"127.0.0.1:{port}", "VSSL_MEET_KEY": "secret", "SLURM_PROCID": str(rank), "SLURM_NTASKS": "2",
        "SLURM_LOCALID": "0", "SLURM_NODEID": str(rank), "SLURM_JOB_NUM_NODES": "2",
    }  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_seat_is_what_srun_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert seat(environment(1, 7)) == Seat(1, 2, 0, 1, 2, "127.0.0.1", 7, "secret")
    assert seat({}) is None
    assert seat({**environment(0, 7), "SLURM_NTASKS": "1"}) is None
    broken = {key: value for key, value in environment(1, 7).items() if key != "SLURM_NODEID"}
    with pytest.raises(UserError, match="'SLURM_NODEID' is missing"):
        seat(broken)
    assert Run().thread_count(10**6) == 1
    for key, value in environment(0, 7).items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr("vssl.training.settings.cores", lambda: 5)
    assert Run().thread_count(2) == 4  # the other rank has cores of its own
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    assert Run(devices=8).device_count("ddp") == Run().device_count("ddp") == 8


def test_strangers_are_not_let_in_and_ranks_that_do_not_come_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "MEET_S", 1.0)
    here = seat(environment(0, free_port()))
    assert here is not None
    held = Meeting(here)
    try:
        with socket.create_connection(("127.0.0.1", here.port)) as stranger:
            stranger.sendall(b'{"rank": 1, "key": "guessed"}\n')
            with pytest.raises(WorkError, match=r"ranks \[1\] of 2 did not come within 1 s"):
                held.ranks()
            assert stranger.recv(10) == b""
        with pytest.raises(WorkError, match=f"port {here.port}, where ranks meet, cannot be used"):
            Meeting(here)
    finally:
        held.close()


TRAIN = ["method=videomae", "run.devices=2", "train.strategy=ddp", "run.device=cpu", "eval=knn", "eval.label=motion",
         "run.workers=0"]  # fmt: skip


def workers(folder: Path, trial: str) -> "list[subprocess.Popen[bytes]]":
    """Both ranks, as srun starts them."""
    port = free_port()
    return [
        subprocess.Popen(
            [sys.executable, "-m", "vssl.sweeps.worker", str(folder), trial],
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment(rank, port)},
        )
        for rank in range(2)
    ]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_nodes_train_as_two_ranks_of_one_machine_do(tiny: list[str]) -> None:
    words = [*tiny, *TRAIN, "seed=0,0", "sweep.name=here"]
    assert sweep("sweep", None, [*words, "launcher.jobs=0"], {}) == 0
    todo = plan("sweep", None, [*words[:-1], "sweep.name=there"], {})
    state = PlanState(todo.folder)
    state.add(todo.trials[0])
    assert [rank.wait(120) for rank in workers(todo.folder, todo.trials[0].id)] == [0, 0]
    known = state.read(todo.trials[0].id)
    assert known.status == "done" and known.run is not None
    runs = [Path("runs/sweep") / name / known.run for name in ("here", "there")]
    here, there = (load_file(run / "checkpoints/backbone.safetensors") for run in runs)
    assert all(torch.equal(here[name], there[name]) for name in here)
    records = [read_record(run) for run in runs]
    assert records[0]["clips"] == records[1]["clips"]
    assert records[1]["environment"]["world_size"] == 2


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_signal_to_all_nodes_leaves_a_checkpoint_and_a_rank_that_dies_ends_the_others(tiny: list[str]) -> None:
    todo = plan("sweep", None, [*tiny, *TRAIN, "seed=0,0", "budget.steps=2000", "run.save_steps=100000"], {})
    state, (trial,) = PlanState(todo.folder), [one.id for one in todo.trials]
    state.add(todo.trials[0])
    ranks = workers(todo.folder, trial)
    folder = trained(todo.folder, ranks, rows=5)
    for rank in ranks:
        rank.send_signal(signal.SIGTERM)
    assert [rank.wait(60) for rank in ranks] == [143, 0]
    saved = len(pd.read_csv(folder / "metrics.csv"))
    assert (folder / "checkpoints/last.ckpt").exists() and state.seen(trial).status == "interrupted"
    ranks = workers(todo.folder, trial)
    trained(todo.folder, ranks, rows=saved + 5)
    assert pd.read_csv(folder / "metrics.csv")["step"].is_monotonic_increasing
    ranks[1].kill()
    assert ranks[0].wait(60) == 1
    assert "rank 1 of 2 ended with exit code 1" in (state.read(trial).error or "")


def trained(sweep_folder: Path, ranks: "list[subprocess.Popen[bytes]]", rows: int) -> Path:
    """Waits until the training has written so many rows; its folder."""
    while all(rank.poll() is None for rank in ranks):
        for curve in sweep_folder.glob("*/metrics.csv"):
            if len(curve.read_text().splitlines()) > rows:
                return curve.parent
        time.sleep(0.05)
    raise AssertionError([rank.returncode for rank in ranks])
