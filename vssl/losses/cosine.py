"""Negative cosine similarity, the loss of SimSiam."""

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
