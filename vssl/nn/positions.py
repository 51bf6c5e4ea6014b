"""Fixed position tables."""

import torch
from torch import Tensor


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
