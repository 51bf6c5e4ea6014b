"""Which clips stand in which batch: a pure function of (seed, position), so that training can start anywhere."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vssl.video.draws import permutation, sample_keys
from vssl.video.mixture import EpochClips, Mixture


class Slot(NamedTuple):
    """One place in a batch.

    Args:
        sample: its index in the list.
        key: that of all its draws.
        epoch: of the data.
        repeat: which of the sample's clips in this epoch; a sample that occurs again in it counts on.
    """

    sample: int
    key: int
    epoch: int
    repeat: int = 0


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
        repeats: clips of each sample in an epoch, side by side in one batch (repeated augmentation); `batch_size`
            counts all of them.
        start: position at which iteration begins; the length is that of the whole training nevertheless.
        mixture: how often an epoch takes each sample; None is once. An epoch is then a permutation of those clips, so
            that every place of every batch holds a set with the probability of its share, and the whole epoch, before
            its remainder is dropped, holds exactly that share.
    """

    size: int
    batch_size: int
    accumulate: int
    steps: int
    seed: int
    start: int = 0
    rank: int = 0
    world_size: int = 1
    repeats: int = 1
    mixture: Mixture | None = None

    def __post_init__(self) -> None:
        parts = self.accumulate * self.world_size
        if self.batch_size % parts:
            raise ValueError(f"train.batch_size={self.batch_size} is not divisible by accumulation x ranks = {parts}")
        if self.batch_size % self.repeats:
            raise ValueError(f"train.batch_size={self.batch_size} is not divisible by views.repeats={self.repeats}")
        if self.clips < self.batch_size // self.repeats:
            times = f" times views.repeats={self.repeats}" if self.repeats > 1 else ""
            what = "training videos" if self.mixture is None else "clips of an epoch"
            raise ValueError(f"train.batch_size={self.batch_size} is larger than the {self.clips} {what}{times}")

    @property
    def clips(self) -> int:
        """Of an epoch, before they are repeated."""
        return self.size if self.mixture is None else int(self.mixture.clips.sum())

    @property
    def batches_per_epoch(self) -> int:
        return self.clips // (self.batch_size // self.repeats)

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
            place, repeat = np.divmod(np.arange(first, first + share), self.repeats)
            sample, occurrence = self._clips_of(epoch)
            yield self._slots(epoch, sample[place], occurrence[place] * self.repeats + repeat)

    def successors(self, slot: Slot) -> Iterator[Slot]:
        """The samples that follow in the epoch's order, wrapping round: they take an unreadable one's place.

        Of a mixture, those of the same set, each at the first of its clips that is met.
        """
        sample, occurrence = self._clips_of(slot.epoch)
        number, repeat = divmod(slot.repeat, self.repeats)
        start = int(np.flatnonzero((sample == slot.sample) & (occurrence == number))[0])
        ahead = np.roll(np.arange(self.clips), -start)[1:]
        if self.mixture is not None:
            part = self.mixture.part
            ahead = ahead[(part[sample[ahead]] == part[slot.sample]) & (sample[ahead] != slot.sample)]
            ahead = ahead[np.sort(np.unique(sample[ahead], return_index=True)[1])]
        for place in ahead:
            here = slice(place, place + 1)
            yield from self._slots(slot.epoch, sample[here], occurrence[here] * self.repeats + repeat)

    def _clips_of(self, epoch: int) -> EpochClips:
        """The clips of an epoch in its order."""
        return _order(self.seed, epoch, self.size, self.mixture)

    def _slots(self, epoch: int, index: NDArray[np.int64], repeat: NDArray[np.int64]) -> list[Slot]:
        keys = sample_keys(self.seed, epoch, index, repeat)
        places = zip(index.tolist(), keys.tolist(), repeat.tolist(), strict=True)
        return [Slot(sample, key, epoch, number) for sample, key, number in places]


@lru_cache(maxsize=2)  # the epoch that ends and the one that begins
def _order(seed: int, epoch: int, size: int, mixture: Mixture | None) -> EpochClips:
    if mixture is None:
        return EpochClips(permutation(seed, epoch, size), np.zeros(size, dtype=np.int64))
    clips = mixture.entries(seed, epoch)
    order = permutation(seed, epoch, len(clips.sample))
    return EpochClips(clips.sample[order], clips.occurrence[order])
