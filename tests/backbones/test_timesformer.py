import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import TimesformerConfig, TimesformerModel

from tests.backbones.parity import PLAIN, assert_equal_gradients, clips
from vssl.backbones.timesformer import TimeSformer


def _encoder(**changes: Any) -> TimeSformer:
    torch.manual_seed(0)
    settings: dict[str, Any] = {"frames": 3, "size": 16, "embed_dim": 24, "depth": 2, "heads": 3, "patch_size": 8}
    return TimeSformer(**{**settings, **changes})


def _shaken(encoder: TimeSformer) -> TimeSformer:
    """Away from the zeros that it starts with, behind which errors could hide."""
    for parameter in encoder.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return encoder


CLIP = clips(3, 16)


def _foreign(encoder: TimeSformer) -> TimesformerModel:
    config = TimesformerConfig(
        image_size=encoder.size, patch_size=encoder.patch[1], num_frames=encoder.frames, hidden_size=encoder.embed_dim,
        num_hidden_layers=len(encoder.blocks), num_attention_heads=3, intermediate_size=4 * encoder.embed_dim,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, layer_norm_eps=1e-6,
        attn_implementation="eager",
    )  # fmt: skip
    model = TimesformerModel(config)
    missing, unexpected = model.load_state_dict(_renamed(encoder.state_dict()), strict=False)
    assert not missing and not unexpected
    return model


