import math
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from vssl.backbones.vit import VisionTransformer
from vssl.nn.positions import PositionKind, resize_table

CONFIGS = Path(__file__).parents[2] / "configs" / "backbone"


def _vit(**changes: Any) -> VisionTransformer:
    torch.manual_seed(0)
    settings: dict[str, Any] = {"frames": 4, "size": 16, "embed_dim": 24, "depth": 2, "heads": 3, "patch_size": 8}
    return VisionTransformer(**{**settings, **changes})


def _clips(batch: int = 3, frames: int = 4, size: int = 16) -> Tensor:
    return torch.rand(batch, 3, frames, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("name", "parameters"),
    # At patch 16. Small to huge agree with transformers' VideoMAEModel; nano and tiny come from the same formula.
    [("nano", 989_568), ("tiny", 5_631_552), ("small", 21_879_936), ("base", 86_227_200), ("large", 303_860_736),
     ("huge", 631_607_040)],
)  # fmt: skip
def test_sizes_have_the_published_parameter_counts(name: str, parameters: int) -> None:
    node = OmegaConf.load(CONFIGS / f"vit_{name}.yaml")
    with torch.device("meta"):
        encoder = VisionTransformer(frames=16, size=224, **{k: node[k] for k in ("embed_dim", "depth", "heads")})
    assert sum(p.numel() for p in encoder.parameters()) == parameters


@pytest.mark.parametrize("pool", ["mean", "cls"])
def test_keeping_every_token_equals_keeping_none_out(pool: Literal["mean", "cls"]) -> None:
    encoder = _vit(pool=pool)
    everything = torch.arange(8).expand(3, 8)
    torch.testing.assert_close(encoder.tokens(_clips(), everything), encoder.tokens(_clips()))


def test_kept_tokens_equal_full_tokens_whose_attention_sees_only_them(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, clip = _vit(), _clips()
    keep = torch.tensor([[0, 3, 5], [1, 2, 7], [4, 5, 6]])
    short = encoder.tokens(clip, keep)
    allowed = torch.zeros(3, 1, 1, 8, dtype=torch.bool).scatter_(3, keep.view(3, 1, 1, 3), True)
    attend = nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        nn.functional, "scaled_dot_product_attention", lambda q, k, v: attend(q, k, v, attn_mask=allowed)
    )
    full = encoder.tokens(clip)
    torch.testing.assert_close(short, torch.stack([full[b, keep[b]] for b in range(3)]), rtol=1e-5, atol=1e-6)


def test_hidden_pixels_are_never_read() -> None:
    encoder, clip = _vit(), _clips()
    keep = torch.tensor([[0, 3, 5]]).expand(3, 3)
    poisoned = clip.clone()
    poisoned[:, :, :2, :8, 8:] = math.nan  # token 1: first time slot, first row, second column
    assert torch.equal(encoder.tokens(poisoned, keep), encoder.tokens(clip, keep))
    assert encoder.tokens(poisoned).isnan().any()


def test_pixels_are_normalised_by_channel_before_the_embedding() -> None:
    mean, std = (0.1, 0.2, 0.3), (0.5, 2.0, 4.0)
    plain, shifted = _vit(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)), _vit(mean=mean, std=std)
    clip = _clips()
    by_hand = (clip - torch.tensor(mean).view(3, 1, 1, 1)) / torch.tensor(std).view(3, 1, 1, 1)
    torch.testing.assert_close(shifted.tokens(clip), plain.tokens(by_hand), rtol=1e-5, atol=1e-5)


def test_mean_and_std_are_saved_and_the_position_table_is_not() -> None:
    saved = set(_vit().state_dict())
    assert {"mean", "std"} <= saved and not any("positions" in name for name in saved)


@pytest.mark.parametrize("pool", ["mean", "cls"])
def test_summaries_and_maps_agree_with_tokens(pool: Literal["mean", "cls"]) -> None:
    encoder, clip = _vit(pool=pool), _clips()
    tokens = encoder.tokens(clip)
    assert tokens.shape == (3, 8, 24)
    feature_map = encoder.feature_map(clip)
    assert feature_map.shape == (3, 24, 2, 2, 2)
    assert torch.equal(feature_map[1, :, 1, 0, 1], tokens[1, 5])
    torch.testing.assert_close(encoder.frame_tokens(clip)[:, 1], tokens[:, 4:].mean(dim=1))
    summary = encoder(clip)
    assert summary.shape == (3, 24)
    assert torch.allclose(summary, tokens.mean(dim=1)) == (pool == "mean")


