"""Spread of features against its equations, and a verdict that knows a collapsed training from a healthy one."""

import io
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

import vssl
from methods.simsiam import SimSiam
from vssl.backbones.base import Backbone
from vssl.method import Method, PairMethod
from vssl.training.health import FEWEST, IN_A_ROW, ROWS, Health, effective_rank, feature_std


def normal(rows: int, width: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def line(rows: int, width: int) -> Tensor:
    """Points on a line through the origin, on both sides of it: their directions differ, their rank is one."""
    return normal(rows, 1) * normal(1, width, seed=1)


@pytest.mark.parametrize(("rows", "width"), [(9, 4), (5, 12)])
def test_standard_deviation_equals_its_equation(rows: int, width: int) -> None:
    features = normal(rows, width)
    z = features.numpy() / np.sqrt((features.numpy() ** 2).sum(axis=1, keepdims=True))
    total = 0.0
    for d in range(width):
        mean = sum(z[:, d]) / rows
        total += math.sqrt(sum((value - mean) ** 2 for value in z[:, d]) / (rows - 1)) / width
    assert feature_std(features) == pytest.approx(total * math.sqrt(width), rel=1e-12)


@pytest.mark.parametrize(("rows", "width"), [(30, 7), (7, 30)])
def test_effective_rank_equals_its_equation(rows: int, width: int) -> None:
    features = normal(rows, width) + 5
    centred = features.numpy() - features.numpy().mean(axis=0)
    values = np.linalg.svd(centred, compute_uv=False)
    entropy = -sum(p * math.log(p) for p in values / values.sum() if p > 1e-12)
    assert effective_rank(features) == pytest.approx(math.exp(entropy), rel=1e-6)


def test_the_ends_of_both_scales() -> None:
    assert feature_std(normal(4000, 16)) == pytest.approx(1, abs=0.01)
    assert effective_rank(normal(4000, 16)) == pytest.approx(16, abs=0.01)
    assert effective_rank(line(30, 8)) == pytest.approx(1, abs=1e-5) and feature_std(line(30, 8)) > 0.7
    rounded = (1000.1 + torch.zeros(64, 8)) * (1 + 1e-8 * normal(64, 8)).float()
    assert effective_rank(rounded) == 0.0 and feature_std(rounded) < 1e-6
    for no_answer in (normal(1, 8), normal(4, 8) * math.inf, normal(4, 8) * math.nan):
        assert math.isnan(effective_rank(no_answer)) and math.isnan(feature_std(no_answer))


def test_a_common_mean_is_no_direction_and_scale_no_spread() -> None:
    features = normal(20, 6)
    assert effective_rank(features + 100) == pytest.approx(effective_rank(features), rel=1e-6)
    assert feature_std(features + 1000) < 0.01
    assert feature_std(features * normal(20, 1).abs()) == pytest.approx(feature_std(features), rel=1e-12)


class Scripted(Method):
    """A method that has been told what it hands out."""

    def __init__(self, chance: float | None = None) -> None:
        super().__init__(Backbone())
        self.told = chance
        self.asked: list[int] = []

    def chance(self, batch_size: int) -> float | None:
        self.asked.append(batch_size)
        return self.told


class Script:
    """Optimiser steps of a scripted method, with `accumulate` micro-batches each, past a monitor."""

    def __init__(self, health: Health, chance: float | None = None, total: int = 1000, world_size: int = 1) -> None:
        self.health, self.method = health, Scripted(chance)
        self.trainer: Any = SimpleNamespace(global_step=0, max_steps=total, world_size=world_size)

    def step(self, *features: Tensor | None, loss: float = 0.0) -> dict[str, float | str]:
        for place, micro in enumerate(features):
            self.method.last_terms = {"loss": torch.tensor(loss)} | ({} if micro is None else {"features": micro})
            self.trainer.global_step += place == len(features) - 1
            rows = 4 if micro is None else len(micro)
            self.health.on_train_batch_end(self.trainer, self.method, None, {"id": torch.zeros(rows)}, place)
        return self.health.row()


GOOD, LINE, POINT = normal(32, 8), line(32, 8), torch.ones(32, 8)


def test_every_step_has_the_same_keys_and_some_have_numbers() -> None:
    script = Script(Health(every=3), total=7)
    rows = [script.step(GOOD) for _ in range(7)]
    assert [list(row) for row in rows] == [["feature_std", "effective_rank"]] * 7
    measured = {"feature_std": round(feature_std(GOOD), 6), "effective_rank": round(effective_rank(GOOD), 6)}
    blank = dict.fromkeys(measured, "")
    assert rows == [blank, blank, measured, blank, blank, measured, measured]  # every third, and the last


def test_a_measurement_is_over_all_micro_batches_of_its_step_and_no_other() -> None:
    script = Script(Health(every=2))
    script.step(LINE, LINE)
    row = script.step(GOOD[:10], GOOD[10:])
    assert row["effective_rank"] == round(effective_rank(GOOD), 6)
    many = normal(3 * ROWS, 4)
    script.step(GOOD)
    assert script.step(*many.split(100))["feature_std"] == round(feature_std(many[:ROWS]), 6)


@pytest.mark.parametrize("low", [LINE, POINT])
def test_collapse_is_low_spread_several_times_in_a_row_and_ends_with_it(low: Tensor) -> None:
    health = Health(every=1)
    script = Script(health)
    script.step(low)
    script.step(GOOD)
    for _ in range(IN_A_ROW - 1):
        script.step(low)
    assert not health.collapsed and health.since is None and health.warning() is None
    script.step(low)
    assert health.collapsed and health.since == 3
    script.step(GOOD)
    assert not health.collapsed and health.summary()["since"] is None


def test_a_loss_below_chance_clears_features_on_a_line() -> None:
    """A classifier of two classes ends so."""
    for loss, collapsed in ((0.01, False), (0.69, True), (0.75, True)):
        health = Health(every=1)
        script = Script(health, chance=math.log(2))
        for _ in range(IN_A_ROW):
            script.step(LINE, loss=loss)
        assert health.collapsed is collapsed
        assert health.summary()["loss_from_chance"] == pytest.approx(loss - math.log(2), abs=1e-6)


def test_without_features_or_with_few_clips_nothing_is_judged() -> None:
    for features in (None, LINE[: FEWEST - 1]):
        health = Health(every=1)
        script = Script(health, chance=1.0)
        for _ in range(IN_A_ROW + 1):
            row = script.step(features, loss=1.5)
        assert not health.collapsed and health.warning() is None
        assert (row["feature_std"] == "") is (features is None)
        assert health.summary()["loss_from_chance"] == pytest.approx(0.5)


def test_chance_is_asked_for_the_clips_of_one_forward_pass_on_all_ranks() -> None:
    script = Script(Health(every=1), world_size=2)
    script.step(GOOD[:5], GOOD[:5])
    assert script.method.asked == [10]


def test_the_record_is_told_what_was_seen_and_holds_no_nan() -> None:
    health = Health(every=1)
    assert health.summary() == {
        "feature_std": None, "effective_rank": None, "loss_from_chance": None, "collapsed": False, "since": None,
    }  # fmt: skip
    script = Script(health, chance=-1.0)
    for _ in range(IN_A_ROW):
        script.step(LINE, loss=-0.9)
    summary = health.summary()
    assert (summary["collapsed"], summary["since"]) == (True, 1)
    assert summary["effective_rank"] == pytest.approx(1, abs=1e-5)
    assert summary["loss_from_chance"] == pytest.approx(0.1, abs=1e-6)
    script.step(GOOD * math.nan)
    assert health.summary()["feature_std"] is None


def test_the_warning_comes_once_and_says_what_was_seen_and_what_to_do() -> None:
    health = Health(every=1)
    script = Script(health, chance=-1.0)
    said = []
    for features in [LINE] * 5 + [GOOD] + [LINE] * 5:
        script.step(features, loss=-0.9)
        said.append(health.warning())
    assert [place for place, text in enumerate(said) if text] == [IN_A_ROW - 1]
    text = str(said[IN_A_ROW - 1])
    seen = f"effective rank 1.0, standard deviation {feature_std(LINE):.2g} of 1, a loss 0.1 from a collapsed model's"
    assert text.startswith(f"features collapsed since step 1: {seen}")
    assert "optim.base_lr" in text and "train.batch_size" in text


@pytest.mark.parametrize("killed_after", range(1, 11))
def test_a_resumed_monitor_goes_on_as_if_nothing_had_been(killed_after: int) -> None:
    steps = [GOOD] * 2 + [LINE] * 7 + [GOOD] * 2 + [LINE] * 7
    whole = Script(Health(every=2), chance=-1.0)
    expected = [(whole.step(features, loss=-0.9), whole.health.warning()) for features in steps]

    first = Script(Health(every=2), chance=-1.0)
    seen = [(first.step(features, loss=-0.9), first.health.warning()) for features in steps[:killed_after]]
    file = io.BytesIO()
    torch.save(first.health.state_dict(), file)
    file.seek(0)
    second = Script(Health(every=2), chance=-1.0)
    second.health.load_state_dict(torch.load(file, weights_only=True))
    second.trainer.global_step = killed_after
    second.health.on_train_start(second.trainer, second.method)
    seen += [(second.step(features, loss=-0.9), second.health.warning()) for features in steps[killed_after:]]
    assert seen == expected and any(text for _, text in expected)
    assert second.health.summary() == whole.health.summary()


def test_a_period_below_one_step_is_refused() -> None:
    with pytest.raises(ValueError, match="every=0"):
        Health(every=0)


class Rows(pl.Callback):
    """What the monitor gave after every step, and the steps at which it called the features collapsed."""

    def __init__(self, health: Health) -> None:
        self.health = health
        self.rows: list[dict[str, float | str]] = []
        self.collapsed: list[bool] = []

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.rows.append(self.health.row())
        self.collapsed.append(self.health.collapsed)


def without_stopped_gradient(self: PairMethod, views: dict[str, Tensor], batch: object) -> dict[str, Tensor]:
    online = {view: self.online(views[view]) for view in self.views}
    loss = torch.stack([self.pair_loss(online[source][0], online[aim][1]) for source, aim in self.pairs]).sum()
    return {"loss": loss, "features": online["a"][1]}


@pytest.mark.parametrize("stopped", [True, False])
def test_simsiam_collapses_without_its_stopped_gradient_and_not_with_it(
    tiny: list[str], monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    if not stopped:
        monkeypatch.setattr(SimSiam, "losses", without_stopped_gradient)
    run = vssl.build(
        [
            *tiny, "method=simsiam", "method.dim=64", "method.bottleneck=16", "backbone.embed_dim=32", "clip.frames=2",
            "clip.size=16", "data.num_videos=200", "train.batch_size=64", "optim.base_lr=1.6", "budget.steps=70",
        ]
    )  # fmt: skip
    health = Health(every=5)
    seen = Rows(health)
    run.trainer.callbacks += [health, seen]
    run.trainer.fit(run.method, run.datamodule)
    assert any(seen.collapsed) is not stopped
    ranks = [float(row["effective_rank"]) for row in seen.rows if row["effective_rank"] != ""]
    assert len(ranks) == 14
    assert (min(ranks) > 8) if stopped else (min(ranks[4:]) < 2)


@pytest.mark.parametrize("method", ["videomae", "simsiam", "supervised"])
def test_nobody_is_accused_in_the_first_steps_and_weights_stay_as_they_were(tiny: list[str], method: str) -> None:
    ends = []
    for health in (None, Health(every=1)):
        run = vssl.build([*tiny, f"method={method}", "budget.steps=8", "backbone.drop_path=0.3"])
        if health is not None:
            seen = Rows(health)
            run.trainer.callbacks += [health, seen]
        run.trainer.fit(run.method, run.datamodule)
        ends.append(run.method.state_dict())
    assert not any(seen.collapsed) and len(seen.rows) == 8
    assert all(row["feature_std"] > 0.02 for row in seen.rows)
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_a_killed_run_measures_the_same_as_an_undisturbed_one(tiny: list[str]) -> None:
    words = [*tiny, "method=simsiam", "train.accumulate=2", "budget.steps=5"]

    def trained(steps: int, start: str | None = None) -> list[dict[str, float | str]]:
        run = vssl.build(words)
        run.trainer.fit_loop.epoch_loop.max_steps = steps
        health = Health(every=2)
        seen = Rows(health)
        run.trainer.callbacks += [health, seen]
        run.trainer.fit(run.method, run.datamodule, ckpt_path=start, weights_only=True)
        run.trainer.save_checkpoint("last.ckpt")
        return seen.rows[1::2]  # after the second micro-batch of each step

    whole = trained(5)
    assert [row["feature_std"] != "" for row in whole] == [False, True, False, True, True]
    trained(3)
    assert trained(5, "last.ckpt") == whole[3:]
