"""DINO's head: a projection onto the sphere, and its cosines with learned prototypes."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class DINOHead(nn.Module):
    """Three layers with GELU between them, then cosines with K prototypes; no normalisation over clips.

    Args:
        out_dim: number of prototypes (K).
        unit_prototypes: all have length 1; else each length is learned.
    Source: facebookresearch/dino: vision_transformer.py, DINOHead. Its last layer is a weight-normalised Linear, here
    written out: direction `prototypes`, length `lengths`.
    """

    def __init__(
        self, in_dim: int, out_dim: int, hidden_dim: int = 2048, bottleneck_dim: int = 256, unit_prototypes: bool = True
    ) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(in_dim, hidden_dim), nn.GELU(),
            nn.Linear(hidden_dim, hidden_dim), nn.GELU(),
            nn.Linear(hidden_dim, bottleneck_dim),
        )  # fmt: skip
        for layer in self.mlp:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
        # The directions keep PyTorch's initialisation of a Linear layer, as in the released code.
        self.prototypes = nn.Parameter(nn.Linear(bottleneck_dim, out_dim, bias=False).weight.detach())
        self.lengths = nn.Parameter(torch.ones(out_dim, 1), requires_grad=not unit_prototypes)

    def forward(self, x: Tensor) -> Tensor:  # [B, D] -> [B, K], float32 at least
        x = self.mlp(x)
        # A temperature of 0.04 would make a 16-bit product's rounding 25 times as large.
        with torch.autocast(x.device.type, enabled=False):
            prototypes = F.normalize(self.prototypes, dim=1) * self.lengths
            return F.linear(F.normalize(x.to(torch.promote_types(x.dtype, torch.float32)), dim=1), prototypes)