def test_a_shorter_clip_uses_the_first_rows_of_the_table() -> None:
    long, short = _vit(), _vit(frames=2)
    short.load_state_dict(long.state_dict())
    assert torch.equal(long(_clips(frames=2)), short(_clips(frames=2)))


def test_layers_hold_every_parameter_once_from_embedding_to_last_block() -> None:
    encoder = _vit(pool="cls")
    layers = encoder.layers()
    names = [name for layer in layers for name in layer]
    parameters = dict(encoder.named_parameters())
    assert sorted(names) == sorted(parameters)
    assert all(parameters[name] is p for layer in layers for name, p in layer.items())
    assert set(layers[0]) == {"cls_token", "patch_embed.weight", "patch_embed.bias"}
    assert len(layers) == 3 and "blocks.1.attn.q_bias" in layers[2] and "norm.weight" in layers[2]
    assert encoder.no_decay() == {"cls_token"} and _vit().no_decay() == set()


def test_initialisation_follows_the_recipe() -> None:
    encoder = _vit(embed_dim=192, size=32, patch_size=16)
    fan_in = 3 * 2 * 16 * 16
    assert encoder.patch_embed.weight.abs().max().item() == pytest.approx(1 / math.sqrt(fan_in), rel=1e-2)
    assert encoder.blocks[0].attn.qkv.weight.abs().max().item() == pytest.approx(math.sqrt(6 / (4 * 192)), rel=1e-2)
    assert not encoder.blocks[1].mlp.fc2.bias.any() and not encoder.blocks[1].attn.q_bias.any()
    assert (encoder.norm.weight == 1).all()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"size": 4}, "clip.size is 4 and patch_size 8; patch_size must divide clip.size"),
        ({"frames": 5}, "clip.frames is 5 and tubelet_size 2; tubelet_size must divide clip.frames"),
        ({"heads": 5}, "width 24 cannot be divided among 5 heads"),
        ({"depth": 0}, "depth is 0; it must be at least 1"),
        ({"drop_path": 1.5}, "drop_path is 1.5"),
        ({"std": (0.2, 0.0, 0.2)}, "every channel's must be above 0"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        _vit(**changes)


@pytest.mark.parametrize(("frames", "size"), [(4, 20), (3, 16), (0, 16)])
def test_a_clip_that_is_no_whole_number_of_tubelets_is_refused(frames: int, size: int) -> None:
    with pytest.raises(ValueError, match=f"a clip of {frames} frames of {size} x {size} pixels does not fit"):
        _vit()(_clips(frames=frames, size=size))


KINDS: list[PositionKind] = ["sinusoid", "separable", "learned", "learned_separable"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("frames", "size"), [(4, 24), (8, 16), (2, 8), (8, 24)])
def test_a_clip_of_another_size_is_taken(kind: PositionKind, frames: int, size: int) -> None:
    encoder, clip = _vit(positions=kind), _clips(frames=frames, size=size)
    tokens = encoder.tokens(clip)
    t, h, w = encoder.grid(clip.shape)
    assert (t, h, w) == (frames // 2, size // 8, size // 8) and tokens.shape == (3, t * h * w, 24)
    table = encoder.positions((t, h, w))
    expected = resize_table(encoder.positions((2, 2, 2)), (2, 2, 2), (t, h, w))
    torch.testing.assert_close(table, expected)
    everything = torch.arange(t * h * w).expand(3, -1)
    torch.testing.assert_close(encoder.tokens(clip, everything), tokens)


@pytest.mark.parametrize("kind", KINDS)
def test_positions_tell_tokens_apart(kind: PositionKind) -> None:
    """On a clip of one colour, tokens differ by their positions alone."""
    encoder, clip = _vit(positions=kind), torch.full((1, 3, 4, 16, 16), 0.3)
    (tokens,) = encoder.tokens(clip)
    distance = torch.cdist(tokens, tokens) + torch.eye(8)
    assert distance.min() > 1e-4


def test_learned_positions_are_saved_trained_and_not_decayed() -> None:
    plain, parts = _vit(positions="learned"), _vit(positions="learned_separable", pool="cls")
    assert plain.no_decay() == {"positions.table"}
    assert parts.no_decay() == {"cls_token", "positions.time", "positions.space"}
    assert parts.no_decay() <= set(parts.layers()[0]) and parts.no_decay() <= set(parts.state_dict())
    parts(_clips()).square().sum().backward()
    assert parts.positions.time.grad.abs().min() > 0 and parts.positions.space.grad.abs().min() > 0
