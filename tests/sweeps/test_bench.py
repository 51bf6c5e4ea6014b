"""A bench that is killed, goes wrong in one trial, and is started again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from vssl.records.record import find_records, read_record
from vssl.sweeps.run import sweep

WORDS = ["launcher.jobs=0", "scale=smoke", "backbone.depth=1", "run.threads=1", "run.workers=0", "eval=knn"]
FOLDER = Path("runs/bench/quick")


def stamps() -> dict[Path, int]:
    kept = [path for path in FOLDER.rglob("*") if path.name in ("record.json", "backbone.safetensors", "metrics.csv")]
    return {path: path.stat().st_mtime_ns for path in kept}


@pytest.mark.usefixtures("tiny")
def test_a_second_start_makes_nothing_again_and_prints_the_same_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep("bench", "quick", WORDS, {}) == 0
    first, made = capsys.readouterr().out, stamps()
    assert sweep("bench", "quick", WORDS, {}) == 0
    assert capsys.readouterr().out == first
    assert stamps() == made
    for ending in ("md", "csv", "tex", "png"):
        assert (FOLDER / f"table.{ending}").stat().st_size > 0
    for method in ("videomae", "simsiam", "supervised on motion", "random", "mean_frame"):
        assert method in first
    assert "minutes a method show the path, not a ranking" in first


@pytest.mark.usefixtures("tiny")
def test_a_trial_that_fails_is_listed_and_the_others_are_finished(capsys: pytest.CaptureFixture[str]) -> None:
    # A learning rate at which fp32 overflows, for one of the two methods only.
    code = sweep("bench", "quick", [*WORDS, "method=simsiam,supervised", "optim=sgd", "optim.base_lr=1e30"], {})
    assert code == 1
    assert "is nan at step" in capsys.readouterr().out
    statuses = {read_record(path).get("status") for path in find_records(FOLDER)}
    assert statuses == {"done", "failed"}  # the baselines are done


@pytest.mark.usefixtures("tiny")
def test_a_protocol_that_cannot_read_a_baseline_is_left_out_there(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["method=simsiam", "eval=knn,attentive", "eval.attentive.lrs=[1e-3]", "eval.attentive.epochs=1"]
    assert sweep("bench", "quick", [*WORDS[:-1], *words, "eval.label=motion"], {}) == 0
    shown = capsys.readouterr()
    assert "mean_frame: left out: attentive: MeanFrame gives one summary a clip" in shown.err
    kept = [(record["identity"]["encoder"]["name"], record["identity"]["protocol"]) for record in evaluations()]
    assert ("mean_frame", "knn") in kept and ("mean_frame", "attentive") not in kept
    assert ("random", "attentive") in kept


def evaluations() -> list[dict[str, Any]]:
    records = [read_record(path) for path in find_records(FOLDER)]
    return [record for record in records if record["kind"] == "evaluate"]


@pytest.mark.usefixtures("tiny")
def test_killed_in_the_middle_it_finishes_what_is_missing() -> None:
    command = [sys.executable, "-m", "vssl", "bench", "quick", *WORDS[1:], "budget.steps=60", "run.save_steps=5"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    checkpoint: list[Path] = []
    deadline = time.monotonic() + 120
    while not checkpoint and time.monotonic() < deadline and process.poll() is None:
        checkpoint = list(FOLDER.glob("simsiam*/checkpoints/last.ckpt"))
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert checkpoint, "the second trial never wrote a checkpoint"
    finished = {path: stamp for path, stamp in stamps().items() if "videomae" in str(path)}
    assert not list(FOLDER.glob("simsiam*/checkpoints/backbone.safetensors"))

    assert sweep("bench", "quick", [*WORDS, "budget.steps=60", "run.save_steps=5"], {}) == 0
    assert {path: stamps()[path] for path in finished} == finished  # nothing of the finished trial was made again
    (run,) = FOLDER.glob("simsiam*")
    assert pd.read_csv(run / "metrics.csv")["step"].tolist() == list(range(1, 61))
    assert read_record(run)["status"] == "done"
