"""Unreadable videos in loader workers: told in place of an item, raised where the batches arrive."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch.utils.data import Dataset

from vssl.config.errors import WorkError
from vssl.video.clips import ClipBatch, ClipDataset, Item, collate
from vssl.video.errors import VideoError


@dataclass(frozen=True)
class Unreadable:
    """What a worker hands over in place of a batch; an exception with its own arguments would not survive the way."""

    message: str


class CheckedClips(Dataset[Item | Unreadable]):
    """Clips by (place in the list, key); a video that cannot be read is told, not raised."""

    def __init__(self, clips: ClipDataset) -> None:
        self.clips = clips

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, request: tuple[int, int]) -> Item | Unreadable:
        try:
            return self.clips[request]
        except VideoError as error:
            return Unreadable(str(error))


def collate_checked(items: Sequence[Item | Unreadable]) -> ClipBatch | Unreadable:
    for item in items:
        if isinstance(item, Unreadable):
            return item
    return collate([item for item in items if not isinstance(item, Unreadable)])


def readable(batch: ClipBatch | Unreadable) -> ClipBatch:
    """The batch; WorkError naming the file where one of its videos could not be read."""
    if isinstance(batch, Unreadable):
        raise WorkError(batch.message, "take it out of the list or replace it, then run the same command again")
    return batch
