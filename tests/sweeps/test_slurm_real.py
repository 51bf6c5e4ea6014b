"""Sweeps on a Slurm of one node (`.ci/slurm.sh start`): planners killed, jobs told to end, put back, cancelled."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pandas as pd
import pytest
import torch

from vssl.sweeps.state import PlanState
from vssl.training.run import LAST

STEPS = 250
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


pytestmark = [pytest.mark.slurm, pytest.mark.timeout(300), pytest.mark.usefixtures("tiny")]


@pytest.fixture
def start() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts a planner; whatever a test leaves ends with it, its jobs too."""
    planners: list[subprocess.Popen[str]] = []

    def started(*words: str) -> "subprocess.Popen[str]":
        planner = subprocess.Popen(
            [sys.executable, "-m", "vssl", "sweep", *WORDS, *words],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        planners.append(planner)
        return planner

    yield started
    for planner in planners:
        planner.kill()
        planner.wait()
    for file in Path("runs/sweep").glob("*/trials/*/job.json"):
        subprocess.run(["scancel", "--quiet", str(json.loads(file.read_text())["job"])])


def until(condition: Callable[[], object], planner: "subprocess.Popen[str]", within_s: float = 120) -> None:
    """Waits for what a planner and its jobs are to bring about."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            planner.kill()
            raise AssertionError(f"{squeue()}\n{planner.communicate()[1]}")
        time.sleep(0.2)


def lines_until(lines: IO[str], wanted: str) -> Iterator[str]:
    """Lines up to the one that holds `wanted`, which has to come."""
    for line in lines:
        yield line
        if wanted in line:
            return
    raise AssertionError(f"nobody said {wanted!r}")


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


def test_killed_planners_and_jobs_put_back_leave_whole_curves(start: Callable[..., "subprocess.Popen[str]"]) -> None:
    folder = Path("runs/sweep/three")
    words = ("seed=0,1,2", "sweep.name=three")
    planner = start(*words)
    until(lambda: at_work(folder), planner)
    planner.kill()
    planner.wait()
    jobs = {job_of(folder, trial): trial for trial in PlanState(folder).ids()}
    (job,) = [one for one in jobs if one.endswith("_2")]  # Slurm gives it the number of its array as well
    subprocess.run(["scancel", "--signal=TERM", job], check=True)
    until(lambda: state_of(job) == "PENDING", planner)  # Slurm lets a job wait that was put back
    told_to_end = PlanState(folder).seen(jobs[job])
    assert told_to_end.status == "interrupted" and told_to_end.run is not None
    assert 0 < torch.load(folder / told_to_end.run / LAST, weights_only=True)["global_step"] < STEPS
    others = [PlanState(folder).seen(trial).status for trial in jobs.values() if trial != jobs[job]]
    assert "interrupted" not in others, "others were told to end too"
    planner = start(*words)
    assert planner.stderr is not None
    heard = list(lines_until(planner.stderr, "with jobs of an earlier start"))
    subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], check=True)
    _, told = planner.communicate()
    assert planner.returncode == 0 and "submitted" not in "".join([*heard, told]), told
    assert len(list(folder.glob("slurm/*_submission.sh"))) == 1
    for trial in jobs.values():
        known = PlanState(folder).read(trial)
        assert (known.status, known.attempts) == ("done", 1)
        assert known.run is not None
        assert pd.read_csv(folder / known.run / "metrics.csv")["step"].tolist() == list(range(1, STEPS + 1))


def test_a_cancelled_job_is_not_put_back_and_costs_its_trial_a_try(
    start: Callable[..., "subprocess.Popen[str]"],
) -> None:
    folder = Path("runs/sweep/cancelled")
    planner = start(
        "seed=0,1", "sweep.name=cancelled", "sweep.retries=1", "budget.steps=100000", "launcher.cancel=true"
    )
    until(lambda: at_work(folder), planner)
    state = PlanState(folder)
    jobs = {trial: job_of(folder, trial) for trial in state.ids()}
    victim, other = jobs
    subprocess.run(["scancel", jobs[victim]], check=True)
    until(lambda: state.read(victim).attempts == 2, planner)
    assert f"its job {jobs[victim]} ended without it" in (state.read(victim).error or "")
    assert state_of(jobs[victim]) == ""
    assert state_of(jobs[other]) == "RUNNING"
    again = job_of(folder, victim)
    planner.send_signal(signal.SIGINT)
    _, told = planner.communicate(timeout=60)
    assert planner.returncode == 130 and "cancelled 2 job(s)" in told
    until(lambda: not state_of(again) and not state_of(jobs[other]), planner)
    assert state.seen(victim).status == "interrupted"
