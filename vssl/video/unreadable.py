"""Unreadable videos in loader workers: evaluation raises, training puts the next of the epoch's order in their place.

A worker hands over what it found as data: an exception with arguments of its own would not survive the way to the main
process. Nothing is remembered in a worker, so that which clips are read depends on the files alone, never on who read
what before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from vssl.config.errors import UserError, WorkError
from vssl.video.clips import ClipBatch, ClipDataset, Item, collate
from vssl.video.decoding.errors import VideoError
from vssl.video.sampler import BatchSampler, Slot

SHOWN = 10


class Bad(NamedTuple):
    """A sample (its index in the list) that could not be read, and why."""

    sample: int
    reason: str


@dataclass(frozen=True)
class Unreadable:
    """In place of an item: what an error will say, and with which exit code."""

    message: str
    exit_code: int = WorkError.exit_code


@dataclass(frozen=True)
class Replaced:
    """In place of an item: the one that took the slot, and all that were tried before it."""

    item: Item | None
    bad: tuple[Bad, ...]


class CheckedClips(Dataset[Item | Unreadable]):
    """Clips by (place in the list, key); what cannot be read is told, not raised."""

    def __init__(self, clips: ClipDataset) -> None:
        self.clips = clips

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, request: tuple[int, int]) -> Item | Unreadable:
        try:
            return self.clips[request]
        except (VideoError, UserError) as error:
            return _unreadable(error)


class TrainingClips(Dataset[Item | Replaced | Unreadable]):
    """Clips by slot; an unreadable video's slot goes to the next sample of the epoch's order, with that sample's key.

    Args:
        tries: samples that are tried for one slot; one more than may be unreadable in the whole list.
    """

    def __init__(self, clips: ClipDataset, sampler: BatchSampler, tries: int) -> None:
        self.clips, self.sampler, self.tries = clips, sampler, tries

    def __len__(self) -> int:
        return len(self.clips)

    def __getitems__(self, slots: Sequence[Slot]) -> list[Item | Replaced | Unreadable]:
        """What the loader asks for: slots of one video that stand side by side are read in one decode."""
        found: list[Item | Replaced | Unreadable] = []
        for (sample, _), group in groupby(slots, key=lambda slot: (slot.sample, slot.epoch)):
            same = list(group)
            try:
                found += self.clips.read_repeats(sample, [slot.key for slot in same])
            except (VideoError, UserError):
                found += [self[slot] for slot in same]
        return found

    def __getitem__(self, slot: Slot) -> Item | Replaced | Unreadable:
        bad: list[Bad] = []
        try:
            try:
                return self.clips.read(slot.sample, slot.key)
            except VideoError as error:
                bad.append(Bad(slot.sample, _reason(error)))
            for other in self.sampler.successors(slot):
                if len(bad) >= self.tries:
                    break
                try:
                    return Replaced(self.clips.read(other.sample, other.key, replaced=slot.sample), tuple(bad))
                except VideoError as error:
                    bad.append(Bad(other.sample, _reason(error)))
        except UserError as error:  # a clip too short for a view that refuses padding is no damage
            return _unreadable(error)
        return Replaced(None, tuple(bad))


class TrainingBatch(NamedTuple):
    """A collated batch, None where a slot found no sample at all, and the bad samples of each slot that has some."""

    clips: ClipBatch | None
    bad: list[tuple[Bad, ...]]


def collate_checked(items: Sequence[Item | Unreadable]) -> ClipBatch | Unreadable:
    for item in items:
        if isinstance(item, Unreadable):
            return item
    return collate([item for item in items if not isinstance(item, Unreadable)])


def collate_training(items: Sequence[Item | Replaced | Unreadable]) -> TrainingBatch | Unreadable:
    found: list[Item | None] = []
    bad: list[tuple[Bad, ...]] = []
    for item in items:
        if isinstance(item, Unreadable):
            return item
        if isinstance(item, Replaced):
            bad.append(item.bad)
            found.append(item.item)
        else:
            found.append(item)
    whole = [item for item in found if item is not None]
    return TrainingBatch(collate(whole) if len(whole) == len(found) else None, bad)


def readable(batch: ClipBatch | Unreadable) -> ClipBatch:
    """The batch; WorkError naming the file where one of its videos could not be read, UserError where it never can."""
    if isinstance(batch, Unreadable):
        raise (WorkError if batch.exit_code == WorkError.exit_code else UserError)(batch.message)
    return batch


class BadVideos:
    """The samples of a training that could not be read, and how often each of them was met.

    Args:
        names: id of every sample of the list (N).
        max_fraction: share of the list above which training stops.
    """

    def __init__(self, names: NDArray[np.str_], max_fraction: float) -> None:
        self.names, self.max_fraction = names, max_fraction
        self.found: dict[int, tuple[str, int]] = {}

    @property
    def allowed(self) -> int:
        return int(self.max_fraction * len(self.names))

    def add(self, bad: Sequence[Bad]) -> None:
        for index, reason in bad:
            _, count = self.found.get(index, (reason, 0))
            self.found[index] = (reason, count + 1)

    def check(self) -> None:
        """Raises WorkError, naming them, where they are too many."""
        if len(self.found) > self.allowed:
            raise WorkError(
                f"{self.counted} cannot be read, and data.max_bad_fraction={self.max_fraction:g} allows {self.allowed}"
                f": {self.told()}",
                "`vssl data check FOLDER` finds them all; take them out of the list, or raise data.max_bad_fraction",
            )

    @property
    def counted(self) -> str:
        return f"{len(self.found)} of {len(self.names)} videos"

    def told(self) -> str:
        """The first of them with their reasons."""
        shown = [f"{place['id']} ({place['reason']})" for place in self.listed()[:SHOWN]]
        more = len(self.found) - len(shown)
        return "; ".join([*shown, *([f"and {more} more, in record.json"] if more else [])])

    def listed(self) -> list[dict[str, object]]:
        """For the record: id, reason and how often it was met, in the order of the list."""
        return [
            {"id": str(self.names[index]), "reason": reason, "times": times}
            for index, (reason, times) in sorted(self.found.items())
        ]

    def state(self) -> list[list[int | str]]:
        return [[index, reason, times] for index, (reason, times) in self.found.items()]

    def load(self, state: Sequence[Sequence[int | str]]) -> None:
        self.found = {int(index): (str(reason), int(times)) for index, reason, times in state}


def _reason(error: VideoError) -> str:
    return f"{error.verdict.replace('_', ' ')}: {error.reason}"


def _unreadable(error: VideoError | UserError) -> Unreadable:
    if isinstance(error, VideoError):
        return Unreadable(f"{error}\n  hint: take it out of the list or replace it, then run the same command again")
    return Unreadable(str(error), error.exit_code)
