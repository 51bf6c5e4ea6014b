"""The data set that workers read: one sample in, the clips of all its views out, cropped and still uint8."""

import hashlib
from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from vssl.config.errors import UserError, WorkError
from vssl.video.augmentation.crops import Box, crop_boxes, crops_along_side, crops_resize
from vssl.video.decoding import addresses
from vssl.video.decoding.decode import Reader, VideoError
from vssl.video.draws import stream, uniform_stream
from vssl.video.eval_clips import EvalClip
from vssl.video.lists.samples import Samples
from vssl.video.views import Views


class Item(TypedDict):
    """One sample. Dictionaries go by view name, `label` by label name.

    `views` uint8 [T, C, S, S]; `time` (T,) float64, seconds by the file's clock; `box` (4,) float32, top, left, bottom
    and right of the crop as shares of the frame, before any flip, (T, 4) in a view augmented per frame; `digest` (32,)
    uint8; `padded` whether the video was too short for the view; `clamped` whether it is read at a smaller stride for
    being short. `label` is -1 where there is none. An `EvalClip` of S > 1 crops has `views` [S, T, C, size, size] and
    `box` (S, 4).
    """

    id: int
    key: int
    label: dict[str, int]
    views: dict[str, Tensor]
    time: dict[str, NDArray[np.float64]]
    box: dict[str, NDArray[np.float32]]
    digest: dict[str, NDArray[np.uint8]]
    padded: dict[str, bool]
    clamped: dict[str, bool]


class ClipBatch(TypedDict):
    """B samples: the keys of `Item`, everything a tensor with B in front (`views` uint8 [B, T, C, S, S])."""

    id: Tensor
    key: Tensor
    label: dict[str, Tensor]
    views: dict[str, Tensor]
    time: dict[str, Tensor]
    box: dict[str, Tensor]
    digest: dict[str, Tensor]
    padded: dict[str, Tensor]
    clamped: dict[str, Tensor]


class ClipDataset(Dataset[Item]):
    """Clips of `samples` as `views` describe them, read by `reader`. Holds no open file, so that it can be pickled.

    Args:
        samples: the list; an item's `id` is the place in it.
        views: all of them are cut from one decode.
        reader: opens the videos.
    """

    def __init__(self, samples: Samples, views: Views, reader: Reader) -> None:
        self.samples, self.views, self.reader = samples, views, reader

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, request: tuple[int, int]) -> Item:
        """The sample of (index, key); the key is 0 where nothing is drawn. Errors as `read`."""
        return self.read(*request)

    def read(self, index: int, key: int, replaced: int | None = None) -> Item:
        """One sample; the arguments and errors of `read_repeats`.

        Args:
            replaced: place in the list of the unreadable sample whose slot it fills; enters the digest.
        """
        return self.read_repeats(index, [key], replaced)[0]

    def read_repeats(self, index: int, keys: Sequence[int], replaced: int | None = None) -> list[Item]:
        """One sample for each key, all of them from one decode of one video.

        Args:
            index: its place in the list.
            keys: all that is drawn for an item comes from its key.
        Raises:
            VideoError: the file cannot be read, or has no frame in the sample's segment.
            WorkError: it is too short for a view that refuses padding.
            UserError: it has fewer frames than clips are asked of it.
        """
        index, keys = int(index), [int(key) for key in keys]  # samplers may hand over numpy integers, which overflow
        samples, path = self.samples, str(self.samples.path[index])
        with self.reader.open(path, float(samples.start_s[index]), float(samples.end_s[index])) as video:
            times = video.times
            if len(times) == 0:
                raise VideoError(path, "empty", "there is no frame in the sample's segment")
            spans = [view.span(times) for _, view in self.views.positions]
            starts = [self.views.relation.starts(key, spans, len(times)) for key in keys]
            indices = [self._indices(path, key, start, times) for key, start in zip(keys, starts, strict=True)]
            wanted, places = _union(np.concatenate([view for views in indices for view in views]), len(times))
            frames = video.frames(wanted)
            identity = _identity(str(samples.id[index]), None if replaced is None else str(samples.id[replaced]))
            per_item = np.split(places, len(keys))
            return [
                self._item(index, key, identity, frames, views, of_key, times)
                for key, views, of_key in zip(keys, indices, per_item, strict=True)
            ]

    def _item(
        self,
        index: int,
        key: int,
        identity: bytes,
        frames: NDArray[np.uint8],
        indices: Sequence[NDArray[np.int64]],
        places: NDArray[np.int64],
        times: NDArray[np.float64],
    ) -> Item:
        """The views of one key, cut from the frames (n, H, W, 3) of which `places` are its own, view after view."""
        _, height, width, _ = (
            frames.shape
        )  # FFmpeg tells rotation only with a frame: asking before would decode one more
        label = {name: int(values[index]) for name, values in self.samples.labels.items()}
        item = Item(id=index, key=key, label=label, views={}, time={}, box={}, digest={}, padded={}, clamped={})
        begin = 0
        for position, (name, view) in enumerate(self.views.positions):
            clip = torch.from_numpy(frames[places[begin : begin + view.frames]]).permute(0, 3, 1, 2)
            begin += view.frames
            if isinstance(view, EvalClip) and view.crops > 1:
                item["views"][name], boxes, frame_size = crops_along_side(clip, view.crops, view.size)
            else:
                frame_size = height, width
                boxes = crop_boxes(key, position, view.augment, height, width, view.size, view.frames)
                item["views"][name] = crops_resize(clip, boxes, view.size)
            item["time"][name] = times[indices[position]]
            item["box"][name] = _shares(boxes, *frame_size)
            item["digest"][name] = _digest(identity, indices[position], boxes)
            item["padded"][name] = view.span(times) > len(times)
            item["clamped"][name] = view.stride_in(len(times)) != view.stride
        return item

    def _indices(
        self, path: str, key: int, starts: Sequence[int], times: NDArray[np.float64]
    ) -> list[NDArray[np.int64]]:
        indices = []
        for position, ((name, view), start) in enumerate(zip(self.views.positions, starts, strict=True)):
            try:
                indices.append(view.indices(start, times, uniform_stream(key, stream(position, "frames"))))
            except ValueError as error:
                hint = f"views.{name}.pad=repeat_last or loop pads it; a smaller stride or fewer frames may fit"
                raise WorkError(f"{addresses.name(path)}: view {name}: {error}", hint) from error
            except UserError as error:
                raise UserError(f"{addresses.name(path)}: {error}") from error
        return indices


