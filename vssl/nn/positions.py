"""Position tables: fixed and learned ones, for the clip a backbone is built for and for others."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Grid = tuple[int, int, int]
PositionKind = Literal["sinusoid", "separable", "learned", "learned_separable"]


def sinusoid_table(positions: int, dim: int) -> Tensor:
    """One row for each token, by its place in raster order (t, then h, then w) counted from 0; not 3-D separable.

    Returns:
        float32 [positions, dim]: sines in even columns, cosines in odd ones; columns 2i and 2i + 1 turn with the same
        frequency 10000^(-2i / dim). Computed in float64.
    Source: MCG-NJU/VideoMAE@14ef8d8: modeling_finetune.py.
    """
    column = torch.arange(dim)
    frequency = 10000.0 ** (-2 * (column // 2).double() / dim)
    angle = torch.arange(positions).double()[:, None] * frequency
    return torch.where(column % 2 == 0, angle.sin(), angle.cos()).float()


def separable_table(grid: Grid, dim: int) -> Tensor:
    """One row for each token: half of its columns tell the time slot, a quarter the row, a quarter the column.

    Args:
        dim: a multiple of 8.
    Returns:
        float32 [t * h * w, dim] in raster order; within a part all sines come first, then all cosines.
    Source: facebookresearch/jepa@b258fca: src/models/utils/pos_embs.py, with `uniform_power` off.
    """
    if dim % 8:
        raise ValueError(f"width {dim} cannot be divided among time, rows and columns; it must be a multiple of 8")
    places = torch.meshgrid(*(torch.arange(extent).double() for extent in grid), indexing="ij")
    parts = [
        _waves(place.flatten(), width) for place, width in zip(places, (dim // 2, dim // 4, dim // 4), strict=True)
    ]
    return torch.cat(parts, dim=1).float()


def _waves(places: Tensor, dim: int) -> Tensor:
    frequency = 10000.0 ** (-torch.arange(dim // 2).double() / (dim // 2))
    angle = places[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def resize_table(table: Tensor, built_for: Grid, grid: Grid) -> Tensor:
    """The table of one grid for another one; a grid that only has fewer time slots takes the first rows.

    Args:
        table: [t * h * w, D] in raster order, the grid being `built_for`.
    Returns:
        [t' * h' * w', D]: bicubic in space; in time linear where the clip is longer, else its first slots.
    Source: our choice; the official VideoMAE takes clips of its own size only. Bicubic as in DINO's image ViT.
    """
    (t, h, w), (slots, height, width) = built_for, grid
    if (h, w) != (height, width):
        maps = table.view(t, h, w, -1).permute(0, 3, 1, 2)
        maps = F.interpolate(maps, size=(height, width), mode="bicubic", align_corners=False)
        table = maps.permute(0, 2, 3, 1).reshape(t * height * width, -1)
    if slots > t:
        lines = table.view(t, height * width, -1).permute(1, 2, 0)
        lines = F.interpolate(lines, size=slots, mode="linear", align_corners=False)
        table = lines.permute(2, 0, 1).reshape(slots * height * width, -1)
    return table[: slots * height * width]


class PositionTable(nn.Module):
    """What tells the tokens of a clip apart, for clips of the grid it is built for and of others.

    Args:
        kind: "sinusoid" fixed, by the place in the sequence; "separable" fixed, by time slot, row and column;
            "learned" a row for each token; "learned_separable" a row for the time slot plus one for the place.
    Source of the learned ones: facebookresearch/mae_st (`sep_pos_embed`), truncated normal of deviation 0.02.
    """

    table: Tensor

    def __init__(self, kind: PositionKind, grid: Grid, dim: int) -> None:
        super().__init__()
        t, h, w = self.built_for = grid
        self.kind = kind
        if kind == "learned":
            self.table = _learned(t * h * w, dim)
        elif kind == "learned_separable":
            self.time, self.space = _learned(t, dim), _learned(h * w, dim)
        else:
            fixed = sinusoid_table(t * h * w, dim) if kind == "sinusoid" else separable_table(grid, dim)
            self.register_buffer("table", fixed, persistent=False)

    def forward(self, grid: Grid) -> Tensor:
        """(t, h, w) of a clip -> [t * h * w, D]."""
        if self.kind == "learned_separable":
            table = (self.time[:, None] + self.space).flatten(0, 1)
        else:
            table = self.table
        return table if grid == self.built_for else resize_table(table, self.built_for, grid)


def _learned(rows: int, dim: int) -> nn.Parameter:
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(rows, dim), std=0.02))
