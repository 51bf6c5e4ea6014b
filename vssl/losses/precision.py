"""Losses are computed in float32 at least, also where the network ran in bfloat16 or float16."""

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """`x`, widened to float32 if it is narrower; float64 stays float64."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
