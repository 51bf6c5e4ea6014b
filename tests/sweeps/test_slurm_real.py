"""Sweeps on a Slurm of one node (`.ci/slurm.sh start`): planners killed, jobs told to end, put back, cancelled."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from vssl.sweeps.state import PlanState

STEPS = 400
WORDS = [
    "method=simsiam", "backbone=vit_nano", "backbone.patch_size=8", "backbone.depth=1", "scale=smoke", "eval=knn",
    "eval.label=motion", "run.threads=1", "run.workers=0", f"budget.steps={STEPS}", "run.save_steps=100000",
    "launcher=slurm", "launcher.minutes=20",
]  # fmt: skip


def answers() -> str | None:
    """None, or why there is no Slurm."""
    if shutil.which("sinfo") is None:
        return "there is no sinfo"
    try:
        found = subprocess.run(["sinfo", "--noheader"], capture_output=True, text=True, timeout=20)
    except subprocess.TimeoutExpired:
        return "slurmctld does not answer"
    return None if found.returncode == 0 else found.stderr.strip()


@pytest.fixture(autouse=True)
def _slurm() -> None:
    if reason := answers():
        pytest.skip(f"no Slurm at hand: {reason}; .ci/slurm.sh starts one")


pytestmark = [pytest.mark.slurm, pytest.mark.timeout(600), pytest.mark.usefixtures("tiny")]


def started(*words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "vssl", "sweep", *WORDS, *words],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def until(condition: Callable[[], object], within_s: float = 240) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, squeue()
        time.sleep(0.2)


def squeue(*words: str) -> str:
    return subprocess.run(["squeue", "--noheader", "--array", *words], capture_output=True, text=True).stdout.strip()


def job_of(folder: Path, trial: str) -> str:
    return str(json.loads((folder / "trials" / trial / "job.json").read_text())["job"])


def state_of(job: str) -> str:
    return squeue(f"--jobs={job}", "--format=%T")


def at_work(folder: Path) -> bool:
    """Whether every trial has written a few rows."""
    curves = list(folder.glob("*/metrics.csv"))
    trials = PlanState(folder).ids()
    return bool(trials) and len(curves) == len(trials) and all(file.stat().st_size > 2000 for file in curves)


def test_killed_planners_and_jobs_put_back_leave_whole_curves() -> None:
    folder = Path("runs/sweep/three")
    words = ("seed=0,1,2", "sweep.name=three")
    planner = started(*words)
    until(lambda: at_work(folder))
    planner.kill()
    planner.wait()
    victim = PlanState(folder).ids()[0]
    job = job_of(folder, victim)
    subprocess.run(["scancel", "--signal=TERM", job], check=True)
    until(lambda: state_of(job) == "PENDING")  # Slurm lets a job wait that was put back
    assert PlanState(folder).seen(victim).status == "interrupted"
    saved = list(folder.glob("*/checkpoints/last.ckpt"))
    assert saved, "the trial wrote no checkpoint when it was told to end"
    planner = started(*words)
    raw = squeue(f"--jobs={job}", "--format=%A")
    subprocess.run(["scontrol", "update", f"JobId={raw}", "StartTime=now"], check=True)
    _, told = planner.communicate()
    assert planner.returncode == 0, told
    assert "slurm: 3 trial(s) are with jobs of an earlier start" in told and "submitted" not in told
    assert len(list(folder.glob("slurm/*_submission.sh"))) == 1
    for trial in PlanState(folder).ids():
        known = PlanState(folder).read(trial)
        assert (known.status, known.attempts) == ("done", 1)
        assert known.run is not None
        assert pd.read_csv(folder / known.run / "metrics.csv")["step"].tolist() == list(range(1, STEPS + 1))


def test_a_cancelled_job_is_not_put_back_and_costs_its_trial_a_try() -> None:
    folder = Path("runs/sweep/cancelled")
    planner = started("seed=0,1", "sweep.name=cancelled", "budget.steps=4000")
    until(lambda: at_work(folder))
    jobs = {trial: job_of(folder, trial) for trial in PlanState(folder).ids()}
    victim, other = jobs
    subprocess.run(["scancel", jobs[victim]], check=True)
    until(lambda: PlanState(folder).read(victim).status == "failed")
    known = PlanState(folder).read(victim)
    assert f"its job {jobs[victim]} ended without it" in (known.error or "")
    assert state_of(jobs[victim]) == ""
    planner.send_signal(signal.SIGINT)
    _, told = planner.communicate(timeout=60)
    assert planner.returncode == 130, told
    array = jobs[other].partition("_")[0]
    assert f"1 job(s) go on; the same command watches them again, scancel {array} ends them" in told
    assert state_of(jobs[other]) == "RUNNING"
    planner = started("seed=0,1", "sweep.name=cancelled", "budget.steps=4000", "launcher.cancel=true")
    until(lambda: PlanState(folder).read(victim).status == "running")  # the cancelled one is taken up again
    again = job_of(folder, victim)
    planner.send_signal(signal.SIGINT)
    _, told = planner.communicate(timeout=60)
    assert planner.returncode == 130 and "cancelled 2 job(s)" in told
    until(lambda: not state_of(again) and not state_of(jobs[other]))
