"""Do features still tell clips apart? Spread of what a method hands out, measured and judged while it trains."""

import math
from typing import Any

from vssl import _torchvision  # noqa: F401  (before Lightning)

# isort: split
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional as F

from vssl.method import Method
from vssl.ranks import gather
from vssl.training.callbacks import StepCallback

ROWS = 256  # clips of one measurement at most: their spectrum costs some 60 ms on one core
FEWEST = 8  # with fewer clips the effective rank is near 1 whatever the encoder does
KEYS = ("feature_std", "effective_rank")

# Measured on moving_shapes (nano ViT of one layer, 64 clips, SGD, 600 steps): SimSiam's effective rank falls from 40
# to 10 and its standard deviation stays at 1; without the stopped gradient they fall to 1.1 and to 0.4. VideoMAE and
# supervised features, which keep their common mean, have standard deviations of 0.1 and more.
LOWEST_STD = 0.01
LOWEST_RANK = 2.0
IN_A_ROW = 3
CHANCE_MARGIN = 0.01  # of the chance loss: what is further below it has learned something


def feature_std(features: Tensor) -> float:
    """Spread of directions: standard deviation of L2-normalised features, mean over dimensions, times sqrt(D).

    Args:
        features: [B, D].
    Returns:
        1 for directions that are uniform on the sphere, 0 where all are the same; NaN for fewer than two clips or
        values that are not finite.
    Source: Chen and He 2021, arXiv:2011.10566, Sec. 4.1 and Fig. 2, there without the factor.
    """
    features = _plain(features)
    if len(features) < 2 or not torch.isfinite(features).all():
        return math.nan
    return float(F.normalize(features, dim=1).std(dim=0).mean() * features.shape[1] ** 0.5)


def effective_rank(features: Tensor) -> float:
    """How many directions features vary in: exp of the entropy of the normalised singular values, centred.

    Args:
        features: [B, D].
    Returns:
        From 1 (a line) to min(B - 1, D); 0 where all are the same but for rounding (of fp32); NaN for fewer than two
        clips or values that are not finite.
    Source: Roy and Vetterli 2007, EUSIPCO, Eq. 1-3; Garrido et al. 2022, arXiv:2210.02885, Eq. 1 (RankMe). Both do not
        centre; a common mean, which most encoders have, would be counted as a direction.
    """
    features = _plain(features)
    if len(features) < 2 or not torch.isfinite(features).all():
        return math.nan
    centred = features - features.mean(dim=0)
    # The smaller of both Gram matrices: its eigenvalues are the squares, and singular values of such weight are exact.
    gram = centred @ centred.T if len(centred) < centred.shape[1] else centred.T @ centred
    if gram.trace() <= torch.finfo(torch.float32).eps ** 2 * features.square().sum():
        return 0.0
    share = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt()
    share = share / share.sum()
    return float(torch.special.entr(share).sum().exp())


def _plain(features: Tensor) -> Tensor:
    return features.detach().cpu().double()


