"""How linear heads that stand side by side are moved by their gradients: one rule a class, one rate and decay a column.

Letters: D features, G heads, K classes. The heads are the columns of weight [D, G * K] and bias [G * K]; a rate or a
decay of [G * K] has one value a head.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Optimiser = Literal["sgd", "lars", "adam"]


@dataclass(frozen=True)
class Fall:
    """What multiplies the rate: a warm-up, then a cosine to 0 or steps.

    Args:
        warmup: share of the steps over which it rises linearly from 0.
        drops: shares of the steps after which it is multiplied by `drop`; none is a cosine to 0.
    """

    warmup: float = 0.0
    drops: tuple[float, ...] = ()
    drop: float = 0.1

    def factor(self, share: float) -> float:
        """When `share` of the steps is done, from 0 to 1."""
        if share < self.warmup:
            return share / self.warmup
        if self.drops:
            return self.drop ** sum(share >= place for place in self.drops)
        return 0.5 * (1 + math.cos(math.pi * (share - self.warmup) / (1 - self.warmup)))


class Sgd:
    """v <- momentum v + g + decay w; w <- w - rate v. Biases are not decayed."""

    def __init__(self, weight: Tensor, bias: Tensor, decay: Tensor, momentum: float, classes: int) -> None:
        self.weight, self.bias, self.decay, self.momentum, self.classes = weight, bias, decay, momentum, classes
        self.of_weight, self.of_bias = torch.zeros_like(weight), torch.zeros_like(bias)

    def step(self, x: Tensor, slope: Tensor, rate: Tensor) -> None:
        """One step.

        Args:
            x: [B, D]. slope: [B, G * K], the gradient by the logits.
        """
        self.of_weight.mul_(self.momentum).addmm_(x.T, slope).addcmul_(self.weight, self.decay)
        self.of_bias.mul_(self.momentum).add_(slope.sum(dim=0))
        self.weight.sub_(self.of_weight * rate)
        self.bias.sub_(self.of_bias * rate)


class Lars(Sgd):
    """SGD whose g + decay w is made as long as eta |w|, head by head; biases as in SGD.

    Source: facebookresearch/mae: util/lars.py (trust coefficient 0.001; 1 where either norm is 0).
    """

    eta = 1e-3

    def step(self, x: Tensor, slope: Tensor, rate: Tensor) -> None:
        gradient = (x.T @ slope).addcmul_(self.weight, self.decay)
        size, steep = self._norms(self.weight), self._norms(gradient)
        trust = torch.where((size > 0) & (steep > 0), self.eta * size / steep, 1.0)
        self.of_weight.mul_(self.momentum).add_(gradient * trust.repeat_interleave(self.classes))
        self.of_bias.mul_(self.momentum).add_(slope.sum(dim=0))
        self.weight.sub_(self.of_weight * rate)
        self.bias.sub_(self.of_bias * rate)

    def _norms(self, columns: Tensor) -> Tensor:
        """[D, G * K] -> [G]."""
        return columns.view(len(columns), -1, self.classes).pow(2).sum(dim=(0, 2)).sqrt()


class Adam(Sgd):
    """Adam with its usual betas, 0.9 and 0.999; decay is added to the gradient of the weights. `momentum` is not used.

    Source: Kingma and Ba 2015, arXiv:1412.6980, Alg. 1.
    """

    betas, eps = (0.9, 0.999), 1e-8

    def __init__(self, weight: Tensor, bias: Tensor, decay: Tensor, momentum: float, classes: int) -> None:
        super().__init__(weight, bias, decay, momentum, classes)
        self.square_of_weight, self.square_of_bias = torch.zeros_like(weight), torch.zeros_like(bias)
        self.steps = 0

    def step(self, x: Tensor, slope: Tensor, rate: Tensor) -> None:
        self.steps += 1
        of_weight = (x.T @ slope).addcmul_(self.weight, self.decay)
        self._move(self.weight, of_weight, self.of_weight, self.square_of_weight, rate)
        self._move(self.bias, slope.sum(dim=0), self.of_bias, self.square_of_bias, rate)

    def _move(self, value: Tensor, gradient: Tensor, mean: Tensor, square: Tensor, rate: Tensor) -> None:
        first, second = self.betas
        mean.lerp_(gradient, 1 - first)
        square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        spread = (square / (1 - second**self.steps)).sqrt_().add_(self.eps)
        value.sub_(mean / (1 - first**self.steps) / spread * rate)


RULES: dict[Optimiser, type[Sgd]] = {"sgd": Sgd, "lars": Lars, "adam": Adam}
