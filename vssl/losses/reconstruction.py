"""Pixel targets of masked methods, and the loss on them."""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from vssl.losses.precision import at_least_float32

ErrorKind = Literal["mse", "l1", "smooth_l1"]


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


def undo_normalisation(normalised: Tensor, patches: Tensor, channels: int, eps: float = 1e-6) -> Tensor:
    """The inverse of `normalise_patches`: mean and deviation of `patches` given back to values that were predicted.

    Args:
        normalised, patches: [B, N, P].
    Source: MCG-NJU/VideoMAE@14ef8d8: run_videomae_vis.py, which makes the paper's figures.
    """
    x = patches.reshape(*patches.shape[:-1], channels, -1)
    values = normalised.reshape(x.shape) * (x.std(dim=-1, keepdim=True) + eps) + x.mean(dim=-1, keepdim=True)
    return values.reshape(normalised.shape)


def reconstruction_error(
    prediction: Tensor, target: Tensor, kind: ErrorKind = "mse", counted: Tensor | None = None
) -> Tensor:
    """The mean over all entries of the tokens that count.

    Args:
        prediction, target: [B, M, P].
        kind: squared error, absolute error, or "smooth_l1": half the square below 1, beyond it the absolute one - 1/2.
        counted: bool [B, M]; None: all tokens. One mean over the batch, so that a sample with more of them weighs more;
            0 where no token counts.
    """
    error = {"mse": F.mse_loss, "l1": F.l1_loss, "smooth_l1": F.smooth_l1_loss}[kind]
    prediction, target = at_least_float32(prediction), at_least_float32(target)
    if counted is None:
        return error(prediction, target)
    per_token = error(prediction, target, reduction="none").mean(dim=-1)
    return (per_token * counted).sum() / counted.sum().clamp(min=1)