class Health(StepCallback):
    """Measures the features of every `every`-th optimiser step and of the last one, and says when they have collapsed.

    Collapsed is, in `IN_A_ROW` measurements one after the other, a standard deviation below `LOWEST_STD` (all features
    point one way) or an effective rank below `LOWEST_RANK` (they differ along one line: what collapse looks like behind
    a BatchNorm without affine part, which keeps the standard deviation up), while the loss is no lower than a collapsed
    model's. The last condition clears those who compress on purpose: features of a classifier of two classes end on a
    line, with a loss far below chance. One measurement alone says little, and the first steps after initialisation are
    never judged by themselves. A later measurement that is good again ends the collapse.

    Where a method gives no features, or a forward pass has fewer than `FEWEST` clips, nothing is judged; the loss's
    distance from chance is known all the same. Features are those of all ranks.

    Args:
        every: optimiser steps from one measurement to the next.
    """

    def __init__(self, every: int = 20) -> None:
        super().__init__()
        if every < 1:
            raise ValueError(f"every={every} must be 1 or more")
        self.every = every
        self.latest: dict[str, float] = {}
        self.loss_from_chance: float | None = None
        self._row: dict[str, float | str] = dict.fromkeys(KEYS, "")
        self._low_since: int | None = None
        self._low = 0
        self._warned = False
        self._unsaid = False
        self._features: list[Tensor] = []  # of the step that is being made; empty between steps
        self._losses: list[Tensor] = []

    @property
    def collapsed(self) -> bool:
        return self._low >= IN_A_ROW

    @property
    def since(self) -> int | None:
        """The step of the first of the measurements that the verdict rests on."""
        return self._low_since if self.collapsed else None

    def row(self) -> dict[str, float | str]:
        """For `metrics.csv`: the same keys at every step, empty where nothing was measured at this one."""
        return dict(self._row)

    def summary(self) -> dict[str, float | int | bool | None]:
        """For the record: the latest measurement and the verdict."""
        return {
            **{key: _finite(self.latest.get(key)) for key in KEYS},
            "loss_from_chance": _finite(self.loss_from_chance),
            "collapsed": self.collapsed,
            "since": self.since,
        }

    def warning(self) -> str | None:
        """One sentence at the step at which the first collapse is recognised, for console and log; then None."""
        if not self._unsaid:
            return None
        self._unsaid = False
        apart = (
            "" if self.loss_from_chance is None else f", a loss {self.loss_from_chance:.2g} from a collapsed model's"
        )
        return (
            f"features collapsed since step {self.since}: effective rank {self.latest['effective_rank']:.1f}, standard "
            f"deviation {self.latest['feature_std']:.2g} of 1{apart}; what is learned from here on is worth little, "
            "so stop and look at what keeps the method from collapse (stopped gradient, target, predictor, negatives), "
            "and try a lower optim.base_lr or a larger train.batch_size"
        )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        assert isinstance(pl_module, Method)
        self._row = dict.fromkeys(KEYS, "")
        due = self._last_step + 1
        if due % self.every == 0 or due == trainer.max_steps:
            self._take(pl_module.last_terms)
        if self.stepped(trainer) and self._losses:
            self._measure(trainer.global_step, pl_module.chance(len(batch["id"]) * trainer.world_size))

    def _take(self, terms: dict[str, Tensor]) -> None:
        """Of one micro-batch."""
        self._losses.append(terms["loss"].float())
        if "features" in terms and sum(map(len, self._features)) < ROWS:
            self._features.append(terms["features"].float())

    def _measure(self, step: int, chance: float | None) -> None:
        ranks = gather((float(torch.stack(self._losses).mean()), [part.cpu() for part in self._features]))
        loss = sum(theirs for theirs, _ in ranks) / len(ranks)
        self.loss_from_chance = None if chance is None else loss - chance
        if parts := [part for _, theirs in ranks for part in theirs]:
            features = torch.cat(parts)[:ROWS]
            self.latest = {"feature_std": feature_std(features), "effective_rank": effective_rank(features)}
            self._row = {key: round(value, 6) for key, value in self.latest.items()}
            if len(features) >= FEWEST:
                self._judge(step, chance)
        self._features, self._losses = [], []

    def _judge(self, step: int, chance: float | None) -> None:
        low = self.latest["feature_std"] < LOWEST_STD or self.latest["effective_rank"] < LOWEST_RANK
        learned = self.loss_from_chance is not None and self.loss_from_chance < -CHANCE_MARGIN * abs(chance or 0.0)
        if not low or learned:
            self._low, self._low_since = 0, None
            return
        self._low += 1
        if self._low_since is None:
            self._low_since = step
        if self.collapsed and not self._warned:
            self._warned = self._unsaid = True

    def state_dict(self) -> dict[str, Any]:
        return {
            "latest": self.latest,
            "loss_from_chance": self.loss_from_chance,
            "low": self._low,
            "low_since": self._low_since,
            "warned": self._warned,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.latest = dict(state_dict["latest"])
        self.loss_from_chance = state_dict["loss_from_chance"]
        self._low, self._low_since = state_dict["low"], state_dict["low_since"]
        self._warned = state_dict["warned"]


def _finite(value: float | None) -> float | None:
    """JSON knows no NaN."""
    return value if value is not None and math.isfinite(value) else None
