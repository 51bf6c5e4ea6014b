"""Tubelet ViT with joint space-time attention, the encoder of VideoMAE.

Source: Tong et al. 2022, arXiv:2203.12602; MCG-NJU/VideoMAE@14ef8d8: modeling_pretrain.py, modeling_finetune.py.
Deviation: with `pool="mean"` the final norm comes before the mean, also in a fine-tuned encoder; the official
fine-tuning drops it and puts a new norm after the mean, which here belongs to the evaluation's head.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vssl.backbones.base import IMAGENET_MEAN, IMAGENET_STD, RGB
from vssl.backbones.patch_transformer import PatchTransformer, check_sizes
from vssl.nn.attention import Block, xavier_init_
from vssl.nn.drop_path import rising
from vssl.nn.patches import patchify
from vssl.nn.positions import PositionKind, PositionTable


class VisionTransformer(PatchTransformer):
    """Tokens are tubelets; kept ones are selected before anything is computed on them.

    Args:
        frames, size: the clips it is built for. Others of whole tubelets are taken too: positions are interpolated, but
            a clip that is only shorter uses those of its time slots.
        embed_dim, depth, heads: width, number of blocks, attention heads.
        patch_size, tubelet_size: pixels a side and frames of a tubelet.
        pool: summary of a clip: mean over tokens, or an extra learned token.
        positions: fixed by the place in the sequence (VideoMAE), fixed by time slot, row and column, learned for each
            token, or learned for time slots and places apart.
        drop_path: rate of stochastic depth in the last block; it rises linearly from 0 in the first.
        norm_eps: epsilon of every LayerNorm.
        checkpoint: recompute each block in the backward pass.
    """

    def __init__(
        self,
        frames: int,
        size: int,
        embed_dim: int,
        depth: int,
        heads: int,
        patch_size: int = 16,
        tubelet_size: int = 2,
        mlp_ratio: float = 4.0,
        pool: Literal["mean", "cls"] = "mean",
        positions: PositionKind = "sinusoid",
        drop_path: float = 0.0,
        norm_eps: float = 1e-6,
        checkpoint: bool = False,
        mean: RGB = IMAGENET_MEAN,
        std: RGB = IMAGENET_STD,
    ) -> None:
        super().__init__(mean, std)
        self.patch = (tubelet_size, patch_size, patch_size)
        check_sizes(frames, size, self.patch, depth)
        self.frames, self.size, self.pool = frames, size, pool
        self.embed_dim, self.drop_path, self.checkpoint = embed_dim, drop_path, checkpoint
        self.patch_embed = nn.Linear(len(mean) * tubelet_size * patch_size**2, embed_dim)
        cls_token = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1, embed_dim), std=0.02))
        self.cls_token = cls_token if pool == "cls" else None
        self.blocks = nn.ModuleList(
            Block(embed_dim, heads, mlp_ratio, rate, norm_eps) for rate in rising(drop_path, depth)
        )
        self.norm = nn.LayerNorm(embed_dim, eps=norm_eps)
        self.positions = PositionTable(positions, self.grid((frames, size, size)), embed_dim)
        # The patch embedding keeps torch's default, which for this Linear equals that of the official Conv3d.
        xavier_init_(self.blocks)

    def forward(self, clip: Tensor) -> Tensor:
        x = self._encode(clip, None)
        return x.mean(dim=1) if self.cls_token is None else x[:, 0]

    def tokens(self, clip: Tensor, keep: Tensor | None = None) -> Tensor:
        x = self._encode(clip, keep)
        return x if self.cls_token is None else x[:, 1:]

    def attention(self, clip: Tensor) -> Tensor:
        """Of the class token; without one the mean over all tokens, as in the summary."""
        weights = self.last_attention(clip)
        seen = weights.mean(dim=1) if self.cls_token is None else weights[:, 0, 1:]
        return (seen / seen.sum(dim=1, keepdim=True)).view(len(clip), *self.grid(clip.shape))

    def _encode(self, clip: Tensor, keep: Tensor | None) -> Tensor:
        """[B, K, D]; with a class token, which comes first, [B, 1 + K, D]."""
        table = self.positions(self.grid(clip.shape))
        pixels = patchify(clip, self.patch, keep)
        by_channel = pixels.view(*pixels.shape[:2], len(self.mean), -1)
        x = self.patch_embed(self.normalise(by_channel, channel_dim=2).flatten(2))
        x = x + (table if keep is None else F.embedding(keep, table))
        if self.cls_token is not None:
            x = torch.cat([self.cls_token.expand(len(x), 1, -1), x], dim=1)
        return self.through_blocks(x)

    def no_decay(self) -> set[str]:
        return {n for n, _ in self.named_parameters() if n.startswith(("cls_token", "positions."))}
