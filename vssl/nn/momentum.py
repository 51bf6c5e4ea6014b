"""Target networks that trail the trained one: a copy, how it follows, and the schedule of its momentum."""

import copy
import math
from typing import TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


def frozen_copy(module: M) -> M:
    """A deep copy whose parameters take no gradient. Its buffers are its own from here on, and so is its mode.

    Gradients still flow through it to its input: who asks it for a target does so under `torch.no_grad`.
    """
    return copy.deepcopy(module).requires_grad_(False)


@torch.no_grad()
def follow(target: nn.Module, source: nn.Module, momentum: float) -> None:
    """target <- momentum * target + (1 - momentum) * source, in place, for every parameter.

    Buffers stay: a target network in train mode has BatchNorm statistics of its own forward passes.

    Args:
        target: made by `frozen_copy(source)`.
        momentum: in [0, 1]; 1 leaves the target as it is.
    Source: facebookresearch/moco-v3: moco/builder.py; deepmind-research: byol/byol_experiment.py.
    """
    for kept, new in zip(target.parameters(), source.parameters(), strict=True):
        kept.lerp_(new, 1 - momentum)


def cosine_momentum(start: float, fraction: float) -> float:
    """The momentum at a place of training: from `start` to 1 along half a cosine, 1 - (1 - start) (1 + cos(pi f)) / 2.

    Args:
        start: in [0, 1].
        fraction: place in training (f), 0 at its beginning and 1 at its end. Which step counts as done differs between
            papers: see the methods.
    Source: facebookresearch/moco-v3: main_moco.py; deepmind-research: byol/utils/schedules.py.
    """
    return 1 - (1 - start) * (1 + math.cos(math.pi * fraction)) / 2
