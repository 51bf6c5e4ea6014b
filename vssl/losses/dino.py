"""Self-distillation: the student's distribution over prototypes follows the teacher's of another view."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from vssl.losses.precision import at_least_float32


def self_distillation(
    student: Sequence[Tensor], teacher: Sequence[Tensor], centre: Tensor, student_temperature: float,
    teacher_temperature: float,
) -> Tensor:  # fmt: skip
    """Cross-entropy from softmax((t - centre) / T_t) to softmax(s / T_s), the mean over pairs of different views.

    Args:
        student: [B, K] of every view; the first ones are the teacher's views, in its order. Two at least.
        teacher: [B, K] of its views. No gradient flows to them.
        centre: [K].
    Returns:
        scalar, the mean over pairs and clips; ln K if the student tells no prototype from another.
    Source: Caron et al. 2021, arXiv:2104.14294, Eq. 3; facebookresearch/dino: main_dino.py.
    """
    aims = [((at_least_float32(view) - centre) / teacher_temperature).softmax(dim=1).detach() for view in teacher]
    total = torch.zeros((), device=centre.device)
    pairs = 0
    for place, view in enumerate(student):
        others = [aim for at, aim in enumerate(aims) if at != place]
        if others:
            log_share = F.log_softmax(at_least_float32(view) / student_temperature, dim=1)
            total = total - (torch.stack(others).sum(dim=0) * log_share).sum(dim=1).mean()
            pairs += len(others)
    return total / pairs
