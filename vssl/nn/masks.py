"""Which tokens a masked method hides: exact counts, the same for every sample of a batch.

A mask is a bool tensor [B, N] over tokens in raster order (t, then h, then w), True where a token is hidden. It is a
pure function of uniform numbers, which come from the sample's key, so that no sample's mask depends on its batch.
"""

import math
from typing import Literal

import torch
from torch import Tensor

MaskKind = Literal["tube", "random", "frame"]
Grid = tuple[int, int, int]


def units(kind: MaskKind, grid: Grid) -> int:
    """How many things are hidden or shown as a whole: places in a frame, tokens, or time slots. One draw each."""
    t, h, w = grid
    return {"tube": h * w, "random": t * h * w, "frame": t}[kind]


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
        things = {"tube": "places of a frame", "random": "tokens", "frame": "time slots"}[kind]
        raise ValueError(
            f"mask={kind} with mask_ratio={ratio} hides {hidden} of {total} {things}; at least one must be hidden and "
            f"one stay visible (mask_ratio at least {1 / total:.4g} and below 1)"
        )
    return hidden


def hidden_tokens(noise: Tensor, kind: MaskKind, ratio: float, grid: Grid) -> Tensor:
    """The mask in which the units with the lowest numbers are hidden.

    Args:
        noise: [B, units(kind, grid)], uniform and independent.
        kind: "tube" hides the same places in all time slots, "random" any tokens, "frame" whole time slots.
    Returns:
        bool [B, N], equally many True in every row.
    """
    t, h, w = grid
    lowest = noise.argsort(dim=1, stable=True)[:, : _hidden_units(kind, ratio, grid)]
    hidden = torch.zeros_like(noise, dtype=torch.bool).scatter_(1, lowest, True)
    if kind == "tube":
        return hidden.repeat(1, t)
    if kind == "frame":
        return hidden.repeat_interleave(h * w, dim=1)
    return hidden


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
