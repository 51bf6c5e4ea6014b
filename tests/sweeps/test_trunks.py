"""Trials that differ in their length: the longest trains first and once, the others cool down from its checkpoints."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from vssl.config.bind import bind
from vssl.config.compose import compose
from vssl.evaluation.online import online_probe
from vssl.records.record import find_records, read_record
from vssl.sweeps.plan import Trial, plan
from vssl.sweeps.queue import Queue
from vssl.sweeps.run import sweep
from vssl.sweeps.state import PlanState
from vssl.training.run import BACKBONE, pretrain

SMALL = ["backbone=vit_nano", "backbone.patch_size=8", "backbone.depth=1", "scale=smoke", "run.workers=0", "eval=knn"]
HERE = [*SMALL, "launcher.jobs=0", "eval.label=motion", "method=simsiam"]
COOLDOWN = ["optim.schedule.after=cooldown", "optim.schedule.warmup_steps=1"]
LENGTHS = "budget.steps=5,20,10"


def planned(*words: str) -> tuple[Trial, ...]:
    return plan("sweep", None, [*HERE, *words], {}).trials


def test_the_longest_of_those_that_are_else_equal_is_the_trunk() -> None:
    five, twenty, ten = planned(*COOLDOWN, LENGTHS)
    assert (five.trunk, twenty.trunk, ten.trunk) == (twenty.id, None, twenty.id)
    assert twenty.bound["run"]["branches"] == [5, 10] and not five.bound["run"].get("branches")
    by_seed = planned(*COOLDOWN, LENGTHS, "seed=0,1")
    assert len({one.trunk for one in by_seed} - {None}) == 2
    assert {one.id for one in by_seed} >= {five.id, twenty.id, ten.id}, "what a trial is does not depend on others"


@pytest.mark.parametrize(
    "words",
    [
        (LENGTHS,),
        (*COOLDOWN, LENGTHS, "method=byol"),
        (*COOLDOWN, "budget.steps=20", "optim.base_lr=0.1,0.2"),
        (*COOLDOWN, "budget.seconds=5,10"),
    ],
)
def test_others_have_no_trunk(words: tuple[str, ...]) -> None:
    assert not any(one.trunk or one.bound["run"].get("branches") for one in planned(*words))


def test_branches_wait_for_their_trunk(tmp_path: Path) -> None:
    state, trials = PlanState(tmp_path), planned(*COOLDOWN, LENGTHS)
    for trial in trials:
        state.add(trial)
    queue = Queue(state, [trial.id for trial in trials], retries=0)
    first = queue.take()
    assert first is not None and first.trial == trials[1].id and queue.take() is None
    queue.ended(first.trial, "failed")
    assert {ticket.trial for ticket in (queue.take(), queue.take()) if ticket} == {trials[0].id, trials[2].id}


@pytest.mark.usefixtures("tiny")
def test_a_sweep_over_lengths_ends_with_what_each_would_come_to_alone() -> None:
    assert sweep("sweep", None, [*HERE, *COOLDOWN, LENGTHS, "sweep.name=shared"], {}) == 0
    shared = {read_record(path)["budget"]["steps"]: path for path in runs("shared")}
    assert {steps: (read_record(path)["branch"] or {}).get("step") for steps, path in shared.items()} == {
        20: None, 10: 8, 5: 4,
    }  # fmt: skip
    for steps in (5, 10):
        composed = compose([*SMALL, "method=simsiam", *COOLDOWN, f"budget.steps={steps}"])
        alone = pretrain(composed, bind(composed.tree), probe=online_probe)
        ours, theirs = load_file(shared[steps] / BACKBONE), load_file(alone / BACKBONE)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def runs(name: str) -> list[Path]:
    folders = [path.parent for path in find_records(Path("runs/sweep") / name)]
    return [folder for folder in folders if read_record(folder)["kind"] == "pretrain"]
