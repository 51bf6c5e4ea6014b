"""Linear classifiers for a whole grid of rates and decays, trained side by side in one pass over the features.

Letters: N videos, D features, K classes, G points of the grid. The G heads are the columns of one [D, G * K] matrix, so
that a step costs two matrix products however many heads there are.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vssl.evaluation.head_rules import RULES, Fall, Optimiser
from vssl.evaluation.progress import track


@dataclass(frozen=True)
class Point:
    """One point of the grid: learning rate at the start, and L2 penalty on the weights (biases have none)."""

    lr: float
    weight_decay: float


@dataclass(frozen=True)
class Heads:
    """weight [D, G, K], bias [G, K]."""

    weight: Tensor
    bias: Tensor

    def logits(self, features: Tensor) -> Tensor:
        """[N, D] -> [G, N, K]."""
        return torch.einsum("nd,dgk->gnk", features, self.weight) + self.bias[:, None]


@contextmanager
def one_thread() -> Iterator[None]:
    """Steps this small are not worth sharing: two threads on two busy cores took 5 to 20 times as long as one. And the
    result does not depend on the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@one_thread()
def fit_heads(
    features: Tensor,
    label: Tensor,
    classes: int,
    grid: Sequence[Point],
    *,
    epochs: int,
    batch_size: int,
    momentum: float,
    seed: int,
    optimiser: Optimiser = "sgd",
    fall: Fall = Fall(),  # noqa: B008 (it is frozen)
    init_std: float = 0.0,
) -> Heads:
    """Softmax regression, by SGD with momentum, from zero and along a cosine to 0 unless told otherwise.

    Of videos that may carry several classes: logistic regression of each class, the loss summed over classes.

    All heads see the same batches in the same order, so that each is what training it alone would give.

    Args:
        features: float32 [N, D]. label: int64 [N], or bool [N, K] where a video may carry several classes.
        batch_size: videos in a step; the last batch of an epoch may be smaller.
        seed: of the order of the videos and of first weights, drawn on the CPU for every device.
        fall: of the rate. init_std: standard deviation of the first weights, the same for all heads.
    """
    (videos, width), points, device = features.shape, len(grid), features.device
    lr = torch.tensor([point.lr for point in grid], device=device).repeat_interleave(classes)
    decay = torch.tensor([point.weight_decay for point in grid], device=device).repeat_interleave(classes)
    several = label.ndim == 2
    target = (label if several else F.one_hot(label, classes)).to(features.dtype)
    generator = torch.Generator().manual_seed(seed)
    weight = _first_weights(width, classes, points, init_std, generator).to(device)
    bias = torch.zeros(points * classes, device=device)
    rule = RULES[optimiser](weight, bias, decay, momentum, classes)
    steps = epochs * math.ceil(videos / batch_size)
    step = 0
    for _ in track(range(epochs), epochs, f"linear probe, {points} settings at once"):
        for rows in torch.split(torch.randperm(videos, generator=generator).to(device), batch_size):
            x = features[rows]
            logits = torch.addmm(bias, x, weight).view(-1, points, classes)
            probability = logits.sigmoid() if several else logits.softmax(dim=2)
            # The gradient by the logits, [B, G * K], of the cross-entropy: its mean over videos, its sum over classes.
            slope = ((probability - target[rows, None]) / len(rows)).flatten(1)
            rule.step(x, slope, lr * fall.factor(step / steps))
            step += 1
    return Heads(weight.view(width, points, classes), bias.view(points, classes))


def _first_weights(width: int, classes: int, points: int, std: float, generator: torch.Generator) -> Tensor:
    """[D, G * K]. Nothing is drawn for 0, so that the order of the videos is the same as ever."""
    if not std:
        return torch.zeros(width, points * classes)
    return (std * torch.randn(width, classes, generator=generator)).repeat(1, points)
