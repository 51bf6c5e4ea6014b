from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.evaluation.moving import task
from vssl.backbones.mean_frame import MeanFrame
from vssl.backbones.motion_path import MotionPath
from vssl.evaluation.change_picture import Noisy
from vssl.evaluation.robustness import KINDS, LEVELS, Robustness

QUICK: dict[str, Any] = {"lrs": (0.1,), "weight_decays": (0.0,), "epochs": 40}


@pytest.fixture
def encoder() -> MotionPath:
    return MotionPath(size=16, steps=8)


def test_means_are_those_of_its_predictions(encoder: MotionPath, tmp_path: Path) -> None:
    results = Robustness(kinds=("noise", "frame_drops"), levels=(1, 5), **QUICK).run(encoder, task(tmp_path), tmp_path)
    rows, found = results.predictions, results.metrics
    right = {
        name: (rows[f"prediction_{name}"] == rows["label"]).mean()
        for name in ("noise_1", "noise_5", "frame_drops_1", "frame_drops_5")
    }
    for name, value in right.items():
        assert found[f"top1_{name}"]["value"] == pytest.approx(value)
    assert found["top1_noise"]["value"] == pytest.approx((right["noise_1"] + right["noise_5"]) / 2)
    assert found["top1_damaged"]["value"] == pytest.approx(np.mean(list(right.values())))
    assert found["gap_damaged"]["value"] == pytest.approx(found["top1"]["value"] - np.mean(list(right.values())))
    assert found["gap_damaged"]["low"] <= found["gap_damaged"]["value"] <= found["gap_damaged"]["high"]


def test_strong_damage_costs_more_than_weak(world: Any, pixels: MeanFrame, encoder: MotionPath, tmp_path: Path) -> None:
    of_motion = Robustness(levels=(1, 5), **QUICK).run(encoder, task(tmp_path), tmp_path).metrics
    assert of_motion["top1"]["value"] > 0.95
    assert of_motion["top1_frame_drops_1"]["value"] > of_motion["top1_frame_drops_5"]["value"] + 0.1
    asked = world.blobs(videos=(400, 80, 400), classes=8, noise=220.0)
    of_pixels = Robustness(kinds=("noise", "blur"), levels=(1, 5), **QUICK).run(pixels, asked, tmp_path).metrics
    for kind in ("noise", "blur"):
        assert of_pixels[f"top1_{kind}_1"]["value"] > of_pixels[f"top1_{kind}_5"]["value"] + 0.05, kind


def test_a_still_picture_loses_nothing_to_lost_frames(world: Any, pixels: MeanFrame, tmp_path: Path) -> None:
    found = Robustness(kinds=("frame_drops",), **QUICK).run(pixels, world.blobs(), tmp_path).metrics
    assert found["gap_damaged"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert found["top1"]["value"] > 0.9


def test_encoders_are_shown_the_same_damage(encoder: MotionPath, tmp_path: Path) -> None:
    asked, protocol = task(tmp_path, videos=(12, 4, 4)), Robustness(kinds=("noise",), levels=(3,), **QUICK)
    one, other = protocol.run(encoder, asked, tmp_path), protocol.run(MeanFrame(size=16), asked, tmp_path)
    assert one.inputs == other.inputs
    assert one.inputs != Robustness(kinds=("noise",), levels=(4,), **QUICK).run(encoder, asked, tmp_path).inputs


def test_shuffled_test_labels_give_chance(encoder: MotionPath, tmp_path: Path) -> None:
    asked = task(tmp_path, videos=(60, 20, 120))
    lot = np.random.default_rng(0).permutation(asked.test.labels["way"])
    blind = replace(asked, test=replace(asked.test, labels={"way": lot}))
    found = Robustness(levels=(1,), **QUICK).run(encoder, blind, tmp_path).metrics
    for name in ("top1", "top1_damaged", *(f"top1_{kind}_1" for kind in KINDS)):
        assert found[name]["low"] < 0.25 < found[name]["high"], name


def test_its_stamp_tells_kinds_and_strengths(tmp_path: Path) -> None:
    changes = Robustness().stamp(task(tmp_path))["changes"]
    assert list(changes) == [f"{kind}_{level}" for kind in KINDS for level in LEVELS]
    assert changes["noise_3"] == Noisy(0.18).settings() == {"name": "noise", "std": 0.18}
    assert changes["compression_5"] == {"name": "compression", "quality": 7}
    assert changes["blur_5"] == {"name": "blur", "at_32_px": 1.0, "at_224_px": 6}
    assert changes["frame_drops_1"] == {"name": "frame_drops", "share": 0.1}


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"kinds": ("noize",)}, r"kinds: there is no noize; did you mean 'noise'\?"), ({"kinds": ()}, "kinds="),
        ({"levels": ()}, "levels="), ({"levels": (0,)}, "levels="), ({"levels": (6,)}, "levels from 1 to 5"),
    ],
)  # fmt: skip
def test_settings_out_of_range(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Robustness(**settings)
