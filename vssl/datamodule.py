"""What a data set is: a list of samples. Loading, views, randomness and digests are the same for every data set."""

import math
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, cast, get_args

from vssl import _torchvision  # noqa: F401  (before Lightning, which imports torchvision)

# isort: split
import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from vssl.config.errors import ConfigError, UserError, WorkError
from vssl.ranks import gather
from vssl.records.folders import cache_dir
from vssl.video.augmentation.augment import apply, draw
from vssl.video.clips import ClipDataset
from vssl.video.decoding.decode import Reader
from vssl.video.decoding.errors import Limits
from vssl.video.decoding.libraries import refuse_absent
from vssl.video.decoding.prepared import prepare
from vssl.video.decoding.readers import reader_of
from vssl.video.digests import TENSOR_BATCHES, ClipDigest, tensor_digests
from vssl.video.lists.samples import Samples, list_content_hash
from vssl.video.mixture import Mixture
from vssl.video.sampler import BatchSampler
from vssl.video.unreadable import Bad, BadVideos, TrainingBatch, TrainingClips, Unreadable, collate_training
from vssl.video.views import Views
from vssl.video.workers import worker_start

__all__ = ["Loading", "Samples", "VideoDataModule"]

Split = Literal["train", "test", "unlabelled"]
SPLITS: tuple[Split, ...] = get_args(Split)
LIMITS = Limits()


@dataclass(frozen=True)
class Loading:
    """How a training reads its clips; decided by the run, never by the data set.

    Args:
        batch_size: clips in an optimiser step, over all ranks and micro-batches.
        devices: ranks that share each batch.
        label: with label names, only samples that carry one of them are read (for methods that need labels).
    """

    views: Views
    batch_size: int
    seed: int
    accumulate: int = 1
    steps: int = 1
    workers: int = 0
    devices: int = 1
    label: str | tuple[str, ...] | None = None


