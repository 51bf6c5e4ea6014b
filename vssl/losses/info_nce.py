"""InfoNCE with the keys of a target network, the loss of MoCo v3."""

import torch
from torch import Tensor
from torch.nn import functional as F

from vssl.losses.precision import at_least_float32
from vssl.ranks import gather_rows, rank


def info_nce(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """Each query finds its own key among those of the whole batch; mean cross-entropy times 2T, one direction.

    N is the number of clips of all ranks, T the temperature. Negatives are the other clips' keys alone: no query is
    compared with a query.

    Args:
        queries: [B, D] of this rank, any length.
        keys: [B, D] of this rank, row by row of the same clips. No gradient flows to them. B is equal on all ranks.
        temperature: T, above 0.
    Returns:
        scalar, the mean over this rank's queries, which the averaging of gradients over ranks makes the mean over all.
        2T ln N if all queries and keys are equal.
    Source: Chen, Xie and He 2021, arXiv:2104.02057, Eq. 1 and Alg. 1; facebookresearch/moco-v3: moco/builder.py.
    Deviation: in float32 at least; the released code computes logits in float16.
    """
    # Normalisation would be safe under autocast, the product of matrices would be cast back to 16 bits.
    with torch.autocast(queries.device.type, enabled=False):
        q = F.normalize(at_least_float32(queries), dim=1)
        k = gather_rows(F.normalize(at_least_float32(keys), dim=1))
        own = torch.arange(len(q), device=q.device) + rank() * len(q)
        return 2 * temperature * F.cross_entropy(q @ k.T / temperature, own)
