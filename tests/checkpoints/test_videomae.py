"""Official VideoMAE files, of both trainings and of both versions: what is taken, what is left, what is refused."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.checkpoints.tools import loaded, randomised, same
from vssl.backbones.vit import VisionTransformer
from vssl.checkpoints.files import open_weights
from vssl.checkpoints.known import find
from vssl.config.errors import UserError

DECODER = {
    "mask_token": torch.ones(1, 1, 8), "encoder_to_decoder.weight": torch.ones(8, 32),
    "decoder.norm.weight": torch.ones(8), "decoder.blocks.0.attn.q_bias": torch.ones(8),
    "decoder.head.bias": torch.ones(9),
}  # fmt: skip
HEAD = {name: torch.ones(32) for name in ("fc_norm.weight", "fc_norm.bias", "head.bias")}


def vit(**given: Any) -> VisionTransformer:
    settings = {"frames": 4, "size": 16, "embed_dim": 32, "depth": 2, "heads": 2, "patch_size": 8, **given}
    return randomised(VisionTransformer(**settings))


def official(encoder: VisionTransformer, prefix: str = "") -> dict[str, Tensor]:
    """Names of MCG-NJU/VideoMAE, written out here once more."""
    renamed = {}
    for name, tensor in encoder.state_dict().items():
        if name in ("mean", "std"):
            continue
        if name == "patch_embed.weight":
            tubelet, side, _ = encoder.patch
            tensor = tensor.reshape(encoder.embed_dim, 3, tubelet, side, side)
        renamed[prefix + name.replace("patch_embed.", "patch_embed.proj.")] = tensor
    return renamed


Save = Callable[[object], Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def write(content: object) -> Path:
        torch.save(content, tmp_path / "checkpoint.pth")
        return tmp_path / "checkpoint.pth"

    return write


def test_a_pretraining(save: Save) -> None:
    encoder = vit()
    args = argparse.Namespace(num_frames=4, input_size=16, model="pretrain_videomae_base_patch16_224")
    path = save({"model": {**official(encoder, "encoder."), **DECODER}, "epoch": "best", "args": args})
    read, report = loaded(path, heads=2)
    assert same(read.state_dict(), encoder.state_dict())
    assert report.layout == "videomae"
    assert report.left_out == dict.fromkeys(DECODER, "the decoder of the pretraining")
    assert report.missing == {}
    assert report.reshaped == {"patch_embed.weight": "(32, 3, 2, 8, 8) -> (32, 384)"}
    assert "30 of 30 tensors matched" in report.told()


@pytest.mark.parametrize(
    ("container", "prefix"), [("module", ""), ("model", "backbone."), (None, "_orig_mod.encoder.")]
)
def test_containers_and_prefixes(save: Save, container: str | None, prefix: str) -> None:
    encoder = vit()
    weights = official(encoder, prefix)
    read, report = loaded(save({container: weights, "epoch": 3} if container else weights), heads=2, frames=4, size=16)
    assert same(read.state_dict(), encoder.state_dict())
    assert report.left_out == report.missing == {}


def test_a_fine_tuning_has_no_norm_before_the_mean(save: Save) -> None:
    encoder = vit()
    weights = {name: tensor for name, tensor in official(encoder).items() if not name.startswith("norm.")}
    read, report = loaded(save({"module": {**weights, **HEAD}}), heads=2, frames=4, size=16)
    assert set(report.missing) == {"norm.weight", "norm.bias"}
    assert set(report.left_out) == set(HEAD)
    assert read.norm.weight.eq(1).all() and read.norm.bias.eq(0).all()
    assert torch.equal(read.blocks[1].attn.v_bias, encoder.blocks[1].attn.v_bias)


def test_half_precision_becomes_single(save: Save) -> None:
    encoder = vit()
    read, _ = loaded(
        save({"model": {name: t.half() for name, t in official(encoder).items()}}), heads=2, frames=4, size=16
    )
    assert read.patch_embed.weight.dtype is torch.float32
    assert torch.equal(read.norm.bias, encoder.norm.bias.half().float())


@pytest.mark.parametrize(
    ("norm", "told"),
    [
        (torch.ones(32, dtype=torch.int8), r"norm\.weight is of torch\.int8 there, of torch\.float32 here"),
        (torch.full((32,), torch.nan), r"norm\.weight is not finite there"),
    ],
)
def test_what_is_no_weight_is_refused(save: Save, norm: Tensor, told: str) -> None:
    with pytest.raises(UserError, match=told):
        loaded(save({"model": {**official(vit()), "norm.weight": norm}}), heads=2, frames=4, size=16)


@pytest.mark.parametrize(
    ("drop", "told"),
    [("blocks.1.attn.q_bias", "blocks.1.attn.q_bias is absent there"), ("blocks.0.mlp.fc2.bias", "absent")],
)
def test_a_lost_tensor_is_refused(save: Save, drop: str, told: str) -> None:
    weights = official(vit())
    del weights[drop]
    with pytest.raises(UserError, match=told):
        loaded(save({"model": weights}), heads=2, frames=4, size=16)


def test_a_tensor_without_a_place_is_refused(save: Save) -> None:
    weights = {**official(vit()), "blocks.0.attn.k_bias": torch.ones(32)}
    with pytest.raises(UserError, match=r"blocks\.0\.attn\.k_bias is \(32,\) there and has no place here"):
        loaded(save({"model": weights}), heads=2, frames=4, size=16)


def test_heads_of_released_widths_are_known_and_others_asked_for(save: Save) -> None:
    wide = official(vit(embed_dim=192, heads=3, depth=1))
    read, _ = loaded(save({"model": wide}), frames=4, size=16)
    assert read.blocks[0].attn.heads == 3
    with pytest.raises(UserError, match=r"heads is 3 there, 6 here \(backbone\.heads=3\)"):
        loaded(save({"model": wide}), heads=6, frames=4, size=16)
    with pytest.raises(UserError, match=r"backbone\.heads must be given"):
        loaded(save({"model": official(vit())}))


def test_version_2_is_told_by_its_arguments_its_giant_or_its_prefix(save: Save) -> None:
    weights = official(vit())
    args = argparse.Namespace(decoder_mask_ratio=0.5)
    from_hub = {f"model.{name}": tensor for name, tensor in weights.items()}
    cases: list[tuple[dict[str, Any], str]] = [
        ({"model": weights, "args": args}, "videomae_v2"), (from_hub, "videomae_v2"), ({"module": weights}, "videomae"),
    ]  # fmt: skip
    for content, name in cases:
        layout = find(open_weights(save(content), [argparse.Namespace]))
        assert layout is not None
        assert layout.name == name
    read, report = loaded(save(cases[1][0]), heads=2, frames=4, size=16)
    assert same(read.state_dict(), vit().state_dict())
    assert report.layout == "videomae_v2"
