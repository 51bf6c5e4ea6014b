"""Tubelet ViT with joint space-time attention, the encoder of VideoMAE.

Source: Tong et al. 2022, arXiv:2203.12602; MCG-NJU/VideoMAE@14ef8d8: modeling_pretrain.py, modeling_finetune.py.
Deviation: with `pool="mean"` the final norm comes before the mean, also in a fine-tuned encoder; the official
fine-tuning drops it and puts a new norm after the mean, which here belongs to the evaluation's head.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vssl.backbones.base import IMAGENET_MEAN, IMAGENET_STD, RGB, Backbone
from vssl.backbones.recompute import recompute
from vssl.nn.attention import Block, xavier_init_
from vssl.nn.patches import patchify
from vssl.nn.positions import PositionKind, PositionTable


class VisionTransformer(Backbone):
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

    kind = "vit"

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
        _check("clip.size", size, "patch_size", patch_size)
        _check("clip.frames", frames, "tubelet_size", tubelet_size)
        if depth < 1:
            raise ValueError(f"depth is {depth}; it must be at least 1")
        self.frames, self.size = frames, size
        self.patch = (tubelet_size, patch_size, patch_size)
        self.embed_dim, self.drop_path, self.checkpoint = embed_dim, drop_path, checkpoint
        self.patch_embed = nn.Linear(len(mean) * tubelet_size * patch_size**2, embed_dim)
        cls_token = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1, embed_dim), std=0.02))
        self.cls_token = cls_token if pool == "cls" else None
        rates = [drop_path * i / max(depth - 1, 1) for i in range(depth)]
        self.blocks = nn.ModuleList(Block(embed_dim, heads, mlp_ratio, rate, norm_eps) for rate in rates)
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

    def _encode(self, clip: Tensor, keep: Tensor | None) -> Tensor:
        """[B, K, D]; with a class token, which comes first, [B, 1 + K, D]."""
        table = self.positions(self.grid(clip.shape))
        pixels = patchify(clip, self.patch, keep)
        by_channel = pixels.view(*pixels.shape[:2], len(self.mean), -1)
        x = self.patch_embed(self.normalise(by_channel, channel_dim=2).flatten(2))
        x = x + (table if keep is None else F.embedding(keep, table))
        if self.cls_token is not None:
            x = torch.cat([self.cls_token.expand(len(x), 1, -1), x], dim=1)
        for block in self.blocks:
            x = recompute(block, x) if self.checkpoint and self.training else block(x)
        return self.norm(x)

    def grid(self, clip_shape: Sequence[int]) -> tuple[int, int, int]:
        *_, frames, height, width = clip_shape
        tubelet, side, _ = self.patch
        if min(frames, height, width) < 1 or frames % tubelet or height % side or width % side:
            raise ValueError(
                f"a clip of {frames} frames of {height} x {width} pixels does not fit this backbone, whose tubelets "
                f"are {tubelet} frames of {side} x {side}"
            )
        return frames // tubelet, height // side, width // side

    def layers(self) -> list[dict[str, nn.Parameter]]:
        """The embedding, then a group for each block; the final norm goes with the last block."""
        first = ("patch_embed.", "cls_token", "positions.")
        embedding = {n: p for n, p in self.named_parameters() if n.startswith(first)}
        blocks = [{f"blocks.{i}.{n}": p for n, p in block.named_parameters()} for i, block in enumerate(self.blocks)]
        blocks[-1].update({f"norm.{n}": p for n, p in self.norm.named_parameters()})
        return [embedding, *blocks]

    def no_decay(self) -> set[str]:
        return {n for n, _ in self.named_parameters() if n.startswith(("cls_token", "positions."))}


def _check(extent_name: str, extent: int, step_name: str, step: int) -> None:
    if step < 1 or extent < step or extent % step:
        raise ValueError(f"{extent_name} is {extent} and {step_name} {step}; {step_name} must divide {extent_name}")
