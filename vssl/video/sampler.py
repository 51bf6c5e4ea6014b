"""Which clips stand in which batch: a pure function of (seed, position), so that training can start anywhere."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vssl.video.draws import permutation, sample_keys


@dataclass(frozen=True)
class BatchSampler:
    """Batches of (sample index, key) over all epochs of a training, as one endless list.

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

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch, order = -1, np.empty(0, dtype=np.int64)
        for position in range(self.start, len(self)):
            step, micro = divmod(position, self.accumulate)
            if self.epoch_of(step) != epoch:
                epoch = self.epoch_of(step)
                order = permutation(self.seed, epoch, self.size)
            yield self._micro_batch(order, epoch, step % self.batches_per_epoch, micro)

    def _micro_batch(self, order: np.ndarray, epoch: int, batch: int, micro: int) -> list[tuple[int, int]]:
        share = self.batch_size // (self.accumulate * self.world_size)
        first = batch * self.batch_size + (micro * self.world_size + self.rank) * share
        index = order[first : first + share]
        return list(zip(index.tolist(), sample_keys(self.seed, epoch, index).tolist(), strict=True))
