"""LSTCL: the frameworks of MoCo v3, BYOL and SimSiam on a short and a long view of one video.

Source: Wang et al. 2022, arXiv:2106.09212, of which the abstract alone is verified; there is no released code.
How long the views are and how they lie in time is data, in `configs/views/lstcl.yaml`; so is which one predicts which.
"""

from torch import Tensor

from methods.byol import BYOL
from methods.moco_v3 import MoCoV3
from methods.simsiam import SimSiam
from vssl.backbones.base import Backbone
from vssl.method import PairMethod

Pairs = tuple[tuple[str, str], ...]


class LongShort(PairMethod):
    """What the three share: the views, and the direction as data.

    Args:
        pairs: which view predicts which; the one aimed at goes through the target network, where there is one.
            Unverified: "predict temporal context captured from a longer temporal extent" is read as short to long.
        shared: arguments of the framework.
    """

    views = ("short", "long")

    def __init__(self, encoder: Backbone, pairs: Pairs = (("short", "long"),), **shared) -> None:  # type: ignore[no-untyped-def]
        super().__init__(encoder, **shared)
        known = ", ".join(self.views)
        if not pairs or any(sorted(pair) != sorted(self.views) for pair in pairs):
            raise ValueError(f"pairs is {[list(pair) for pair in pairs]}, allowed are pairs of {known} in either order")
        self.pairs = pairs

    @property
    def directions(self) -> float:
        """The share of a symmetric loss that is left."""
        return len(self.pairs) / 2


class LSTCL(LongShort, MoCoV3):
    """LSTCL with MoCo v3: a sum over directions."""

    def chance(self, batch_size: int) -> float | None:
        symmetric = super().chance(batch_size)
        return None if symmetric is None else symmetric * self.directions


class LSTCLBYOL(LongShort, BYOL):
    """LSTCL with BYOL: a sum over directions, whose chance is 0 for any of them."""


class LSTCLSimSiam(LongShort, SimSiam):
    """LSTCL with SimSiam: a mean over directions."""

    def pair_loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        return super().pair_loss(prediction, target) / self.directions
