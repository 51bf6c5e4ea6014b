"""TimeSformer by its official names, SVT's, and those of transformers."""

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import TimesformerConfig, TimesformerForVideoClassification, TimesformerModel

from tests.checkpoints.tools import clip, loaded, randomised, same
from vssl.backbones.base import IMAGENET_MEAN, IMAGENET_STD
from vssl.backbones.timesformer import TimeSformer
from vssl.checkpoints.export import Export
from vssl.config.errors import UserError

GREY, SPREAD = (0.45, 0.45, 0.45), (0.225, 0.225, 0.225)


def timesformer(**given: Any) -> TimeSformer:
    return randomised(TimeSformer(4, 16, 32, 2, 2, patch_size=8, **{"mean": GREY, "std": SPREAD, **given}))


def official(encoder: TimeSformer, prefix: str) -> dict[str, Tensor]:
    weights = {name: tensor for name, tensor in encoder.state_dict().items() if name not in ("mean", "std")}
    weights["patch_embed.proj.weight"] = weights.pop("patch_embed.weight").reshape(32, 3, 8, 8)
    weights["patch_embed.proj.bias"] = weights.pop("patch_embed.bias")
    return {f"{prefix}{name}": tensor for name, tensor in weights.items()}


def test_official(tmp_path: Path) -> None:
    encoder = timesformer()
    head = {"model.head.weight": torch.ones(5, 32), "model.head.bias": torch.ones(5)}
    torch.save({"model_state": {**official(encoder, "model."), **head}, "cfg": "x"}, tmp_path / "t.pyth")
    read, report = loaded(tmp_path / "t.pyth", heads=2)
    assert same(read.state_dict(), encoder.state_dict())
    assert (report.layout, set(report.left_out)) == ("timesformer", {"head.weight", "head.bias"})
    assert (read.frames, read.size) == (4, 16)


@pytest.mark.parametrize("released", [True, False])
def test_svt_takes_the_teacher(tmp_path: Path, released: bool) -> None:
    """What is released is the teacher alone; a training's file holds it beside others."""
    head = dict.fromkeys(("head.mlp.0.weight", "head.last_layer.weight_g"), torch.ones(2))
    of_imagenet = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
    teacher, student = timesformer(**of_imagenet), randomised(timesformer(), seed=7)
    weights = {**official(teacher, "backbone."), **head}
    training = {
        "student": official(student, "module.backbone."), "motion_student": 0, "epoch": 20,
        "teacher": weights, "args": argparse.Namespace(lr=1),
    }  # fmt: skip
    torch.save(weights if released else training, tmp_path / "svt.pth")
    read, report = loaded(tmp_path / "svt.pth", heads=2)
    assert same(read.state_dict(), teacher.state_dict())
    assert (report.layout, len(report.left_out)) == ("svt", 2)


def test_a_timesformer_of_joint_attention_is_refused_in_a_sentence(tmp_path: Path) -> None:
    joint = {name: tensor for name, tensor in official(timesformer(), "model.").items() if "temporal" not in name}
    torch.save({"model_state": joint}, tmp_path / "joint.pyth")
    TimesformerModel(config(attention_type="joint_space_time")).save_pretrained(tmp_path / "joint")
    for path in (tmp_path / "joint.pyth", tmp_path / "joint"):
        with pytest.raises(UserError, match="is a TimeSformer of joint attention, and no backbone here has that"):
            loaded(path)


def test_what_transformers_has_no_word_for_comes_back(tmp_path: Path) -> None:
    node = {"mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD), "pool": "mean"}
    encoder = timesformer(**node)
    Export("huggingface")(encoder, {"frames": 4, "size": 16}, node, tmp_path / "out")
    TimesformerModel.from_pretrained(tmp_path / "out").save_pretrained(tmp_path / "again")
    for folder in ("out", "again"):
        read, _ = loaded(tmp_path / folder)
        assert same(read.state_dict(), encoder.state_dict()), folder
        assert isinstance(read, TimeSformer) and read.pool == "mean"


def test_pixels_of_another_mean_are_refused(tmp_path: Path) -> None:
    torch.save({"model_state": official(timesformer(), "model.")}, tmp_path / "t.pyth")
    with pytest.raises(UserError, match=r"backbone\.mean=\[0\.45,0\.45,0\.45\]"):
        loaded(tmp_path / "t.pyth", heads=2, mean=(0.485, 0.456, 0.406))


def config(**given: Any) -> TimesformerConfig:
    return TimesformerConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128, image_size=16, patch_size=8,
        num_frames=4, num_labels=5, **given,
    )  # fmt: skip


def test_tokens_are_those_of_transformers_in_and_out(tmp_path: Path) -> None:
    model = randomised(TimesformerModel(config()))
    model.save_pretrained(tmp_path / "in")
    encoder, report = loaded(tmp_path / "in")
    assert (report.missing, report.left_out) == ({}, {})
    Export("huggingface")(encoder, {"size": 16}, {}, tmp_path / "out")
    again = TimesformerModel.from_pretrained(tmp_path / "out").eval()
    assert same(again.state_dict(), model.state_dict())
    pixels = clip(4, 16)
    with torch.no_grad():
        theirs = model(encoder.normalise(pixels, channel_dim=1).transpose(1, 2)).last_hidden_state
        torch.testing.assert_close(encoder(pixels), theirs[:, 0], atol=1e-5, rtol=1e-5)
        # There a place's frames follow each other, here a frame's places.
        by_frame = theirs[:, 1:].unflatten(1, (4, 4)).transpose(1, 2).flatten(1, 2)
        torch.testing.assert_close(encoder.tokens(pixels), by_frame, atol=1e-5, rtol=1e-5)


def test_a_classifier_is_left_out(tmp_path: Path) -> None:
    model = randomised(TimesformerForVideoClassification(config()))
    model.save_pretrained(tmp_path)
    _, report = loaded(tmp_path)
    assert set(report.left_out) == {"classifier.weight", "classifier.bias"}
