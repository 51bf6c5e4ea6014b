"""Sweeps carried out by processes of their own: shared trainings, failures, retries, deaths, a status for all of it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.processes import gone
from vssl.config.errors import UserError
from vssl.records.record import find_records, read_record
from vssl.sweeps.plan import plan
from vssl.sweeps.progress import progress_of
from vssl.sweeps.queue import Queue
from vssl.sweeps.run import sweep
from vssl.sweeps.state import PlanState, TrialState
from vssl.sweeps.upkeep import clean, removable, status

SMALL = ["backbone=vit_nano", "backbone.patch_size=8", "backbone.depth=1", "scale=smoke", "run.workers=0", "eval=knn"]
HERE = [*SMALL, "launcher.jobs=0", "eval.label=motion"]
DIVERGES = ["method=simsiam", "optim=sgd", "optim.base_lr=1e-3,1e30"]


def states(folder: Path) -> dict[str, TrialState]:
    state = PlanState(folder)
    return {state.work(trial).name: state.read(trial) for trial in state.ids()}


@pytest.mark.usefixtures("tiny")
def test_trials_that_share_a_training_train_once(capsys: pytest.CaptureFixture[str]) -> None:
    words = [*HERE, "method=simsiam", "eval.knn.temperature=0.05,0.2", "sweep.name=shared"]
    assert sweep("sweep", None, words, {}) == 0
    folder = Path("runs/sweep/shared")
    records = [read_record(path) for path in find_records(folder)]
    assert [record["kind"] for record in records].count("pretrain") == 1
    assert [record["kind"] for record in records].count("evaluate") == 2
    assert {state.status for state in states(folder).values()} == {"done"}
    assert capsys.readouterr().err.count("finished 4 steps") == 1


@pytest.mark.usefixtures("tiny")
def test_a_failed_trial_is_retried_as_told_and_left_when_told(capsys: pytest.CaptureFixture[str]) -> None:
    words = [*HERE, *DIVERGES, "sweep.name=rates"]
    assert sweep("sweep", None, [*words, "sweep.retries=2"], {}) == 1
    good, bad = (states(Path("runs/sweep/rates"))[f"simsiam, vit_nano, optim.base_lr={rate}, seed 0"]
                 for rate in ("0.001", "1e+30"))  # fmt: skip
    assert (good.status, good.attempts) == ("done", 1)
    assert (bad.status, bad.attempts) == ("failed", 3)
    assert bad.error is not None and "is nan at step" in bad.error
    shown = capsys.readouterr()
    assert "is nan at step" in shown.out  # the table lists it
    assert sweep("sweep", None, [*words, "sweep.failed=leave"], {}) == 1
    assert capsys.readouterr().out == shown.out
    assert states(Path("runs/sweep/rates")) == {
        f"simsiam, vit_nano, optim.base_lr={rate}, seed 0": state for rate, state in (("0.001", good), ("1e+30", bad))
    }


def started(words: list[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "vssl", "sweep", *words],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def running(folder: Path, process: "subprocess.Popen[bytes]") -> dict[str, TrialState]:
    """Waits until a training writes its curve; the trials that run then, by their id."""
    while process.poll() is None:
        found = {path.name: PlanState(folder).read(path.name) for path in folder.glob("trials/*")}
        at_work = {trial: one for trial, one in found.items() if one.status == "running" and one.run}
        if at_work and all(progress_of(folder / one.run) for one in at_work.values() if one.run):
            return at_work
        time.sleep(0.05)
    raise AssertionError(process.communicate()[1].decode())


@pytest.mark.usefixtures("tiny")
def test_a_process_that_is_killed_costs_one_try_and_ctrl_c_costs_nothing() -> None:
    words = [*SMALL, "method=simsiam", "seed=0,1", "budget.steps=400", "run.save_steps=5", "launcher.jobs=2",
             "run.threads=1", "sweep.name=killed"]  # fmt: skip
    folder = Path("runs/sweep/killed")
    planner = started([*words, "sweep.retries=0"])
    victims = running(folder, planner)
    pids = {trial: int((one.where or "").rpartition(":")[2]) for trial, one in victims.items()}
    victim, *others = pids
    os.kill(pids[victim], signal.SIGKILL)
    assert gone([pids[victim]])
    deadline = time.monotonic() + 30
    while (state := PlanState(folder).read(victim)).status == "running" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert state.status == "failed" and "killed by SIGKILL" in (state.error or "")
    planner.send_signal(signal.SIGINT)
    assert planner.wait(60) == 130
    assert gone(list(pids.values()))
    for other in others:
        seen = PlanState(folder).seen(other)
        assert (seen.status, seen.attempts) == ("interrupted", 1)
        assert seen.run is not None and (folder / seen.run / "checkpoints/last.ckpt").exists()
    assert status(folder) == 0


@pytest.mark.usefixtures("tiny")
def test_a_process_that_never_comes_to_its_trial_leaves_its_last_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho ImportError: no such thing >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    words = [*SMALL, "launcher.jobs=1", "eval.label=motion", "method=simsiam", "seed=0,1", "sweep.name=broken"]
    assert sweep("sweep", None, words, {}) == 1
    told = {state.error for state in states(Path("runs/sweep/broken")).values()}
    assert told == {"its process ended with exit code 3: ImportError: no such thing"}


def test_the_queue_hands_out_each_trial_once_and_brings_failures_back(tmp_path: Path) -> None:
    state = PlanState(tmp_path)
    queue = Queue(state, ["a", "b", "c"], retries=1)
    first, second, third = (queue.take() for _ in range(3))
    assert first is not None and second is not None and third is not None
    assert [one.trial for one in (first, second, third)] == ["a", "b", "c"] and queue.take() is None
    queue.ended("a", "done")
    state.begin("b")
    queue.died("b", "its process was killed by SIGKILL")
    assert state.read("b").error == "its process was killed by SIGKILL"
    again = queue.take()
    assert again is not None and (again.trial, again.attempts) == ("b", 1)
    queue.ended("b", "failed")
    assert queue.failed == {"b"} and queue
    queue.ended("c", "busy")  # another planner has it
    while (late := queue.take()) is None:
        time.sleep(0.01)
    assert (late.trial, late.attempts) == ("c", -1)
    queue.ended("c", "done")
    assert not queue


def test_a_state_that_is_not_whole_is_none_and_one_of_a_newer_vssl_is_not_touched(tmp_path: Path) -> None:
    state = PlanState(tmp_path)
    (trial,) = plan("sweep", None, ["method=simsiam", "seed=3,3"], {}).trials
    state.add(trial)
    work = state.work(trial.id)
    assert (work.name, work.words[-1]) == (trial.name, "method=simsiam")
    file = state.folder / trial.id / "trial.json"
    for text in ("", '{"status": "do', "[]", '{"status": "done", "unknown": 1}'):
        file.write_text(text)
        assert state.read(trial.id) == TrialState()
    kept = state.folder / trial.id / "plan.json"
    kept.write_text(kept.read_text()[:100])
    with pytest.raises(UserError, match="no whole plan"):
        state.work(trial.id)
    state.add(trial)
    assert state.work(trial.id) == work
    newer: dict[str, Any] = {**json.loads(kept.read_text()), "schema": 99}
    kept.write_text(json.dumps(newer))
    with pytest.raises(UserError, match="written by a newer vssl"):
        state.add(trial)
    assert json.loads(kept.read_text()) == newer


@pytest.mark.usefixtures("tiny")
def test_clean_removes_checkpoints_of_finished_runs_after_showing_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sweep("sweep", None, [*HERE, "method=simsiam", "seed=0,1", "sweep.name=full"], {}) == 0
    folder = Path("runs/sweep/full")
    first, second = sorted(path.parent for path in folder.glob("*/config.yaml"))
    unfinished = read_record(second)
    (second / "record.json").write_text(json.dumps({**unfinished, "status": "running"}))
    (first / ".record.1-0123abcd.tmp.json").write_text("{")
    before = set(folder.rglob("*"))
    found = {one.path for one in removable(folder)}
    assert found == {first / ".record.1-0123abcd.tmp.json", first / "checkpoints/last.ckpt"}
    capsys.readouterr()
    monkeypatch.setattr("sys.stdin", open(os.devnull))  # noqa: SIM115
    assert clean(folder, sure=False) == 0
    told = capsys.readouterr().out.replace("\n", "")
    assert "checkpoints/last.ckpt" in told and "nothing was removed" in told
    assert set(folder.rglob("*")) == before
    assert clean(folder, sure=True) == 0
    assert before - set(folder.rglob("*")) == found
    (second / "record.json").write_text(json.dumps(unfinished))
    assert sweep("sweep", None, [*HERE, "method=simsiam", "seed=0,1", "sweep.name=full"], {}) == 0
    assert "2 of 2 trials were there already" in capsys.readouterr().err