def collate(items: Sequence[Item]) -> ClipBatch:
    """Stacks items in their order."""
    first = items[0]
    return {
        "id": torch.tensor([item["id"] for item in items]),
        "key": torch.tensor([item["key"] for item in items]),
        "label": {name: torch.tensor([item["label"][name] for item in items]) for name in first["label"]},
        "views": {name: torch.stack([item["views"][name] for item in items]) for name in first["views"]},
        "time": {name: _stacked([item["time"][name] for item in items]) for name in first["time"]},
        "box": {name: _stacked([item["box"][name] for item in items]) for name in first["box"]},
        "digest": {name: _stacked([item["digest"][name] for item in items]) for name in first["digest"]},
        "padded": {name: torch.tensor([item["padded"][name] for item in items]) for name in first["padded"]},
        "clamped": {name: torch.tensor([item["clamped"][name] for item in items]) for name in first["clamped"]},
    }


def _union(indices: NDArray[np.int64], video_len: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each index once, ascending, and where each of `indices` stands among them."""
    is_wanted = np.zeros(video_len, dtype=np.bool_)
    is_wanted[indices] = True
    wanted = np.flatnonzero(is_wanted)
    return wanted, np.searchsorted(wanted, indices)


def _identity(sample_id: str, replaced_id: str | None) -> bytes:
    return f"{sample_id}\0{replaced_id or ''}\0".encode("utf-8", "surrogateescape")  # ids are file names


def _digest(identity: bytes, indices: NDArray[np.int64], boxes: Sequence[Box]) -> NDArray[np.uint8]:
    numbers = np.concatenate([indices, *boxes]).astype("<i8")
    return np.frombuffer(hashlib.sha256(identity + numbers.tobytes()).digest(), dtype=np.uint8)


def _shares(boxes: Sequence[Box], height: int, width: int) -> NDArray[np.float32]:
    shares = [(top / height, left / width, (top + h) / height, (left + w) / width) for top, left, h, w in boxes]
    return np.array(shares[0] if len(shares) == 1 else shares, dtype=np.float32)


def _stacked(arrays: Sequence[NDArray[Any]]) -> Tensor:
    return torch.from_numpy(np.stack(arrays))
