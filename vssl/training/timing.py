"""What an optimiser step takes on this machine, measured on some real ones that nothing is kept of."""

import itertools
import statistics
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vssl import _torchvision  # noqa: F401  (before Lightning)

# isort: split
import pytorch_lightning as pl
import torch

from vssl.ranks import gather
from vssl.training.callbacks import StepCallback
from vssl.training.launch import Ranks

if TYPE_CHECKING:
    from vssl.training.build import Study

WARM_UP = 2  # steps in which loaders start, kernels are chosen and code is compiled
AT_LEAST = 3
LONG_ENOUGH_S = 5.0
AT_MOST = 200


class Clock(StepCallback):
    """Times steps, and ends the training when it has seen enough of them; on every rank alike."""

    def __init__(self) -> None:
        super().__init__()
        self._ends: list[float] = []

    @property
    def seconds(self) -> list[float]:
        """Of every step after the warm-up."""
        return [later - earlier for earlier, later in itertools.pairwise(self._ends[WARM_UP - 1 :])]

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        if not self.stepped(trainer):
            return
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize(pl_module.device)  # a GPU is given its work in advance
        self._ends.append(time.perf_counter())
        enough = len(self.seconds) >= AT_LEAST and sum(self.seconds) >= LONG_ENOUGH_S
        if all(gather(enough)):
            trainer.should_stop = True


def seconds_per_step(study: "Study", ranks: Mapping[str, Any]) -> float:
    """The median of some steps of `study`, loading and augmentation included; `study` is of no use afterwards.

    Args:
        ranks: what further ranks make the same study from, as `vssl.training.run.fit` takes it.
    """
    study.prepare()
    clock = Clock()
    with torch.random.fork_rng(devices=[]), Ranks(study.devices, {**ranks, "timed": True}) as others:
        study.trainer([clock], None, others.place).fit(study.method, study.datamodule)
    return statistics.median(clock.seconds)
