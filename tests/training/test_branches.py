"""Budgets that share a training: a branch ends with the weights that the same run comes to alone, bit for bit."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from vssl.config.bind import bind
from vssl.config.compose import compose
from vssl.config.errors import ConfigError, UserError
from vssl.config.folders import config_root
from vssl.method import Progress
from vssl.records.record import read_record
from vssl.training.build import build
from vssl.training.run import BACKBONE, LAST, pretrain

COOLDOWN = ["optim.schedule.after=cooldown", "optim.schedule.cooldown_fraction=0.5", "optim.schedule.warmup_steps=2"]

SHARE_OF_ALL = ["optim.schedule.warmup_steps=null", "optim.schedule.warmup_fraction=0.1"]


def run(words: list[str]) -> Path:
    composed = compose([*words, "run.probe_times=0"])
    return pretrain(composed, bind(composed.tree))


@pytest.fixture
def trunk(tiny: list[str]) -> Path:
    return run([*tiny, *COOLDOWN, "method=simsiam", "budget.samples=128", "run.branches=[48]", "run.name=long"])


def test_a_branch_ends_as_the_run_would_alone(tiny: list[str], trunk: Path) -> None:
    assert [path.name for path in trunk.glob("checkpoints/step-*.ckpt")] == ["step-3.ckpt"]  # of 6 steps, 3 cool down
    words = [*tiny, *COOLDOWN, "method=simsiam", "budget.samples=48"]
    branch = run([*words, "run.name=branch", f"run.branch_of={trunk}"])
    alone = run([*words, "run.name=alone"])
    record = read_record(branch)
    assert record["branch"] == {"of": "long", "step": 3} and read_record(alone)["branch"] is None
    assert record["budget"]["steps"] == 6 and record["clips"] == read_record(alone)["clips"]
    ours, theirs = load_file(branch / BACKBONE), load_file(alone / BACKBONE)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    curves = [pd.read_csv(folder / "metrics.csv").drop(columns=["seconds", "wait_share"]) for folder in (branch, alone)]
    pd.testing.assert_frame_equal(*curves)
    assert not all(torch.equal(ours[name], tensor) for name, tensor in load_file(trunk / BACKBONE).items())


def test_a_branch_that_has_begun_goes_on_without_its_trunk(tiny: list[str], trunk: Path) -> None:
    words = [*tiny, *COOLDOWN, "method=simsiam", "budget.samples=48", f"run.branch_of={trunk}", "run.name=branch"]
    weights = load_file(run(words) / BACKBONE)
    (Path("runs/branch") / BACKBONE).unlink()
    shutil.rmtree(trunk)
    again = run(words)
    assert read_record(again)["branch"] == {"of": "long", "step": 3}
    assert all(torch.equal(tensor, weights[name]) for name, tensor in load_file(again / BACKBONE).items())


def test_a_trunk_without_a_checkpoint_that_early_saves_nothing(
    tiny: list[str], trunk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = [*tiny, *COOLDOWN, "method=simsiam", "budget.samples=24", f"run.branch_of={trunk}"]
    record = read_record(run(words))
    assert record["status"] == "done" and record["branch"] is None
    assert "no checkpoint from before step 2" in caplog.text and "that run keeps those of steps 3" in caplog.text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["optim.base_lr=0.5"], "that run is another one:\n  optim.base_lr"),
        (["run.branch_of=runs/nowhere"], "runs/nowhere: there is no run"),
    ],
)
def test_what_cannot_be_a_branch(tiny: list[str], trunk: Path, words: list[str], said: str) -> None:
    head = [*tiny, *COOLDOWN, "method=simsiam", "budget.samples=48", f"run.branch_of={trunk}", "run.name=other"]
    with pytest.raises(UserError, match=said):
        run([*head, *words])
    assert not (Path("runs/other") / LAST).exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["method=simsiam", "optim.schedule.after=cosine"], "falls from its first step on"),
        (
            ["method=simsiam", *SHARE_OF_ALL],
            "the warm-up is a share of all steps",
        ),
        (["method=byol"], "BYOL has settings of its own"),
        (["method=lstcl"], "LSTCL has settings of its own"),
        (["method=simsiam", "budget.samples=null", "budget.seconds=9"], "timed for each run by itself"),
        (["method=simsiam", "optim.final_weight_decay=0.4"], "final_weight_decay is come to along all steps"),
    ],
)
def test_trainings_that_know_their_length_have_no_branches(tiny: list[str], words: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        run([*tiny, *COOLDOWN, "budget.samples=128", "run.branches=[48]", *words])
    assert not Path("runs").exists()


class Watching(Progress):
    """Notes that somebody asked how far the training is."""

    was_asked = False

    def __getattribute__(self, name: str) -> object:
        if name in ("total", "fraction"):
            Watching.was_asked = True
        return super().__getattribute__(name)


@pytest.mark.parametrize("method", [path.stem for path in sorted((config_root() / "method").glob("*.yaml"))])
def test_methods_that_ask_for_the_end_say_so(tiny: list[str], monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    monkeypatch.setattr("vssl.method.Progress", Watching)
    monkeypatch.setattr(Watching, "was_asked", False)
    built = build([*tiny, f"method={method}"])
    built.trainer.fit(built.method, built.datamodule)
    assert Watching.was_asked == built.method.knows_its_end
