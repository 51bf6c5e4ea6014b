from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.linear_model import LogisticRegression

from vssl.backbones.mean_frame import MeanFrame
from vssl.config.errors import UserError, WorkError
from vssl.evaluation.features import features, labelled
from vssl.evaluation.knn import Knn
from vssl.evaluation.linear import Linear, standardisation
from vssl.evaluation.protocol import Protocol, Task


def test_top1_equals_logistic_regression_within_a_point(world: Any, pixels: MeanFrame, tmp_path: Path) -> None:
    task = world.blobs(videos=(800, 200, 1000), classes=8, noise=150.0)
    results = Linear().run(pixels, task, tmp_path)
    train, select, test = (labelled(pixels, samples, task) for samples in (task.train, task.select, task.test))
    mean, scale = standardisation(train.values[:, 0])
    grid = [LogisticRegression(C=c, max_iter=1000) for c in (1e-3, 1e-2, 0.1, 1)]
    models = [model.fit((train.values[:, 0] - mean) / scale, train.label) for model in grid]
    chosen = max(models, key=lambda model: model.score((select.values[:, 0] - mean) / scale, select.label))
    fit = np.concatenate([train.values, select.values])[:, 0]
    chosen.fit((fit - mean) / scale, np.concatenate([train.label, select.label]))
    reference = chosen.score((test.values[:, 0] - mean) / scale, test.label)
    assert 0.8 < reference < 0.98  # easy, not trivial
    assert results.metrics["top1"]["value"] == pytest.approx(reference, abs=0.011)


def leaking(world: Any, random_images: Any) -> Task:
    """Pure noise; in the test videos alone, one corner of the image gives the class away."""
    lists = []
    for seed, (split, count) in enumerate((("train", 160), ("select", 40), ("test", 400))):
        images, label = random_images(count, seed=seed), np.arange(count) % 4
        images[:, :2, :2] = (60 * label if split == "test" else np.full(count, 90)).astype(np.uint8)[
            :, None, None, None
        ]
        lists.append(world.samples(split, images, motion=label))
    return world.task(*lists)


def test_what_only_the_test_videos_show_does_not_help(
    world: Any, pixels: MeanFrame, tmp_path: Path, random_images: Any
) -> None:
    results = Linear().run(pixels, leaking(world, random_images), tmp_path)
    assert results.metrics["top1"]["low"] < 0.25 < results.metrics["top1"]["high"]


def test_test_labels_change_the_metrics_and_nothing_else(world: Any, pixels: MeanFrame, tmp_path: Path) -> None:
    task = world.blobs(videos=(120, 40, 400), noise=100.0)
    shuffled = np.random.default_rng(0).permutation(task.test.labels["motion"])
    blind = replace(task, test=replace(task.test, labels={"motion": shuffled}))
    honest, chance = Linear().run(pixels, task, tmp_path), Linear().run(pixels, blind, tmp_path)
    assert honest.metrics["top1"]["value"] > 0.8
    assert chance.metrics["top1"]["low"] < 0.25 < chance.metrics["top1"]["high"]
    assert honest.chosen == chance.chosen
    assert np.array_equal(np.stack(honest.predictions["scores"]), np.stack(chance.predictions["scores"]))


@pytest.mark.parametrize("protocol", [Linear(), Knn(k=(1, 5, 20))])
def test_the_test_list_is_read_once_after_everything_else(
    world: Any, pixels: MeanFrame, tmp_path: Path, protocol: Protocol
) -> None:
    task = world.blobs(batch_size=7)
    protocol.run(pixels, task, tmp_path)
    assert world.reader.opened == [*task.train.id, *task.select.id, *task.test.id]


def test_the_probe_is_the_same_again_and_is_kept(world: Any, pixels: MeanFrame, tmp_path: Path) -> None:
    task = world.blobs()
    first, second = Linear().run(pixels, task, tmp_path), Linear().run(pixels, task, tmp_path)
    assert np.array_equal(np.stack(first.predictions["scores"]), np.stack(second.predictions["scores"]))
    probe = load_file(tmp_path / first.artefacts["probe"])
    values = features(pixels, task.test, task).values[:, 0]
    logits = (values - probe["mean"]) / probe["scale"] @ probe["weight"] + probe["bias"]
    assert np.array_equal(logits.argmax(1), first.predictions["prediction"])


def test_the_seed_of_the_task_orders_the_videos(world: Any, pixels: MeanFrame, tmp_path: Path) -> None:
    task = world.blobs()
    protocol = Linear(batch_size=16, epochs=3)
    first, second = (protocol.run(pixels, replace(task, seed=seed), tmp_path) for seed in (0, 1))
    assert not np.array_equal(np.stack(first.predictions["scores"]), np.stack(second.predictions["scores"]))


def test_scale_and_offset_of_features_do_not_matter() -> None:
    values = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    mean, scale = standardisation(values * [1, 1000, 0] + [0, 5, 0.3])
    standardised = (values * [1, 1000, 0] + [0, 5, 0.3] - mean) / scale
    expected = (values - values.mean(0)) / values.std(0)
    np.testing.assert_allclose(standardised[:, :2], expected[:, :2], atol=1e-4)
    assert np.abs(standardised[:, 2]).max() < 1e-6  # a constant stays one: rounding is not blown up


def test_a_rate_that_overflows_is_not_chosen(world: Any, pixels: MeanFrame, tmp_path: Path) -> None:
    task = world.blobs()
    diverging = Linear(lrs=(1e30,), weight_decays=(1.0, 2.0))
    with pytest.raises(WorkError, match=r"overflowed at every rate\n.*eval.linear.lrs"):
        diverging.run(pixels, task, tmp_path)
    chosen = Linear(lrs=(0.1, 1e30), weight_decays=(1.0,)).run(pixels, task, tmp_path).chosen
    assert (chosen["lr"], chosen["lr_at_edge"]) == (0.1, True)


def test_one_setting_needs_no_select_split(world: Any, pixels: MeanFrame, tmp_path: Path) -> None:
    task = world.blobs(videos=(60, 0, 20))
    with pytest.raises(UserError, match="no select video to choose among 15 settings"):
        Linear().check(task)
    protocol = Linear(lrs=(0.1,), weight_decays=(0.0,))
    protocol.check(task)
    assert protocol.run(pixels, task, tmp_path).metrics["top1"]["value"] > 0.9


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"lrs": ()}, "lrs="), ({"lrs": (0.0,)}, "lrs="), ({"weight_decays": (-1.0,)}, "weight_decays="),
        ({"epochs": 0}, "epochs=0"), ({"batch_size": 0}, "batch_size=0"), ({"momentum": 1.0}, "momentum=1.0"),
    ],
)  # fmt: skip
def test_settings_out_of_range(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Linear(**settings)
