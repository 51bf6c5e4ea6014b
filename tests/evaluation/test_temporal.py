from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.evaluation.moving import task
from vssl.backbones.mean_frame import MeanFrame
from vssl.backbones.motion_path import MotionPath
from vssl.config.bind import bind
from vssl.config.compose import compose
from vssl.config.errors import UserError
from vssl.evaluation.change_time import Reversed
from vssl.evaluation.eval_views import EvalViews
from vssl.evaluation.features import features
from vssl.evaluation.linear import Linear
from vssl.evaluation.run import evaluate
from vssl.evaluation.temporal import NAMES, Temporal
from vssl.records.record import read_record
from vssl.report.gather import gather
from vssl.statistics import bootstrap_interval
from vssl.video.views import Clip

QUICK: dict[str, Any] = {"lrs": (0.1,), "weight_decays": (0.0,), "epochs": 40}
ORDERED = ("shuffled", "reversed", "single_frame", "static_frame")


@pytest.fixture
def encoder() -> MotionPath:
    return MotionPath(size=16, steps=8)


def test_an_encoder_of_ordered_motion_falls_when_order_goes(encoder: MotionPath, tmp_path: Path) -> None:
    found = Temporal(**QUICK).run(encoder, task(tmp_path), tmp_path).metrics
    assert found["top1"]["value"] > 0.95
    assert found["top1_reversed"]["value"] < 0.05  # it takes every way for its opposite
    for name in ("single_frame", "static_frame"):
        assert found[f"top1_{name}"]["low"] <= 0.25 <= found[f"top1_{name}"]["high"]
    assert found["top1_shuffled"]["value"] < 0.75
    for name in ORDERED:
        assert found[f"gap_{name}"]["low"] > 0.15, name
    for name in ("double_speed", "half_speed"):  # the way is the same
        assert found[f"top1_{name}"]["value"] > 0.8, name


def test_an_encoder_that_knows_no_order_does_not_fall(tmp_path: Path) -> None:
    found = (
        Temporal(changes=("shuffled", "reversed"), **QUICK).run(MeanFrame(size=16), task(tmp_path), tmp_path).metrics
    )
    for name in ("shuffled", "reversed"):
        assert abs(found[f"gap_{name}"]["value"]) < 0.02, name


def test_a_probe_of_the_changed_clips_own_tells_what_is_left(encoder: MotionPath, tmp_path: Path) -> None:
    protocol = Temporal(changes=("reversed", "single_frame"), retrain=True, **QUICK)
    found = protocol.run(encoder, task(tmp_path), tmp_path).metrics
    assert found["top1_reversed_retrained"]["value"] > 0.95  # nothing was lost, it only lay elsewhere
    assert found["top1_single_frame_retrained"]["value"] < 0.5
    assert found["gap_reversed_retrained"]["value"] == pytest.approx(
        found["top1"]["value"] - found["top1_reversed_retrained"]["value"]
    )


def test_normal_clips_are_read_and_probed_as_by_the_linear_protocol(encoder: MotionPath, tmp_path: Path) -> None:
    asked = task(tmp_path)
    temporal = Temporal(lrs=(0.01, 0.1), epochs=20).run(encoder, asked, tmp_path)
    linear = Linear(lrs=(0.01, 0.1), epochs=20).run(encoder, asked, tmp_path)
    assert temporal.metrics["top1"] == linear.metrics["top1"] and temporal.chosen == linear.chosen
    assert np.array_equal(np.stack(temporal.predictions["scores"]), np.stack(linear.predictions["scores"]))


def test_gaps_are_paired_and_follow_from_the_predictions(encoder: MotionPath, tmp_path: Path) -> None:
    asked = task(tmp_path)
    results = Temporal(**QUICK).run(encoder, asked, tmp_path)
    rows = results.predictions
    for name in NAMES:
        difference = (rows["prediction"] == rows["label"]).astype(float) - (rows[f"prediction_{name}"] == rows["label"])
        metric = results.metrics[f"gap_{name}"]
        assert metric["value"] == pytest.approx(difference.mean())
        assert (metric["low"], metric["high"]) == bootstrap_interval(difference, seed=asked.seed)


