import math

import pytest
import torch
from torch import Tensor, nn

from vssl.nn.attention import Block, Mlp, SelfAttention, xavier_init_
from vssl.nn.drop_path import DropPath


def _attention_by_loops(layer: SelfAttention, x: Tensor) -> Tensor:
    dim = x.shape[-1]
    width = dim // layer.heads
    query = x @ layer.qkv.weight[:dim].T + layer.q_bias
    key = x @ layer.qkv.weight[dim : 2 * dim].T
    value = x @ layer.qkv.weight[2 * dim :].T + layer.v_bias
    out = torch.zeros_like(x)
    for b in range(x.shape[0]):
        for head in range(layer.heads):
            part = slice(head * width, (head + 1) * width)
            for i in range(x.shape[1]):
                scores = torch.stack([query[b, i, part] @ k[part] for k in key[b]]) / math.sqrt(width)
                out[b, i, part] = torch.exp(scores) / torch.exp(scores).sum() @ value[b, :, part]
    return out @ layer.proj.weight.T + layer.proj.bias


def test_attention_equals_its_equation() -> None:
    torch.manual_seed(0)
    layer = SelfAttention(dim=12, heads=3).double()
    nn.init.normal_(layer.q_bias)
    nn.init.normal_(layer.v_bias)
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    torch.testing.assert_close(layer(x), _attention_by_loops(layer, x), rtol=1e-10, atol=1e-12)


def test_queries_and_values_have_a_bias_and_keys_have_none() -> None:
    shapes = {name: tuple(p.shape) for name, p in SelfAttention(8, 2).named_parameters()}
    assert shapes == {
        "q_bias": (8,), "v_bias": (8,), "qkv.weight": (24, 8), "proj.weight": (8, 8), "proj.bias": (8,)
    }  # fmt: skip


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="width 10 cannot be divided among 4 heads"):
        SelfAttention(10, 4)


def test_block_is_two_pre_norm_residual_branches() -> None:
    torch.manual_seed(1)
    block = Block(8, 2, norm_eps=1e-3)
    x = torch.randn(2, 3, 8)
    between = x + block.attn(nn.functional.layer_norm(x, (8,), eps=1e-3))
    expected = between + block.mlp(nn.functional.layer_norm(between, (8,), eps=1e-3))
    torch.testing.assert_close(block(x), expected)


def test_mlp_uses_the_exact_gelu() -> None:
    torch.manual_seed(2)
    mlp = Mlp(4, 16).double()
    x = torch.randn(3, 4, dtype=torch.float64)
    hidden = mlp.fc1(x)
    expected = mlp.fc2(hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2))))
    torch.testing.assert_close(mlp(x), expected, rtol=1e-12, atol=1e-14)


def test_mlp_ratio_gives_the_hidden_width_of_the_giant() -> None:
    assert Block(1408 // 16, 1, mlp_ratio=48 / 11).mlp.fc1.out_features == 384  # 6144 / 16, no float error downwards


def test_xavier_treats_q_k_v_as_one_matrix() -> None:
    torch.manual_seed(0)
    block = Block(768, 12)
    xavier_init_(block)
    assert block.attn.qkv.weight.abs().max().item() == pytest.approx(math.sqrt(6 / (4 * 768)), rel=1e-3)  # 0.0442
    assert block.mlp.fc1.weight.abs().max().item() == pytest.approx(math.sqrt(6 / (5 * 768)), rel=1e-3)
    assert not any(layer.bias.any() for layer in (block.attn.proj, block.mlp.fc1, block.mlp.fc2))


def test_drop_path_leaves_out_whole_samples_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    x = torch.ones(4000, 2, 3)
    dropped = DropPath(0.25)(x)
    rows = dropped.flatten(1)
    assert (rows == rows[:, :1]).all()
    assert rows.unique().tolist() == pytest.approx([0, 4 / 3])
    assert dropped.mean().item() == pytest.approx(1, abs=0.03)
    assert torch.equal(DropPath(0.25).eval()(x), x)


def test_drop_path_rate_is_checked() -> None:
    with pytest.raises(ValueError, match=r"drop_path is 1\.0; it must be at least 0 and below 1"):
        DropPath(1.0)


def test_weights_are_those_that_mix_the_values() -> None:
    torch.manual_seed(0)
    layer = SelfAttention(dim=12, heads=3).double()
    nn.init.normal_(layer.q_bias)
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    values = (x @ layer.qkv.weight[24:].T + layer.v_bias).view(2, 5, 3, 4).transpose(1, 2)
    mixed = (layer.weights(x) @ values).transpose(1, 2).flatten(2)
    torch.testing.assert_close(mixed @ layer.proj.weight.T + layer.proj.bias, layer(x), rtol=1e-10, atol=1e-12)
