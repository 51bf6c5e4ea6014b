"""NT-Xent, the loss of SimCLR and CVRL: both views of all clips are each other's negatives."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from vssl.losses.precision import at_least_float32
from vssl.ranks import gather_rows_with_gradient, rank


def nt_xent(one: Tensor, other: Tensor, temperature: float) -> Tensor:
    """Each of 2N vectors finds its partner among 2N - 1, of which 2N - 2 are negatives; the sum of both directions.

    N is the number of clips of all ranks. The sum is the released code's; most ports return half of it.

    Args:
        one, other: [B, D], two views of this rank's clips, any length. Gradient flows to both, and to the rows of all
            ranks, so that every rank must call this. B is equal on all ranks.
        temperature: above 0.
    Returns:
        scalar, the mean over this rank's clips, which the averaging of gradients over ranks makes the mean over all.
        2 ln(2N - 1) if all vectors are equal.
    Source: Chen et al. 2020, arXiv:2002.05709, Eq. 1; google-research/simclr: tf2/objective.py.
    """
    # Normalisation would be safe under autocast, the product of matrices would be cast back to 16 bits.
    with torch.autocast(one.device.type, enabled=False):
        a, b = (F.normalize(at_least_float32(view), dim=1) for view in (one, other))
        all_a, all_b = gather_rows_with_gradient(a), gather_rows_with_gradient(b)
        own = torch.arange(len(a), device=a.device) + rank() * len(a)
        return _direction(a, all_b, all_a, own, temperature) + _direction(b, all_a, all_b, own, temperature)


def _direction(anchors: Tensor, partners: Tensor, same_view: Tensor, own: Tensor, temperature: float) -> Tensor:
    """Mean cross-entropy of B anchors over N partners, of which `own` is right, and N vectors of the anchors' view."""
    among = anchors @ same_view.T
    among = among.scatter(1, own[:, None], -math.inf)  # no anchor is its own negative
    logits = torch.cat([anchors @ partners.T, among], dim=1) / temperature
    return F.cross_entropy(logits, own)
