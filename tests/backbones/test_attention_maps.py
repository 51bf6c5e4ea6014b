"""Attention for pictures is that of the forward pass: checked against what torch's fused attention is given."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vssl.backbones.base import Backbone
from vssl.backbones.mean_frame import MeanFrame
from vssl.backbones.timesformer import TimeSformer
from vssl.backbones.vit import VisionTransformer

FRAMES, SIZE, HEADS = 4, 24, 2
SETTINGS: dict[str, Any] = {
    "frames": FRAMES,
    "size": SIZE,
    "embed_dim": 16,
    "depth": 2,
    "heads": HEADS,
    "patch_size": 8,
}


def attention_of_forward(encoder: Backbone, clip: Tensor, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """Weights of the last attention in `encoder(clip)`: [rows, heads, queries, keys]."""
    fused, seen = F.scaled_dot_product_attention, []

    def spied(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = torch.exp(q @ k.transpose(2, 3) / math.sqrt(q.shape[-1]))
        seen.append(scores / scores.sum(dim=-1, keepdim=True))
        return fused(q, k, v)

    with monkeypatch.context() as patched:
        patched.setattr(F, "scaled_dot_product_attention", spied)
        encoder(clip)
    return seen[-1]


def built(kind: type[Backbone], **settings: Any) -> tuple[Backbone, Tensor]:
    torch.manual_seed(0)
    encoder = kind(**{**SETTINGS, **settings}).eval()
    for parameter in encoder.parameters():  # large enough for attention that is far from even
        parameter.data += 0.3 * torch.randn_like(parameter)
    return encoder, torch.rand(2, 3, FRAMES, SIZE, SIZE)


@torch.no_grad()
@pytest.mark.parametrize("pool", ["mean", "cls"])
def test_a_vit_shows_what_its_summary_is_made_of(pool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, clip = built(VisionTransformer, pool=pool)
    weights = attention_of_forward(encoder, clip, monkeypatch)
    maps = encoder.attention(clip)
    assert maps is not None and maps.shape == (2, 2, 3, 3)
    for row in range(2):
        per_token = [float(weights[row, :, :, key].mean()) for key in range(weights.shape[-1])]
        if pool == "cls":
            per_token = [float(weights[row, :, 0, key].mean()) for key in range(1, weights.shape[-1])]
        expected = torch.tensor(per_token) / sum(per_token)
        torch.testing.assert_close(maps[row].flatten(), expected)
    assert maps.max() > 1.5 * maps.mean()


@torch.no_grad()
@pytest.mark.parametrize("pool", ["mean", "cls"])
def test_a_timesformer_shows_its_attention_within_frames(pool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, clip = built(TimeSformer, pool=pool, drop_path=0.0)
    weights = attention_of_forward(encoder, clip, monkeypatch).view(2, FRAMES, HEADS, 10, 10)
    maps = encoder.attention(clip)
    assert maps is not None and maps.shape == (2, FRAMES, 3, 3)
    for row in range(2):
        queries = weights[row, :, :, :1] if pool == "cls" else weights[row, :, :, 1:]
        seen = queries[..., 1:].mean(dim=(1, 2))  # [t, places]
        torch.testing.assert_close(maps[row].flatten(), (seen / seen.sum()).flatten())


def test_the_encoder_is_left_as_it_was() -> None:
    encoder, clip = built(VisionTransformer)
    before = encoder(clip)
    encoder.attention(clip)
    assert torch.equal(encoder(clip), before) and not encoder.blocks[-1].attn._forward_pre_hooks


def test_others_have_no_maps() -> None:
    assert MeanFrame(size=32).attention(torch.rand(1, 3, 4, 32, 32)) is None
