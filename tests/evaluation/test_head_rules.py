"""Rules and published recipes of the linear probe against torch's optimisers and their own statements."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from vssl.backbones.mean_frame import MeanFrame
from vssl.config.bind import construct
from vssl.config.folders import config_root, read_yaml
from vssl.evaluation.features import features
from vssl.evaluation.head_rules import Fall
from vssl.evaluation.heads import Heads, Point, fit_heads
from vssl.evaluation.linear import Linear
from vssl.evaluation.protocol import Protocol
from vssl.training.lars import LARS

EPOCHS, BATCH, VIDEOS = 6, 16, 64
GRID = (Point(0.02, 0.0), Point(0.2, 0.1))
FALL = Fall(warmup=1 / 6, drops=(0.5,), drop=0.3)


def problem() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    label = torch.arange(VIDEOS) % 3
    return torch.randn(3, 5, generator=generator)[label] + torch.randn(VIDEOS, 5, generator=generator), label


def fit(optimiser: Any, grid: tuple[Point, ...] = GRID) -> Heads:
    found: Heads = fit_heads(
        *problem(), 3, grid, epochs=EPOCHS, batch_size=BATCH, momentum=0.9, seed=0, optimiser=optimiser, fall=FALL,
        init_std=0.01,
    )  # fmt: skip
    return found


def reference(optimiser: str, layer: nn.Linear, point: Point) -> torch.optim.Optimizer:
    weight, bias = ({"params": [part], "lr": 0.0} for part in (layer.weight, layer.bias))
    if optimiser == "lars":
        groups = [
            {**weight, "weight_decay": point.weight_decay, "adapt": True},
            {**bias, "weight_decay": 0.0, "adapt": False},
        ]
        return LARS(groups, momentum=0.9)
    groups = [{**weight, "weight_decay": point.weight_decay}, bias]
    return torch.optim.Adam(groups) if optimiser == "adam" else torch.optim.SGD(groups, momentum=0.9)


@pytest.mark.parametrize("optimiser", ["sgd", "lars", "adam"])
@pytest.mark.parametrize("place", range(2))
def test_each_head_is_what_the_optimiser_trains_alone(optimiser: str, place: int) -> None:
    (x, label), point, heads = problem(), GRID[place], fit(optimiser)
    generator, layer = torch.Generator().manual_seed(0), nn.Linear(5, 3)
    with torch.no_grad():
        layer.weight.copy_(0.01 * torch.randn(5, 3, generator=generator).T)
        layer.bias.zero_()
    trained, step = reference(optimiser, layer, point), 0
    for epoch in range(EPOCHS):
        order = torch.randperm(VIDEOS, generator=generator)
        for first in range(0, VIDEOS, BATCH):
            # One epoch of warm-up over 4 steps; from the fourth epoch on 0.3 of the rate.
            rate = point.lr * (step / 4 if epoch < 1 else 1.0 if epoch < 3 else 0.3)
            for group in trained.param_groups:
                group["lr"] = rate
            rows = order[first : first + BATCH]
            trained.zero_grad()
            F.cross_entropy(layer(x[rows]), label[rows]).backward()
            trained.step()
            step += 1
    torch.testing.assert_close(heads.weight[:, place], layer.weight.detach().T, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(heads.bias[place], layer.bias.detach(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("optimiser", ["lars", "adam"])
def test_a_grid_is_its_points_one_by_one(optimiser: str) -> None:
    together = fit(optimiser)
    for place, point in enumerate(GRID):
        torch.testing.assert_close(
            together.weight[:, place], fit(optimiser, (point,)).weight[:, 0], atol=1e-6, rtol=1e-5
        )


def test_the_rate_falls_as_told() -> None:
    cosine = Fall(warmup=0.1)
    assert [round(cosine.factor(share), 6) for share in (0.0, 0.05, 0.1, 0.55, 1.0)] == [0.0, 0.5, 1.0, 0.5, 0.0]
    severe = Fall(drops=(0.25, 0.5, 0.75), drop=0.3)
    assert [round(severe.factor(s / 40), 6) for s in (0, 9, 10, 19, 20, 30, 39)] == [1, 1, 0.3, 0.3, 0.09, 0.027, 0.027]


def test_features_of_length_one_have_no_scale(world: Any, pixels: MeanFrame, tmp_path: Path) -> None:
    task = world.blobs(videos=(60, 20, 40), noise=120.0)
    protocol = Linear(lrs=(8.0,), weight_decays=(0.0,), normalise="l2", epochs=20)
    results = protocol.run(pixels, task, tmp_path)
    probe, values = load_file(tmp_path / results.artefacts["probe"]), features(pixels, task.test, task).values[:, 0]
    length_one = values / np.linalg.norm(values, axis=1, keepdims=True)
    logits = (length_one - probe["mean"]) / probe["scale"] @ probe["weight"] + probe["bias"]
    assert np.array_equal(logits.argmax(1), results.predictions["prediction"])
    assert results.metrics["top1"]["value"] > 0.8 and results.stamp["features"] == "L2-normalised"
    assert not probe["mean"].any() and (probe["scale"] == 1).all()


def test_a_rate_by_the_batch_is_that_of_the_videos_in_a_step(world: Any, pixels: MeanFrame, tmp_path: Path) -> None:
    task = world.blobs(videos=(60, 0, 40), noise=120.0)
    for batch, in_step in ((20, 20), (1000, 60)):
        scaled = Linear(lrs=(0.5,), weight_decays=(0.0,), batch_size=batch, reference_batch=100, epochs=5)
        given = Linear(lrs=(0.5 * in_step / 100,), weight_decays=(0.0,), batch_size=batch, epochs=5)
        one, other = (np.stack(p.run(pixels, task, tmp_path).predictions["scores"]) for p in (scaled, given))
        np.testing.assert_allclose(one, other, rtol=1e-5)


RECIPES = sorted((config_root() / "eval").glob("linear_*.yaml"))


def test_there_are_recipes() -> None:
    assert {path.stem for path in RECIPES} >= {
        "linear_mae",
        "linear_cvrl",
        "linear_moco_v3",
        "linear_severe",
        "linear_svt",
    }


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_one_setting_that_learns(world: Any, pixels: MeanFrame, tmp_path: Path, path: Path) -> None:
    # These videos have four frames, which is too few for ten clips.
    protocol = construct({**read_yaml(path), "clips": 2}, Protocol, f"eval.{path.stem}")
    assert isinstance(protocol, Linear) and len(protocol.grid) == 1
    task = world.blobs(videos=(120, 0, 40), noise=30.0)
    protocol.check(task)  # nothing to choose on is needed
    results = protocol.run(pixels, task, tmp_path)
    assert results.metrics["top1"]["value"] > 0.9
    assert results.stamp["selection"] == "none"


def test_a_recipes_stamp_tells_all_of_it() -> None:
    task = SimpleNamespace(is_multi=False)
    stamps = {path.stem: construct(read_yaml(path), Linear, "eval").settings(task) for path in RECIPES}  # type: ignore[arg-type]
    assert stamps["linear_mae"]["optimiser"] == {
        "name": "LARS", "momentum": 0.9, "schedule": "10 epochs of warm-up, cosine to 0", "epochs": 90,
        "batch_size": 16384, "init_std": 0.01,
    }  # fmt: skip
    assert stamps["linear_severe"]["optimiser"] == {
        "name": "Adam", "schedule": "times 0.3 after epochs 10, 20, 30", "epochs": 40, "batch_size": 32,
    }  # fmt: skip
    assert stamps["linear_cvrl"]["features"] == "L2-normalised"
    assert stamps["linear_moco_v3"]["features"] == "as they are"


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"warmup_epochs": 100}, "warmup_epochs=100"), ({"drop_epochs": (0,)}, "drop_epochs="),
        ({"drop_epochs": (100,)}, "drop_epochs="), ({"drop": 0.0}, "drop=0.0"), ({"init_std": -1.0}, "init_std=-1.0"),
        ({"reference_batch": -5}, "reference_batch=-5"),
    ],
)  # fmt: skip
def test_settings_out_of_range(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Linear(**settings)
