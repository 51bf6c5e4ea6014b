from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vssl.backbones.mean_frame import MeanFrame
from vssl.config.errors import UserError
from vssl.evaluation.lowshot import LowShot, over_draws, subset

LABELS = st.lists(st.integers(0, 4), min_size=5, max_size=80)


@settings(deadline=None, max_examples=60)
@given(LABELS, st.integers(0, 9), st.integers(0, 9))
def test_subsets_are_nested_and_by_class(labels: list[int], seed: int, draw: int) -> None:
    label = np.array(labels)
    before: set[int] = set()
    for share in (0.01, 0.1, 0.37, 0.5, 1.0):
        rows = subset(label, share, seed, draw)
        assert before <= set(rows.tolist()) and (np.diff(rows) > 0).all()
        for one, count in zip(*np.unique(label, return_counts=True), strict=True):
            own = int((label[rows] == one).sum())
            assert own == 1 if share * count < 1 else abs(own - share * count) <= 0.5
        before = set(rows.tolist())
    assert before == set(range(len(label)))


def test_draws_differ_and_depend_on_seed_and_draw_alone() -> None:
    label = np.arange(100) % 5
    drawn = {tuple(subset(label, 0.1, seed, draw)) for seed in range(3) for draw in range(4)}
    assert len(drawn) == 12
    assert np.array_equal(subset(label, 0.1, 1, 2), subset(label, 0.1, 1, 2))
    shown = np.bincount(np.concatenate([subset(label, 0.2, 0, draw) for draw in range(200)]), minlength=100)
    assert shown.min() > 20 and shown.max() < 62  # each video in about a fifth of them


QUICK = {"lrs": (0.03, 0.3), "weight_decays": (0.0,), "epochs": 30}


def test_each_share_has_its_mean_over_the_draws(world: Any, pixels: MeanFrame, tmp_path: Path) -> None:
    task = world.blobs(videos=(160, 40, 200), noise=150.0)
    results = LowShot(shares=(0.02, 0.5), draws=4, **QUICK).run(pixels, task, tmp_path)
    for share, labels in ((0.02, 4), (0.5, 100)):
        found, metric = results.chosen[f"at_{share:g}"], results.metrics[f"top1_at_{share:g}"]
        assert found["labels"] == labels and len(found["top1"]) == 4
        assert metric["value"] == pytest.approx(np.mean(found["top1"])) and metric["low"] < metric["high"]
    few, many = (results.metrics[f"top1_at_{share}"]["value"] for share in ("0.02", "0.5"))
    assert 0.3 < few < many - 0.1 and many > 0.8
    right = (results.predictions["prediction"] == results.predictions["label"]).mean()
    assert results.metrics["top1"]["value"] == right


def test_no_video_outside_the_subset_is_looked_at(world: Any, pixels: MeanFrame, tmp_path: Path) -> None:
    task = world.blobs(videos=(80, 20, 40), noise=150.0)
    protocol = LowShot(shares=(0.25,), draws=1, **QUICK)
    first = protocol.run(pixels, task, tmp_path)
    inside = subset(np.concatenate([task.train.labels["motion"], task.select.labels["motion"]]), 0.25, 0, 0)
    names = np.concatenate([task.train.id, task.select.id])
    for name in np.delete(names, inside):
        world.reader.images[name] = 255 - world.reader.images[name]
    again = protocol.run(pixels, replace(task, cache=tmp_path / "other"), tmp_path)
    assert np.array_equal(np.stack(first.predictions["scores"]), np.stack(again.predictions["scores"]))
    world.reader.images[names[inside[0]]] = 255 - world.reader.images[names[inside[0]]]
    other = protocol.run(pixels, replace(task, cache=tmp_path / "third"), tmp_path)
    assert not np.array_equal(np.stack(first.predictions["scores"]), np.stack(other.predictions["scores"]))


def test_settings_are_chosen_only_where_there_is_something_to_choose_on(
    world: Any, pixels: MeanFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = world.blobs(videos=(160, 40, 20), noise=150.0)
    protocol = LowShot(shares=(0.005, 1.0), draws=2, lrs=(1e-6, 1e-5, 0.1), weight_decays=(0.0,), epochs=30)
    chosen = protocol.run(pixels, task, tmp_path).chosen
    assert {point["lr"] for point in chosen["at_0.005"]["points"]} == {1e-5}  # the middle
    assert {point["lr"] for point in chosen["at_1"]["points"]} == {0.1}
    assert "shares [0.005] are less than a video of some class, which has one then" in caplog.text


def test_shuffled_test_labels_give_chance(world: Any, pixels: MeanFrame, tmp_path: Path) -> None:
    task = world.blobs(videos=(120, 40, 400), noise=100.0)
    shuffled = np.random.default_rng(0).permutation(task.test.labels["motion"])
    blind = replace(task, test=replace(task.test, labels={"motion": shuffled}))
    results = LowShot(shares=(0.1, 0.5), draws=3, **QUICK).run(pixels, blind, tmp_path)
    for name in ("top1", "top1_at_0.1", "top1_at_0.5"):
        assert results.metrics[name]["value"] == pytest.approx(0.25, abs=0.07), name


def test_fewer_videos_than_classes_are_refused(world: Any) -> None:
    task = replace(world.blobs(videos=(4, 2, 4), classes=2), classes=tuple("abcdefgh"))
    with pytest.raises(
        UserError, match=r"6 training videos carry the label 'motion', fewer than its 8 classes"
    ) as caught:
        LowShot().check(task)
    assert caught.value.exit_code == 2 and world.reader.opened == []
    LowShot().check(replace(task, classes=("a", "b")))


def test_the_interval_over_draws() -> None:
    assert over_draws([0.4]) == {"value": 0.4, "low": 0.4, "high": 0.4}
    assert over_draws([0.4, 0.6]) == {"value": pytest.approx(0.5), "low": 0.4, "high": 0.6}
    three = over_draws([0.4, 0.5, 0.6])  # t(2) = 4.303, standard error 0.1 / sqrt(3)
    assert three["low"] == pytest.approx(0.5 - 4.303 * 0.1 / 3**0.5, abs=1e-3)
    assert over_draws([0.9, 1.0, 1.0])["high"] == 1.0


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"shares": ()}, "shares="), ({"shares": (0.0,)}, "shares="), ({"shares": (1.5,)}, "shares="),
        ({"draws": 0}, "draws=0"),
    ],
)  # fmt: skip
def test_settings_out_of_range(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        LowShot(**settings)
