"""TimeSformer: attention over time at each place, then over the places of each frame.

Source: Bertasius, Wang and Torresani 2021, arXiv:2102.05095; facebookresearch/TimeSformer: timesformer/models/vit.py,
"divided_space_time". Names of parameters are the official ones; only `patch_embed` is a Linear, as in the tubelet ViT.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vssl.backbones.base import IMAGENET_MEAN, IMAGENET_STD, RGB
from vssl.backbones.patch_transformer import PatchTransformer, check_sizes
from vssl.nn.attention import Attention, Mlp
from vssl.nn.drop_path import DropPath, rising
from vssl.nn.patches import patchify


class DividedBlock(nn.Module):
    """Time, then space, then the MLP; the class token sees all frames in space and is averaged over them.

    Stochastic depth leaves out a place's line through time, a frame, or a sample: the rows that each branch works on.
    """

    def __init__(self, dim: int, heads: int, mlp_ratio: float, drop_path: float, norm_eps: float) -> None:
        super().__init__()
        self.temporal_norm1 = nn.LayerNorm(dim, eps=norm_eps)
        self.temporal_attn = Attention(dim, heads)
        self.temporal_fc = nn.Linear(dim, dim)
        self.norm1 = nn.LayerNorm(dim, eps=norm_eps)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=norm_eps)
        self.mlp = Mlp(dim, round(dim * mlp_ratio))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """[B, t, 1 + h * w, D] -> the same; the class token stands, t times the same, before each frame's places."""
        batch, t, _, dim = x.shape
        lines = x[:, :, 1:].transpose(1, 2).flatten(0, 1)  # [B * h * w, t, D]
        moved = self.temporal_fc(self.drop_path(self.temporal_attn(self.temporal_norm1(lines))))
        patches = x[:, :, 1:] + moved.view(batch, -1, t, dim).transpose(1, 2)
        frames = torch.cat([x[:, :, :1], patches], dim=2)
        change = self.drop_path(self.attn(self.norm1(frames.flatten(0, 1)))).view_as(frames)
        cls = frames[:, :1, 0] + change[:, :, 0].mean(dim=1, keepdim=True)  # [B, 1, D]
        flat = torch.cat([cls, (patches + change[:, :, 1:]).flatten(1, 2)], dim=1)
        flat = flat + self.drop_path(self.mlp(self.norm2(flat)))
        cls, patches = flat[:, :1], flat[:, 1:].view(batch, t, -1, dim)
        return torch.cat([cls.unsqueeze(1).expand(-1, t, -1, -1), patches], dim=2)


class TimeSformer(PatchTransformer):
    """Tokens are patches of single frames; one class token a clip.

    Args:
        frames, size: the clips it is built for. Others of whole patches are taken too: both position tables are then
            resized to the nearest row, as officially.
        embed_dim, depth, heads: width, number of blocks, attention heads.
        patch_size: pixels a side of a patch.
        pool: summary of a clip: the class token, as officially, or the mean over patches.
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
        mlp_ratio: float = 4.0,
        pool: Literal["mean", "cls"] = "cls",
        drop_path: float = 0.1,
        norm_eps: float = 1e-6,
        checkpoint: bool = False,
        mean: RGB = IMAGENET_MEAN,
        std: RGB = IMAGENET_STD,
    ) -> None:
        super().__init__(mean, std)
        self.patch = (1, patch_size, patch_size)
        check_sizes(frames, size, self.patch, depth)
        self.frames, self.size, self.pool = frames, size, pool
        self.embed_dim, self.drop_path, self.checkpoint = embed_dim, drop_path, checkpoint
        self.patch_embed = nn.Linear(len(mean) * patch_size**2, embed_dim)
        side = size // patch_size
        self.cls_token = nn.Parameter(torch.empty(1, 1, embed_dim))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + side**2, embed_dim))
        self.time_embed = nn.Parameter(torch.zeros(1, frames, embed_dim))
        self.blocks = nn.ModuleList(
            DividedBlock(embed_dim, heads, mlp_ratio, rate, norm_eps) for rate in rising(drop_path, depth)
        )
        self.norm = nn.LayerNorm(embed_dim, eps=norm_eps)
        self._initialise()

    def _initialise(self) -> None:
        """Truncated normals of deviation 0.02 and zero biases; the patch embedding keeps torch's default.

        `temporal_fc` is zero in every block, so that training starts from a network that ignores the order of frames.
        """
        for table in (self.cls_token, self.pos_embed):
            nn.init.trunc_normal_(table, std=0.02)
        for name, part in self.blocks.named_modules():
            if isinstance(part, nn.Linear):
                nn.init.trunc_normal_(part.weight, std=0.02)
                nn.init.zeros_(part.bias)
                if name.endswith("temporal_fc"):
                    nn.init.zeros_(part.weight)

    def forward(self, clip: Tensor) -> Tensor:
        x = self._encode(clip)
        return x[:, 0, 0] if self.pool == "cls" else x[:, :, 1:].mean(dim=(1, 2))

    def tokens(self, clip: Tensor, keep: Tensor | None = None) -> Tensor:
        if keep is not None:
            raise ValueError("TimeSformer attends along whole lines and frames: no token can be left out")
        return self._encode(clip)[:, :, 1:].flatten(1, 2)

    def attention(self, clip: Tensor) -> Tensor:
        """Over the places of each frame: of the class token, or the mean over patches, as in the summary. Frames differ
        only by what the class token's share leaves to them."""
        t, h, w = self.grid(clip.shape)
        weights = self.last_attention(clip)
        seen = weights[:, 0, 1:] if self.pool == "cls" else weights[:, 1:, 1:].mean(dim=1)
        seen = seen.view(len(clip), t, h, w)
        return seen / seen.sum(dim=(1, 2, 3), keepdim=True)

    def _encode(self, clip: Tensor) -> Tensor:
        """[B, C, T, H, W] -> [B, t, 1 + h * w, D] after the final norm, the class token first in each time slot."""
        t, h, w = self.grid(clip.shape)
        patches = self.patch_embed(patchify(self.normalise(clip, channel_dim=1), self.patch))
        patches = patches.view(len(clip), t, h * w, -1) + self._space(h, w) + self._time(t)
        # Time is added to patches only: the class token has none.
        cls = (self.cls_token + self.pos_embed[:, :1]).unsqueeze(1).expand(len(clip), t, 1, -1)
        return self.through_blocks(torch.cat([cls, patches], dim=2))

    def _space(self, h: int, w: int) -> Tensor:  # [1, h * w, D]
        table, side = self.pos_embed[:, 1:], self.size // self.patch[1]
        if (h, w) == (side, side):
            return table
        maps = table.transpose(1, 2).reshape(1, -1, side, side)
        return F.interpolate(maps, size=(h, w), mode="nearest").flatten(2).transpose(1, 2)

    def _time(self, t: int) -> Tensor:  # [t, 1, D]
        table: Tensor = self.time_embed
        if t != self.frames:
            table = F.interpolate(table.transpose(1, 2), size=t, mode="nearest").transpose(1, 2)
        return table.transpose(0, 1)

    def no_decay(self) -> set[str]:
        return {"cls_token", "pos_embed", "time_embed"}
