"""Which tokens a masked method hides: exact counts, the same for every sample of a batch.

A mask is a bool tensor [B, N] over tokens in raster order (t, then h, then w), True where a token is hidden. It is a
pure function of uniform numbers, which come from the sample's key, so that no sample's mask depends on its batch.
"""

import math
from typing import Literal

import torch
from torch import Tensor

MaskKind = Literal["tube", "random", "frame", "block"]
DecoderMaskKind = Literal["running_cell"]
Grid = tuple[int, int, int]

MOST_BLOCKS = 256  # 0.9 of 8 x 14 x 14 tokens take some 150
CELL = 4  # places of a running cell, two rows of two


def units(kind: MaskKind, grid: Grid) -> int:
    """How many things are hidden or shown as a whole: places in a frame, tokens, or time slots."""
    t, h, w = grid
    return {"tube": h * w, "random": t * h * w, "frame": t, "block": t * h * w}[kind]


def draws(kind: MaskKind, grid: Grid) -> int:
    """Uniform numbers that a sample's mask takes: one a unit, or place and extent of each block."""
    return 6 * MOST_BLOCKS if kind == "block" else units(kind, grid)


def hidden_count(kind: MaskKind, ratio: float, grid: Grid) -> int:
    """How many of the N tokens are hidden (M): all those of `ratio` of the units, rounded down to whole units.

    Raises:
        ValueError: nothing, or everything, would be hidden.
    Source: MCG-NJU/VideoMAE@14ef8d8: masking_generator.py truncates (14 x 14 at 0.9 hides 176 of 196 places).
    """
    return _hidden_units(kind, ratio, grid) * (math.prod(grid) // units(kind, grid))


def _hidden_units(kind: MaskKind, ratio: float, grid: Grid) -> int:
    total = units(kind, grid)
    hidden = int(ratio * total)
    if not 0 < hidden < total:
        things = {"tube": "places of a frame", "random": "tokens", "frame": "time slots", "block": "tokens"}[kind]
        raise ValueError(
            f"mask={kind} with mask_ratio={ratio} hides {hidden} of {total} {things}; at least one must be hidden and "
            f"one stay visible (mask_ratio at least {1 / total:.4g} and below 1)"
        )
    return hidden


def hidden_tokens(noise: Tensor, kind: MaskKind, ratio: float, grid: Grid) -> Tensor:
    """The mask in which the units with the lowest numbers are hidden; with "block" those that blocks reach first.

    Args:
        noise: [B, draws(kind, grid)], uniform and independent.
        kind: "tube" hides the same places in all time slots, "random" any tokens, "frame" whole time slots, "block" the
            union of cuboids, laid one after the other until enough is hidden. The last one is cut short in raster
            order; tokens that no block reached come after them, in that order too.
    Returns:
        bool [B, N], equally many True in every row.
    Source of "block": `block_cover`. VIMPAC fixes the number of blocks and lets their union vary; a batch needs equal
    counts, so here the count is fixed and the number of blocks varies (our choice).
    """
    t, h, w = grid
    if kind == "block":
        cover = block_cover(noise, grid)
        noise = torch.where(
            cover.any(dim=1), cover.to(torch.uint8).argmax(dim=1), MOST_BLOCKS
        )  # the first block's number
    lowest = noise.argsort(dim=1, stable=True)[:, : _hidden_units(kind, ratio, grid)]
    hidden = torch.zeros_like(noise, dtype=torch.bool).scatter_(1, lowest, True)
    if kind == "tube":
        return hidden.repeat(1, t)
    if kind == "frame":
        return hidden.repeat_interleave(h * w, dim=1)
    return hidden


def block_cover(noise: Tensor, grid: Grid) -> Tensor:
    """Which tokens each of n cuboids covers; their union is VIMPAC's mask.

    Args:
        noise: [B, 6 n]: for each block the three extents, then the three corners.
    Returns:
        bool [B, n, N]. Extents are uniform from 1 to two thirds of the time slots, half of the rows and half of the
        columns, rounded down; corners over all places where the block fits.
    Source: Tan et al. 2021, arXiv:2106.11250; airsplay/vimpac@0760d19: vimpac/masking.py, which rounds down
    where the paper says up. Only the code agrees with the paper's table of ratios.
    """
    t, h, w = grid
    numbers = noise.view(len(noise), -1, 2, 3)
    within = torch.ones(1, 1, 1, dtype=torch.bool, device=noise.device)
    for axis, (extent, limit) in enumerate(((t, 2 * t // 3), (h, h // 2), (w, w // 2))):
        length = 1 + (numbers[:, :, 0, axis] * max(limit, 1)).long()
        start = (numbers[:, :, 1, axis] * (extent - length + 1)).long()
        place = torch.arange(extent, device=noise.device)
        inside = (place >= start[..., None]) & (place < (start + length)[..., None])  # [B, n, extent]
        within = (within[..., None] & inside[:, :, None]).flatten(2)
    return within


def dropped_count(kind: DecoderMaskKind, ratio: float, grid: Grid) -> int:
    """How many of the N tokens the decoder is not asked for.

    Raises:
        ValueError: a cell would drop nothing or everything, or cells do not tile the grid.
    """
    t, h, w = grid
    dropped = int(ratio * CELL)
    if not 0 < dropped < CELL:
        raise ValueError(
            f"decoder_mask={kind} with decoder_mask_ratio={ratio} drops {dropped} of {CELL} places of a cell; at least "
            "one must be dropped and one kept (decoder_mask_ratio at least 0.25 and below 1)"
        )
    if h % 2 or w % 2:
        raise ValueError(
            f"decoder_mask={kind} needs even numbers of rows and columns, and the grid has {h} x {w} places"
        )
    return t * h * w // CELL * dropped


def dropped_tokens(noise: Tensor, kind: DecoderMaskKind, ratio: float, grid: Grid) -> Tensor:
    """A cell of 2 x 2 places, repeated over the frame; its pattern moves one place on with each time slot.

    Args:
        noise: [B, 1], uniform: where the pattern stands in the first time slot. There are four masks.
    Returns:
        bool [B, N], True where the decoder is not asked; `dropped_count` of them in every row.
    Source: Wang et al. 2023, arXiv:2303.16727; OpenGVLab/VideoMAEv2@29eab1e: dataset/masking_generator.py.
    """
    dropped_count(kind, ratio, grid)
    t, h, w = (torch.arange(extent, device=noise.device) for extent in grid)
    place = 2 * (h % 2)[:, None] + w % 2
    turn = 1 + (noise * CELL).long() + t  # [B, t]
    return ((place + turn[:, :, None, None]) % CELL < int(ratio * CELL)).flatten(1)


def split_tokens(hidden: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Places of the visible and of the hidden tokens, both ascending.

    Args:
        hidden: bool [B, N] with `count` True in every row. The count is given, since reading it would wait for the GPU.
    Returns:
        int64 [B, N - count] and [B, count].
    """
    order = hidden.to(torch.uint8).argsort(dim=1, stable=True)
    visible = hidden.shape[1] - count
    return order[:, :visible], order[:, visible:]
