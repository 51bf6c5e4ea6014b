"""A sweep under a storm of kills ends with exactly what an undisturbed one leaves."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.faults.tools import assert_same_run, leftovers
from tests.processes import gone
from vssl.records.record import find_records, read_record
from vssl.sweeps.state import PlanState

WORDS = [
    "method=videomae,simsiam", "seed=0,1,2,3", "backbone=vit_nano", "backbone.patch_size=8", "backbone.depth=1",
    "scale=smoke", "budget.steps=60", "run.save_steps=5", "run.threads=1", "run.workers=0", "eval=knn",
    "eval.label=motion", "launcher.jobs=2", "sweep.retries=20",
]  # fmt: skip
KILLS = 10
# What may differ: moments, durations, memory, machine, processes.
APART = {"started", "finished", "seconds", "wait_share", "data_wait_share", "peak_memory_host_bytes", "environment"}


def start(out: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "vssl", "sweep", *WORDS, f"run.out={out}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def workers_of(planner: "subprocess.Popen[bytes]") -> list[int]:
    """Waits for them; none once the planner has ended."""
    while planner.poll() is None:
        children = Path(f"/proc/{planner.pid}/task/{planner.pid}/children")
        with contextlib.suppress(OSError):
            if workers := [int(word) for word in children.read_text().split()]:
                return workers
        time.sleep(0.05)
    return []


def kept(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: kept(value) for key, value in node.items() if key not in APART}
    return [kept(item) for item in node] if isinstance(node, list) else node


def told(folder: Path) -> dict[str, Any]:
    return {str(path.relative_to(folder)): kept(read_record(path)) for path in find_records(folder)}


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.usefixtures("tiny")
def test_a_storm_of_kills_changes_nothing() -> None:
    undisturbed = start("calm")
    _, complaint = undisturbed.communicate()
    assert undisturbed.returncode == 0, complaint.decode()
    calm, storm = Path("calm/sweep/seed-method"), Path("storm/sweep/seed-method")

    draw = random.Random(0)
    killed = {"planner": 0, "worker": 0}
    ended_early = 0
    planner = start("storm")
    while sum(killed.values()) < KILLS:
        workers = workers_of(planner)
        if not workers:  # all trials were done: the storm goes on over a finished sweep
            planner.communicate()
            ended_early += 1
            planner = start("storm")
            continue
        time.sleep(draw.uniform(0.0, 6.0))
        victim = draw.choice([planner.pid, *workers])
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
        killed["planner" if victim == planner.pid else "worker"] += 1
        if victim == planner.pid:
            planner.wait()
            assert gone(workers, within_s=60), "workers live on without their planner"
            planner = start("storm")
    _, complaint = planner.communicate()
    assert planner.returncode == 0, complaint.decode()
    assert all(killed.values()) and ended_early < KILLS, (killed, ended_early)

    assert told(storm) == told(calm)
    for run in sorted(path.parent for path in calm.glob("*/config.yaml")):
        assert_same_run(storm / run.name, run)
    state = PlanState(storm)
    assert {state.read(trial).status for trial in state.ids()} == {"done"} and len(state.ids()) == 8
    assert leftovers(storm) == []
    assert state.ids() == PlanState(calm).ids()