def test_only_test_clips_are_changed_and_after_every_choice(encoder: MotionPath, tmp_path: Path) -> None:
    asked = task(tmp_path, videos=(12, 4, 4))
    Temporal(changes=("shuffled", "reversed"), **QUICK).run(encoder, asked, tmp_path)
    learned = [*asked.train.id, *asked.select.id]
    assert asked.reader.opened == [*learned, *[*asked.test.id] * 3]  # type: ignore[attr-defined]
    reversed_ = features(encoder, asked.test, asked, EvalViews(change=Reversed())).values[:, 0]
    normal = features(encoder, asked.test, asked).values[:, 0]
    np.testing.assert_allclose(reversed_.reshape(-1, 2, 8), normal.reshape(-1, 2, 8)[..., ::-1], atol=1e-5)


def test_shuffled_test_labels_give_chance(encoder: MotionPath, tmp_path: Path) -> None:
    asked = task(tmp_path, videos=(60, 20, 120))
    lot = np.random.default_rng(0).permutation(asked.test.labels["way"])
    blind = replace(asked, test=replace(asked.test, labels={"way": lot}))
    found = Temporal(**QUICK).run(encoder, blind, tmp_path).metrics
    for name in ("top1", *(f"top1_{change}" for change in NAMES)):
        assert found[name]["low"] < 0.25 < found[name]["high"], name


def test_its_stamp_tells_the_changes(tmp_path: Path) -> None:
    asked = task(tmp_path)
    stamp = Temporal().stamp(asked)
    assert list(stamp["changes"]) == list(NAMES) and stamp["changes"]["half_speed"] == {
        "name": "half_speed",
        "held": False,
    }
    held = Temporal().stamp(replace(asked, clip=Clip(8, 3, 16)))["changes"]["half_speed"]
    assert held == {"name": "half_speed", "held": True}
    assert stamp["training clip"] == "centre" and not stamp["retrain"]


def test_clips_by_segments_have_no_speed_and_train_by_segments(encoder: MotionPath, tmp_path: Path) -> None:
    protocol, asked = Temporal(sampling="segments", **QUICK), task(tmp_path)
    assert list(protocol.stamp(asked)["changes"]) == list(ORDERED)
    assert protocol.stamp(asked)["training clip"] == "segments"
    assert protocol.run(encoder, asked, tmp_path).metrics["top1"]["value"] > 0.95


def test_what_cannot_be_asked_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"changes: there is no shufled; did you mean 'shuffled'\?; known: shuffled, rev"
    ):
        Temporal(changes=("shufled",))
    with pytest.raises(ValueError, match="changes is empty"):
        Temporal(changes=())
    with pytest.raises(UserError, match="clips of one frame have no order"):
        Temporal().check(replace(task(tmp_path), clip=Clip(frames=1, stride=1, size=16)))


def test_the_motion_path_is_an_encoder_of_its_own(tiny: list[str]) -> None:
    composed = compose([*tiny, "eval=temporal", "eval.label=motion"])
    (place,) = evaluate(bind(composed.tree), composed.choices, "motion_path", Path("runs"))
    identity = read_record(place)["identity"]
    assert (identity["encoder"]["kind"], identity["backbone"]) == ("motion_path", "motion_path")
    assert place.parent.parent.name.startswith("motion_path-")
    (found,) = gather(Path("runs")).encoders
    assert (found.kind, found.called) == ("motion_path", "motion_path")


@pytest.mark.usefixtures("cache")
def test_the_positive_control_on_real_gestures(shared_data: Path, tmp_path: Path) -> None:
    """Gestures that single frames do not tell (0.11 to 0.14): the path of what moves does, in its order."""
    root = shared_data / "egogestar10"
    words = [
        "data=video_list", "clip.frames=16", "clip.size=32", "eval=temporal", "eval.temporal.sampling=segments",
        "run.threads=1", "run.workers=0",
    ]  # fmt: skip
    paths = {"data.root": str(root), "data.manifest": str(root / "clips.csv")}
    composed = compose(words, paths=paths)
    (place,) = evaluate(bind(composed.tree), composed.choices, "motion_path", tmp_path)
    record = read_record(place)
    found = record["results"]
    assert record["identity"]["backbone"] == "motion_path"
    assert found["top1"]["value"] > 0.55
    assert found["top1_shuffled"]["value"] < 0.4 and found["gap_shuffled"]["low"] > 0.15
    for name in ("reversed", "single_frame", "static_frame"):
        assert found[f"top1_{name}"]["value"] < 0.25 and found[f"gap_{name}"]["low"] > 0.3, name
