"""Which clips stand in which batch: a pure function of (seed, position), so that training can start anywhere."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vssl.video.draws import permutation, sample_keys


class Slot(NamedTuple):
    """One place in a batch: the sample (its index in the list), the key of all its draws, and the data epoch."""

    sample: int
    key: int
    epoch: int


@dataclass(frozen=True)
class BatchSampler:
    """Batches of slots over all epochs of a training, as one endless list.

    Position t is micro-batch `t % accumulate` of optimiser step `t // accumulate`; a step's global batch never crosses
    a data epoch (the remainder of each epoch's permutation is dropped). Micro-batches and ranks are slices of that
    global batch: batch 8, accumulation 2 x 4 and two ranks of 4 contain the same clips with the same keys.

    Args:
        size: samples in the list (N).
        batch_size: clips in an optimiser step, over all ranks and micro-batches; it must divide evenly.
        steps: optimiser steps of the whole training.
        start: position at which iteration begins; the length is that of the whole training nevertheless.
    """

    size: int
    batch_size: int
    accumulate: int
    steps: int
    seed: int
    start: int = 0
    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        parts = self.accumulate * self.world_size
        if self.batch_size % parts:
            raise ValueError(f"train.batch_size={self.batch_size} is not divisible by accumulation x ranks = {parts}")
        if self.size < self.batch_size:
            raise ValueError(f"train.batch_size={self.batch_size} is larger than the {self.size} training videos")

    @property
    def batches_per_epoch(self) -> int:
        return self.size // self.batch_size

    def epoch_of(self, step: int) -> int:
        return step // self.batches_per_epoch

    def __len__(self) -> int:
        # One more than training takes, so that Lightning never sees a last batch: its end-of-epoch counters are wrong
        # after a resume in mid-epoch.
        return self.steps * self.accumulate + 1

    def __iter__(self) -> Iterator[list[Slot]]:
        for position in range(self.start, len(self)):
            step, micro = divmod(position, self.accumulate)
            share = self.batch_size // (self.accumulate * self.world_size)
            first = step % self.batches_per_epoch * self.batch_size + (micro * self.world_size + self.rank) * share
            epoch = self.epoch_of(step)
            yield self._slots(epoch, _order(self.seed, epoch, self.size)[first : first + share])

    def successors(self, slot: Slot) -> Iterator[Slot]:
        """The samples that follow in the epoch's order, wrapping round: they take an unreadable one's place."""
        order = _order(self.seed, slot.epoch, self.size)
        place = int(np.flatnonzero(order == slot.sample)[0])
        for ahead in range(1, self.size):
            yield from self._slots(slot.epoch, order[[(place + ahead) % self.size]])

    def _slots(self, epoch: int, index: NDArray[np.int64]) -> list[Slot]:
        keys = sample_keys(self.seed, epoch, index).tolist()
        return [Slot(number, key, epoch) for number, key in zip(index.tolist(), keys, strict=True)]


@lru_cache(maxsize=2)  # the epoch that ends and the one that begins
def _order(seed: int, epoch: int, size: int) -> NDArray[np.int64]:
    return permutation(seed, epoch, size)
