"""The probe of V-JEPA: one learned query looks over all tokens, and a linear layer names what it saw.

Letters: B clips, N tokens, D width, K classes.

Source: Bardes et al. 2024, arXiv:2404.08471, Sec. 4; facebookresearch/jepa@0f772c5: src/models/attentive_pooler.py;
facebookresearch/vjepa2@073e524: src/models/utils/modules.py (blocks before the query: the recipe's note).
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vssl.nn.attention import Block, Mlp

Output = Literal["none", "linear"]

INIT_STD = 0.02
NORM_EPS = 1e-5  # torch's default, which the released probes keep


class CrossAttention(nn.Module):
    """One query per clip over its tokens.

    Args:
        output: `none` hands on the heads side by side, as the released code runs (V-JEPA makes the output layer and
            never applies it, V-JEPA 2 leaves it out); `linear` applies it.
    """

    def __init__(self, dim: int, heads: int, output: Output = "none") -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"heads={heads} must divide the width of the tokens, {dim}")
        self.heads = heads
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim) if output == "linear" else nn.Identity()

    def forward(self, query: Tensor, x: Tensor) -> Tensor:  # [B, 1, D], [B, N, D] -> [B, 1, D]
        q, k, v = self._split(query, x)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))

    def attention(self, query: Tensor, x: Tensor) -> Tensor:
        """How much each head looks at each token: [B, heads, N], rows sum to 1."""
        q, k, _ = self._split(query, x)
        return (q @ k.transpose(2, 3) * q.shape[-1] ** -0.5).softmax(dim=-1).squeeze(2)

    def _split(self, query: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys, values, each [B, heads, ., D / heads]."""
        k, v = self.kv(x).chunk(2, dim=2)
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in (self.q(query), k, v))
        return q, k, v


class AttentiveHead(nn.Module):
    """tokens -> self-attention blocks -> q + cross(q, norm(tokens)), then q + mlp(norm(q)) -> linear.

    Args:
        blocks: how many in all, the one of the query included: 1 is V-JEPA's probe, 4 is V-JEPA 2's.
    """

    def __init__(
        self, dim: int, heads: int, classes: int, blocks: int = 1, mlp_ratio: float = 4.0, output: Output = "none"
    ) -> None:
        super().__init__()
        before = [Block(dim, heads, mlp_ratio, norm_eps=NORM_EPS) for _ in range(blocks - 1)]
        self.blocks = nn.ModuleList(before)
        self.query = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1, dim), std=INIT_STD))
        self.norm1 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.cross = CrossAttention(dim, heads, output)
        self.norm2 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.mlp = Mlp(dim, round(dim * mlp_ratio))
        self._init_weights(before)
        self.linear = nn.Linear(dim, classes)  # keeps torch's own start, as released

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, N, D] -> [B, K]."""
        x = self._seen(tokens)
        query = self.query.expand(len(x), -1, -1)
        query = query + self.cross(query, x)
        query = query + self.mlp(self.norm2(query))
        return self.linear(query.squeeze(1))

    def attention(self, tokens: Tensor) -> Tensor:
        """[B, N, D] -> [B, heads, N]: where the query looks."""
        x = self._seen(tokens)
        return self.cross.attention(self.query.expand(len(x), -1, -1), x)

    def _seen(self, tokens: Tensor) -> Tensor:
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm1(tokens)

    @torch.no_grad()
    def _init_weights(self, before: list[Block]) -> None:
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.trunc_normal_(part.weight, std=INIT_STD)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)
        # What is added to the stream starts smaller the deeper it is; the query's block counts as the first.
        ends = [(self.cross.proj, self.mlp.fc2), *((block.attn.proj, block.mlp.fc2) for block in before)]
        for depth, layers in enumerate(ends, 1):
            for layer in layers:
                if isinstance(layer, nn.Linear):
                    layer.weight.div_((2.0 * depth) ** 0.5)
