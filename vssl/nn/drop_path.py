"""Stochastic depth: a residual branch is left out for whole samples."""

from torch import Tensor, nn


class DropPath(nn.Module):
    """In training, zeroes each sample's branch with probability `rate` and scales the others by 1 / (1 - rate).

    Source: Huang et al. 2016, arXiv:1603.09382, with the scaling at training time that timm and VideoMAE use.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"drop_path is {rate}; it must be at least 0 and below 1")
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        kept = x.new_empty((x.shape[0],) + (1,) * (x.ndim - 1)).bernoulli_(1 - self.rate)
        return x * kept.div_(1 - self.rate)

    def extra_repr(self) -> str:
        return f"rate={self.rate:.3f}"


def rising(highest: float, blocks: int) -> list[float]:
    """A rate for each block, from 0 in the first in equal steps to the highest in the last."""
    return [highest * i / max(blocks - 1, 1) for i in range(blocks)]
