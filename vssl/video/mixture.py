"""How often an epoch takes each sample of several sets that are read together."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vssl.video.draws import permutation

_CIRCLE = 0x636972636C65  # a seed of its own: whose turn it is tells nothing about the places in an epoch


class EpochClips(NamedTuple):
    """The M clips of an epoch: (M,) places in the list, and (M,) which clip of that sample it is, from 0 on."""

    sample: NDArray[np.int64]
    occurrence: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Mixture:
    """Several sets in one list, each with the number of times that an epoch takes each of its samples.

    With weight w an epoch has round(w n) clips of a set of n samples, at least one. Each sample then occurs equally
    often up to one, in every epoch and in any number of epochs from the first one on.

    Args:
        part: (N,) the set of each sample, a place in `names`.
        weights: one for each set, above 0; 1 takes each sample once.
    """

    part: NDArray[np.int64]
    names: tuple[str, ...]
    weights: tuple[float, ...]

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """(S,) samples of each set."""
        return np.bincount(self.part, minlength=len(self.names))

    @cached_property
    def clips(self) -> NDArray[np.int64]:
        """(S,) clips of each set in an epoch."""
        wanted = np.floor(np.asarray(self.weights) * self.sizes + 0.5).astype(np.int64)
        return np.where(self.sizes > 0, np.maximum(wanted, 1), 0)

    def entries(self, seed: int, epoch: int) -> EpochClips:
        """Of every set each sample as often as all of them fit into its share, then those whose turn it is."""
        samples, occurrences = [], []
        for place, clips in enumerate(self.clips.tolist()):
            members = np.flatnonzero(self.part == place)
            if not len(members):
                continue
            whole, left = divmod(clips, len(members))
            # A window that walks round one fixed circle of the set, epoch after epoch.
            circle = permutation(seed ^ _CIRCLE, place, len(members))
            turn = members[circle[(epoch * left + np.arange(left)) % len(members)]]
            samples += [np.tile(members, whole), turn]
            occurrences += [np.repeat(np.arange(whole), len(members)), np.full(left, whole)]
        # In the order of the list: with every sample once, the clips of an epoch are the list itself.
        sample, occurrence = np.concatenate(samples), np.concatenate(occurrences)
        order = np.lexsort((sample, occurrence))
        return EpochClips(sample[order], occurrence[order])

    def told(self) -> str:
        """`"an epoch takes 96 clips of gestures (80.0 %) and 24 of shapes (20.0 %)"`."""
        total = int(self.clips.sum())
        each = [
            f"{clips:,} {'clips ' if place == 0 else ''}of {name} ({100 * clips / total:.1f} %)"
            for place, (name, clips) in enumerate(zip(self.names, self.clips.tolist(), strict=True))
        ]
        return f"an epoch takes {', '.join(each[:-1])} and {each[-1]}" if len(each) > 1 else f"an epoch takes {each[0]}"
