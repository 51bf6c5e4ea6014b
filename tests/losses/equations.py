"""Losses as their papers write them: clip by clip and pair by pair, for tests of losses and of methods."""

from collections.abc import Sequence

import torch
from torch import Tensor


def info_nce(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """arXiv:2104.02057, Eq. 1, times 2T; one direction."""
    total = torch.zeros((), dtype=queries.dtype)
    for i, q in enumerate(queries):
        scores = [torch.exp(q @ k / (q @ q).sqrt() / (k @ k).sqrt() / temperature) for k in keys]
        total = total - torch.log(scores[i] / sum(scores)) / len(queries)
    return 2 * temperature * total


def nt_xent(one: Tensor, other: Tensor, temperature: float) -> Tensor:
    """arXiv:2002.05709, Eq. 1, anchor by anchor over all 2N; summed over both directions, so twice the mean."""
    z = [row / (row @ row).sqrt() for row in torch.cat([one, other])]
    total = torch.zeros((), dtype=one.dtype)
    for i in range(len(z)):
        partner = (i + len(one)) % len(z)
        others = sum(torch.exp(z[i] @ z[k] / temperature) for k in range(len(z)) if k != i)
        total = total - torch.log(torch.exp(z[i] @ z[partner] / temperature) / others) / len(z)
    return 2 * total


def self_distillation(
    student: Sequence[Tensor], teacher: Sequence[Tensor], centre: Tensor, student_temperature: float,
    teacher_temperature: float,
) -> Tensor:  # fmt: skip
    """arXiv:2104.14294, Eq. 3: over x of the teacher's views and x' of all others; mean over pairs and clips."""
    terms = []
    for x, aim in enumerate(teacher):
        for other, view in enumerate(student):
            if other != x:
                for t, s in zip(aim.detach(), view, strict=True):
                    wanted, given = _softmax((t - centre) / teacher_temperature), _softmax(s / student_temperature)
                    terms.append(-(wanted * torch.log(given)).sum())
    return torch.stack(terms).mean()


def _softmax(row: Tensor) -> Tensor:
    return torch.exp(row) / sum(torch.exp(number) for number in row)
