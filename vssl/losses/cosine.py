"""Losses of the angle between prediction and target: of SimSiam and of BYOL."""

from torch import Tensor
from torch.nn import functional as F

from vssl.losses.precision import at_least_float32


def negative_cosine(prediction: Tensor, target: Tensor) -> Tensor:
    """Minus the cosine between rows, averaged over rows.

    Args:
        prediction, target: [B, D]. Gradient flows to both: where the target is fixed, the caller detaches it.
    Returns:
        scalar in [-1, 1]; -1 if all rows point the same way as their targets.
    Source: Chen and He 2021, arXiv:2011.10566, Eq. 1.
    """
    return -F.cosine_similarity(at_least_float32(prediction), at_least_float32(target), dim=1).mean()


def direction_distance(prediction: Tensor, target: Tensor) -> Tensor:
    """Squared distance between unit vectors, 2 - 2 cosine, averaged over rows.

    Args:
        prediction, target: [B, D], any length. Gradient flows to both, as above.
    Returns:
        scalar in [0, 4]; 0 if all rows point the same way as their targets. It is summed as squares, so that rounding
        makes it no less than 0, which 2 - 2 cosine may be.
    Source: Grill et al. 2020, arXiv:2006.07733, Eq. 2; deepmind-research: byol/utils/helpers.py (regression_loss).
    """
    p, z = (F.normalize(at_least_float32(x), dim=1) for x in (prediction, target))
    return (p - z).square().sum(dim=1).mean()