def _renamed(ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our names to those of transformers."""
    inner = {
        "temporal_norm1": "temporal_layernorm", "temporal_attn.qkv": "temporal_attention.attention.qkv",
        "temporal_attn.proj": "temporal_attention.output.dense", "temporal_fc": "temporal_dense",
        "norm1": "layernorm_before", "attn.qkv": "attention.attention.qkv", "attn.proj": "attention.output.dense",
        "norm2": "layernorm_after", "mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense",
    }  # fmt: skip
    outer = {
        "cls_token": "embeddings.cls_token", "pos_embed": "embeddings.position_embeddings",
        "time_embed": "embeddings.time_embeddings", "patch_embed.bias": "embeddings.patch_embeddings.projection.bias",
        "norm.weight": "layernorm.weight", "norm.bias": "layernorm.bias",
    }  # fmt: skip
    theirs: dict[str, Tensor] = {}
    for name, tensor in ours.items():
        if name.startswith("blocks."):
            _, block, rest = name.split(".", 2)
            part, leaf = rest.rsplit(".", 1)
            theirs[f"encoder.layer.{block}.{inner[part]}.{leaf}"] = tensor
        elif name == "patch_embed.weight":
            theirs["embeddings.patch_embeddings.projection.weight"] = tensor.unflatten(1, (3, 8, 8))
        elif name not in ("mean", "std"):
            theirs[outer[name]] = tensor
    return theirs


def test_outputs_and_gradients_equal_transformers() -> None:
    ours = _shaken(_encoder(drop_path=0.0, **PLAIN)).train()
    theirs, clip = _foreign(ours).train(), CLIP
    found = ours._encode(clip)
    hidden = theirs(pixel_values=clip.transpose(1, 2)).last_hidden_state  # class token, then places, time fastest
    patches = hidden[:, 1:].unflatten(1, (4, 3)).transpose(1, 2)
    torch.testing.assert_close(found[:, 0, 0], hidden[:, 0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[:, :, 1:], patches, rtol=1e-5, atol=1e-5)
    weight = torch.randn(2, 13, 24, generator=torch.Generator().manual_seed(2))
    (hidden * weight).sum().backward()
    mine = torch.cat([found[:, 0, :1], found[:, :, 1:].transpose(1, 2).flatten(1, 2)], dim=1)
    (mine * weight).sum().backward()
    gradients = _renamed({name: p.grad for name, p in ours.named_parameters() if p.grad is not None})
    assert_equal_gradients(gradients, {name: p.grad for name, p in theirs.named_parameters()})


@pytest.mark.parametrize(("frames", "size"), [(5, 16), (2, 16), (3, 24), (4, 32)])
def test_tables_are_resized_as_transformers_does(frames: int, size: int) -> None:
    ours = _shaken(_encoder(**PLAIN))
    embeddings, clip = _foreign(ours).embeddings, clips(frames, size)
    t, h, w = ours.grid(clip.shape)
    ours.blocks, ours.norm = torch.nn.ModuleList(), torch.nn.Identity()
    theirs = embeddings(clip.transpose(1, 2))
    torch.testing.assert_close(ours._encode(clip)[:, 0, 0], theirs[:, 0], rtol=1e-5, atol=1e-5)
    patches = theirs[:, 1:].unflatten(1, (h * w, t)).transpose(1, 2)
    torch.testing.assert_close(ours.tokens(clip), patches.flatten(1, 2), rtol=1e-5, atol=1e-5)


def test_it_starts_blind_to_the_order_of_frames_and_learns_it_from_the_second_step_on() -> None:
    encoder, clip = _encoder().eval(), CLIP
    torch.testing.assert_close(encoder(clip), encoder(clip.flip(2)), rtol=1e-5, atol=1e-5)
    encoder(clip)[:, 0].sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None
        over_time = "temporal_attn" in name or "temporal_norm1" in name
        assert over_time == (not parameter.grad.any()), name
    for block in encoder.blocks:
        assert not block.temporal_fc.weight.any() and not block.temporal_fc.bias.any()
    assert not encoder.time_embed.any()
    changed = _shaken(encoder)
    assert not torch.allclose(changed(clip), changed(clip.flip(2)), rtol=1e-3, atol=1e-3)


def test_pooling() -> None:
    cls, mean = _shaken(_encoder()).eval(), _encoder(pool="mean").eval()
    mean.load_state_dict(cls.state_dict())
    clip = CLIP
    torch.testing.assert_close(mean(clip), cls.tokens(clip).mean(dim=1))
    assert not torch.allclose(cls(clip), mean(clip))


def test_stochastic_depth_leaves_out_lines_frames_and_samples() -> None:
    encoder = _encoder(depth=3, drop_path=0.4)
    assert [block.drop_path.rate for block in encoder.blocks] == pytest.approx([0, 0.2, 0.4])
    rows: list[int] = []
    encoder.blocks[2].drop_path.register_forward_hook(lambda _, inputs, __: rows.append(len(inputs[0])))
    encoder.train()(CLIP)
    assert rows == [2 * 4, 2 * 3, 2]
    assert _encoder().drop_path == 0.1


def test_layers_and_tables() -> None:
    encoder = _encoder()
    layers = encoder.layers()
    assert encoder.no_decay() == {"cls_token", "pos_embed", "time_embed"} <= set(layers[0])
    assert len(layers) == 3 and "blocks.1.temporal_fc.bias" in layers[2] and "norm.bias" in layers[2]
    assert encoder.cls_token.std() < 0.04 and encoder.blocks[0].attn.qkv.weight.std().item() == pytest.approx(
        0.02, rel=0.1
    )


def test_a_momentum_copy_starts_equal() -> None:
    encoder = _encoder().eval()
    assert torch.equal(copy.deepcopy(encoder)(CLIP), encoder(CLIP))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"size": 20}, "clip.size is 20 and patch_size 8; patch_size must divide clip.size"),
        ({"heads": 5}, "width 24 cannot be divided among 5 heads"),
        ({"depth": 0}, "depth is 0; it must be at least 1"),
        ({"drop_path": 1.0}, "drop_path is 1.0"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        _encoder(**changes)


def test_what_it_cannot_take_is_refused() -> None:
    with pytest.raises(ValueError, match="a clip of 3 frames of 16 x 20 pixels does not fit"):
        _encoder()(clips(3, 16, 20))
    with pytest.raises(ValueError, match="no token can be left out"):
        _encoder().tokens(CLIP, torch.zeros(2, 1, dtype=torch.int64))