class VideoDataModule(pl.LightningDataModule):
    """A data set of videos. A subclass overrides `samples` and `classes`, and takes these arguments as `**shared`.

    Args:
        root: folder that paths in lists are relative to.
        label: name(s) of the label that evaluation and supervised training read by default; the first one if None.
        decoder: "pyav" decodes for every clip, and so do "torchcodec" and "decord", which are optional libraries;
            "frames" reads folders of images; "prepared" decodes the whole set once into a memory map in the cache.
        flip_safe: a horizontal flip keeps every label (False: no method flips).
        reverse_safe: playing backwards keeps every label.
        frames_fps: with `decoder=frames`, images a second: frame i is shown at i / frames_fps seconds.
        prepared_gb: largest memory map that `decoder=prepared` may write, in 10^9 bytes.
        max_bad_fraction: share of the training videos that may be unreadable and are replaced by others; above it
            training stops. Evaluation stops at the first one.
        limits: what of a file is too large to be read.
    """

    def __init__(
        self,
        root: str | None = None,
        label: str | list[str] | None = None,
        decoder: Literal["pyav", "torchcodec", "decord", "frames", "prepared"] = "pyav",
        flip_safe: bool = False,
        reverse_safe: bool = False,
        frames_fps: float = 25.0,
        prepared_gb: float = 8.0,
        max_bad_fraction: float = 0.05,
        limits: Limits = LIMITS,
    ) -> None:
        super().__init__()
        if not 0 <= max_bad_fraction < 1:
            raise ValueError(f"max_bad_fraction={max_bad_fraction} must lie in [0, 1)")
        if not 0 < frames_fps < math.inf:
            raise ValueError(f"frames_fps={frames_fps} is no number of images a second")
        refuse_absent(decoder)  # before a list is read
        self.root = root
        self.label = label
        self.decoder = decoder
        self.flip_safe = flip_safe
        self.reverse_safe = reverse_safe
        self.frames_fps = frames_fps
        self.prepared_gb = prepared_gb
        self.max_bad_fraction = max_bad_fraction
        self.limits = limits
        self._loading: Loading | None = None
        self._digests: list[ClipDigest] = []
        self._tensors: list[ClipDigest] = []
        self.padded = 0
        self.clamped = 0
        self.fetched_at = 0.0

    @abstractmethod
    def samples(self, split: Split) -> Samples:
        """The samples of one split; an empty one where the data set has no such split."""

    @property
    @abstractmethod
    def classes(self) -> Mapping[str, tuple[str, ...]]:
        """{label name: class names in the order of their indices}."""

    @property
    def split_rule(self) -> str:
        """How train and test were divided; named in records and under tables."""
        return "official"

    @property
    def parts(self) -> Mapping[str, "VideoDataModule"]:
        """The data sets that this one is made of, by name; none where it is a data set itself."""
        return {}

    def owner(self, label: str) -> "VideoDataModule":
        """The data set whose label it is, of those that this one is made of."""
        return self

    def belonging(self, samples: Samples, label: str) -> Samples:
        """Those of `samples` that are of the data set whose label it is: all of them, where there is one set."""
        return samples

    def flips(self, samples: Samples) -> NDArray[np.bool_]:
        """(N,) whether a horizontal flip keeps every label of each sample."""
        return np.full(len(samples), self.flip_safe)

    def mixture(self, samples: Samples) -> Mixture | None:
        """How often an epoch of training takes each of `samples`; None is once."""
        return None

    def labels(self) -> tuple[str, ...]:
        """The label names that evaluation reads unless told otherwise."""
        chosen = self.label if self.label is not None else list(self.classes)[:1]
        return tuple([chosen] if isinstance(chosen, str) else chosen)

    @cached_property
    def reader(self) -> Reader:
        """What opens this set's files, or the memory map that PyAV filled from them once."""
        reader = reader_of(self.decoder, self.limits, self.frames_fps)
        if self.decoder != "prepared":
            return reader
        paths = np.concatenate([self.samples(split).path for split in SPLITS])
        limit = int(self.prepared_gb * 1e9)
        return prepare(sorted(set(paths.tolist())), reader, cache_dir() / "prepared", max_bytes=limit)

    def content_hash(self) -> str:
        """64 hex digits over sample ids and file sizes of all splits: what of the data enters a run's hashes."""
        return list_content_hash([self.samples(split) for split in SPLITS])

    def pretraining(self, label: str | Sequence[str] | None = None) -> Samples:
        """Training and unlabelled samples; with `label`, those of them that carry it, or one of several."""
        samples = Samples.concatenate([self.samples("train"), self.samples("unlabelled")])
        if label is None:
            return samples
        carried = np.zeros(len(samples), dtype=np.bool_)
        for name in [label] if isinstance(label, str) else label:
            if name not in samples.labels:
                known = ", ".join(self.classes)
                raise ConfigError(f"method.label={name}: this data set has no such label; it has {known}")
            carried |= samples.labels[name] >= 0
        return samples.take(np.flatnonzero(carried))

    def attach(self, loading: Loading) -> None:
        """Take a run's way of loading; digests start anew."""
        self._loading = loading
        self._digests = [ClipDigest(view.settings_hash()) for _, view in loading.views.positions]
        self._tensors = [ClipDigest(view.settings_hash()) for _, view in loading.views.positions]
        self.padded = 0
        self.clamped = 0
        for kept in ("_listed", "_mixture", "_flips", "_dataset", "bad"):
            self.__dict__.pop(kept, None)

    @property
    def loading(self) -> Loading:
        if self._loading is None:
            raise RuntimeError("no loading: call attach(Loading(...)) before reading training batches")
        return self._loading

    @cached_property
    def _listed(self) -> Samples:
        """What training reads, known before a video is opened or prepared."""
        return self.pretraining(self.loading.label)

    @cached_property
    def _mixture(self) -> Mixture | None:
        return self.mixture(self._listed)

    @cached_property
    def _flips(self) -> NDArray[np.bool_]:
        return self.flips(self._listed)

    @cached_property
    def bad(self) -> BadVideos:
        """Training videos that could not be read so far."""
        return BadVideos(self._listed.id, self.max_bad_fraction)

    @cached_property
    def _dataset(self) -> TrainingClips:
        clips = ClipDataset(self._listed, self.loading.views, self.reader)
        return TrainingClips(clips, self.sampler(), tries=self.bad.allowed + 1)

    def sampler(self, start: int = 0, rank: int = 0) -> BatchSampler:
        loading = self.loading
        try:
            return BatchSampler(
                size=len(self._listed), batch_size=loading.batch_size, accumulate=loading.accumulate,
                steps=loading.steps, seed=loading.seed, start=start, rank=rank, world_size=loading.devices,
                repeats=loading.views.repeats, mixture=self._mixture,
            )  # fmt: skip
        except ValueError as error:
            raise UserError(str(error), "choose a smaller train.batch_size") from error

    def train_dataloader(self) -> DataLoader[Any]:
        start, rank = 0, 0
        if self.trainer is not None:
            # The loops are restored by the time Lightning asks for the loader: micro-batches already in the weights.
            start = self.trainer.fit_loop.epoch_loop.batch_progress.total.ready
            rank = self.trainer.global_rank
        workers = self.loading.workers
        return DataLoader(
            self._dataset,
            batch_sampler=self.sampler(start, rank),
            collate_fn=collate_training,
            num_workers=workers,
            # Forked workers deadlock where torch's threads have been busy.
            multiprocessing_context="forkserver" if workers else None,
            persistent_workers=workers > 0,
            worker_init_fn=worker_start() if workers else None,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),
        )

    def first_batch(self) -> dict[str, Any]:
        """The first micro-batch of rank 0, augmented, on the CPU; digests are not touched."""
        slots = next(iter(self.sampler()))
        clips, bad = _found(collate_training([self._dataset[slot] for slot in slots]))
        if clips is None:
            self._meet([one for those in bad for one in those])
        return self.augment(cast(dict[str, Any], clips))

    def augment(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A collated batch with its views drawn and augmented where they are: what a method is given."""
        return self._augment(self._draw(batch))

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> dict[str, Any]:
        self.fetched_at = time.perf_counter()
        clips, bad = _found(batch)
        drawn = None if clips is None else self._draw(cast(dict[str, Any], clips))
        self._take_in([one for those in bad for one in those], drawn)
        assert drawn is not None, "a slot without a clip has ended the training by now"
        return drawn

    def _take_in(self, bad: list[Bad], drawn: dict[str, Any] | None) -> None:
        """Bad videos and digests of this micro-batch of all ranks, in the order of ranks: that of one process."""
        seen = None
        if drawn is not None:
            seen = [
                (
                    drawn["digest"][name].numpy(), drawn["drawn"][name].rows(),
                    int(drawn["padded"][name].sum()), int(drawn["clamped"][name].sum()),
                )
                for name, _ in self.loading.views.positions
            ]  # fmt: skip
        ranks = gather((bad, seen))
        self._meet([one for theirs, _ in ranks for one in theirs])
        for _, theirs in ranks:
            assert theirs is not None
            for digest, (samples, rows, padded, clamped) in zip(self._digests, theirs, strict=True):
                digest.update(samples, rows)
                self.padded += padded
                self.clamped += clamped

    def _meet(self, bad: list[Bad]) -> None:
        self.bad.add(bad)
        self.bad.check()

    def transfer_batch_to_device(
        self, batch: dict[str, Any], device: torch.device, dataloader_idx: int
    ) -> dict[str, Any]:
        drawn = batch.pop("drawn")  # stays on the host, which decides what the device computes
        return {**super().transfer_batch_to_device(batch, device, dataloader_idx), "drawn": drawn}

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        batch = self._augment(batch)
        for (name, _), digest in zip(self.loading.views.positions, self._tensors, strict=True):
            if digest.samples < TENSOR_BATCHES * self.loading.batch_size:
                for theirs in gather(tensor_digests(batch["views"][name])):
                    digest.update(theirs)
        return batch

    def _draw(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Augmentation parameters from the samples' keys, on the host, where the digests need them."""
        flip_safe = self._flips[batch["id"].numpy()]
        drawn = {
            name: draw(batch["key"], position, view.augment, flip_safe, view.frames, view.size)
            for position, (name, view) in enumerate(self.loading.views.positions)
        }
        return {**batch, "drawn": drawn}

    def _augment(self, batch: dict[str, Any]) -> dict[str, Any]:
        drawn = batch.pop("drawn")
        return {**batch, "views": {name: apply(clip, drawn[name]) for name, clip in batch["views"].items()}}

    def digests(self) -> list[dict[str, Any]]:
        """Per view position: name, hash of the view's settings, digest of the clips so far, of the first tensors."""
        return [
            {"name": name, "settings": view.settings_hash(), "digest": clips.hex(), "tensors": tensors.hex()}
            for (name, view), clips, tensors in zip(
                self.loading.views.positions, self._digests, self._tensors, strict=True
            )
        ]

    def state_dict(self) -> dict[str, Any]:
        return {
            "clips": [digest.state() for digest in self._digests],
            "tensors": [digest.state() for digest in self._tensors],
            "padded": self.padded,
            "clamped": self.clamped,
            "bad": self.bad.state(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for digest, state in zip(self._digests, state_dict["clips"], strict=True):
            digest.load(state)
        for tensors, state in zip(self._tensors, state_dict["tensors"], strict=True):
            tensors.load(state)
        self.padded = state_dict["padded"]
        self.clamped = state_dict.get("clamped", 0)  # checkpoints from before there were views that clamp
        self.bad.load(state_dict["bad"])


def _found(batch: TrainingBatch | Unreadable) -> TrainingBatch:
    if isinstance(batch, Unreadable):
        raise WorkError(batch.message)
    return batch
