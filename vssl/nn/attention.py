"""Self-attention, and the pre-norm transformer block of VideoMAE's encoder and decoder."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vssl.nn.drop_path import DropPath


class Attention(nn.Module):
    """Multi-head self-attention over all tokens.

    Args:
        qkv_bias: biases on q, k and v alike, as in the image ViT.
    """

    def __init__(self, dim: int, heads: int, qkv_bias: bool = True) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"width {dim} cannot be divided among {heads} heads; heads must divide the width")
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)

    def project(self, x: Tensor) -> Tensor:
        """[B, N, D] -> queries, keys and values side by side, [B, N, 3D]."""
        return self.qkv(x)

    def forward(self, x: Tensor) -> Tensor:  # [B, N, D] -> [B, N, D]
        q, k, v = self._split(x)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))

    def weights(self, x: Tensor) -> Tensor:
        """How much each token looks at each, for pictures: [B, N, D] -> [B, heads, N, N], rows sum to 1."""
        q, k, _ = self._split(x)
        return (q @ k.transpose(2, 3) * q.shape[-1] ** -0.5).softmax(dim=-1)

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each [B, heads, N, D / heads]."""
        batch, tokens, dim = x.shape
        q, k, v = self.project(x).view(batch, tokens, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        return q, k, v


class SelfAttention(Attention):
    """With biases on q and v and none on k.

    A bias on k adds the same number to all scores of a query, which the softmax removes: VideoMAE (after BEiT) leaves
    it out. The names and shapes of the weights are those of the official checkpoints.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__(dim, heads, qkv_bias=False)
        self.q_bias = nn.Parameter(torch.zeros(dim))
        self.v_bias = nn.Parameter(torch.zeros(dim))

    def project(self, x: Tensor) -> Tensor:
        bias = torch.cat([self.q_bias, torch.zeros_like(self.v_bias), self.v_bias])
        return F.linear(x, self.qkv.weight, bias)


class Mlp(nn.Module):
    """Two linear layers with an exact (erf) GELU between them."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)).

    Args:
        drop_path: probability that a sample skips a branch.
        norm_eps: epsilon of both LayerNorms; 1e-6 in the official VideoMAE, 1e-12 in transformers.
    Source: MCG-NJU/VideoMAE@14ef8d8: modeling_finetune.py.
    """

    def __init__(
        self, dim: int, heads: int, mlp_ratio: float = 4.0, drop_path: float = 0.0, norm_eps: float = 1e-6
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=norm_eps)
        self.attn = SelfAttention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=norm_eps)
        self.mlp = Mlp(dim, round(dim * mlp_ratio))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:  # [B, N, D] -> [B, N, D]
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


def xavier_init_(module: nn.Module) -> None:
    """Xavier-uniform weights and zero biases in every Linear of `module`.

    q, k and v are one (3D, D) matrix here, so their limit is sqrt(6 / 4D): lower than for three separate matrices.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
