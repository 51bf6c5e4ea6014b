"""Pixel targets of masked methods, and the loss on them."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from vssl.losses.precision import at_least_float32


def normalise_patches(patches: Tensor, channels: int, eps: float = 1e-6) -> Tensor:
    """Each channel of each patch to mean 0 and standard deviation 1.

    Args:
        patches: [B, N, P] pixels in [0, 1], channel first (see `vssl.nn.patches`).
        eps: added to the standard deviation, not to the variance.
    Returns:
        [B, N, P]. The variance is the unbiased one, so a zero prediction costs (K - 1) / K with K pixels a channel; a
        patch of one colour gives zeros.
    Source: MCG-NJU/VideoMAE@14ef8d8: engine_for_pretraining.py.
    """
    x = patches.reshape(*patches.shape[:-1], channels, -1)
    # By hand and in place: torch's var_mean and a new tensor for each step take several times as long on a CPU.
    centred = x - x.mean(dim=-1, keepdim=True)
    deviation = torch.linalg.vector_norm(centred, dim=-1, keepdim=True) / math.sqrt(x.shape[-1] - 1)
    return centred.div_(deviation + eps).reshape(patches.shape)


def mean_squared_error(prediction: Tensor, target: Tensor) -> Tensor:
    """The mean over all entries of two tensors of equal shape."""
    return F.mse_loss(at_least_float32(prediction), at_least_float32(target))
