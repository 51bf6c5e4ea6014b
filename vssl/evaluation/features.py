"""Frozen features of a list of videos: computed once for all labels and protocols, then read from the cache."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from vssl.backbones.base import Backbone
from vssl.config.errors import WorkError
from vssl.evaluation.feature_cache import read_features, write_features
from vssl.evaluation.freeze import frozen, weights_hash
from vssl.evaluation.progress import track
from vssl.evaluation.protocol import Task
from vssl.evaluation.shards import in_parts
from vssl.records.atomic import writable
from vssl.records.hashes import hash_of
from vssl.video.augmentation.augment import apply, draw
from vssl.video.clips import ClipBatch, ClipDataset
from vssl.video.decoding.frame_folder import FrameFolderReader
from vssl.video.digests import ClipDigest
from vssl.video.lists.samples import Samples, list_content_hash
from vssl.video.unreadable import CheckedClips, Unreadable, collate_checked, readable
from vssl.video.views import View, evaluation_views
from vssl.video.workers import worker_start

VERSION = 1  # goes up when the same encoder and clips would give other features


@dataclass(frozen=True)
class Features:
    """One row a video, in the order of the list.

    Args:
        values: float32 [N, D].
        inputs: 64 hex digits over the clips that the encoder saw; equal for every encoder that was shown the same.
    """

    values: NDArray[np.float32]
    inputs: str


@dataclass(frozen=True)
class Labelled:
    """The rows of a list that carry the task's label: n of N videos.

    Args:
        id: text [n]. values: float32 [n, D]. label: int64 [n], in [0, K).
    """

    id: NDArray[np.str_]
    values: NDArray[np.float32]
    label: NDArray[np.int64]
    inputs: str


def labelled(encoder: Backbone, samples: Samples, task: Task) -> Labelled:
    """Features of all of `samples`, so that every label shares them, then the rows that carry `task.label`."""
    found = features(encoder, samples, task)
    rows = np.flatnonzero(samples.labels[task.label] >= 0)
    return Labelled(samples.id[rows], found.values[rows], samples.labels[task.label][rows], found.inputs)


def join(train: Labelled, select: Labelled) -> Labelled:
    """Both lists as one: what a protocol learns from once its settings are chosen."""
    return Labelled(
        np.concatenate([train.id, select.id]),
        np.concatenate([train.values, select.values]),
        np.concatenate([train.label, select.label]),
        hash_of([train.inputs, select.inputs]),
    )


def features(encoder: Backbone, samples: Samples, task: Task) -> Features:
    """The encoder's summary of one centre clip of every video, in evaluation mode, without gradients.

    The encoder ends as it came: weights, buffers and the mode of every part. It is moved to `task.device`.

    Raises:
        UserError: the cache cannot be written to.
        WorkError: a video cannot be read, or features are not finite.
        RuntimeError: the encoder changed while it was read.
    """
    path = task.cache / f"{_key(encoder, samples, task)}.safetensors"
    if (kept := read_features(path)) is not None:
        return Features(*kept)
    writable(path.parent)  # asked before the work, which would be lost
    found = extract(encoder, samples, task)
    write_features(path, found.values, found.inputs)
    return found


def extract(encoder: Backbone, samples: Samples, task: Task, silent: bool = False) -> Features:
    """As `features`, without the cache.

    Args:
        silent: no progress is shown (where another bar is on the screen).
    """
    read = partial(_read, silent=silent)
    parts = in_parts(read, encoder, samples, task) if task.devices > 1 else [read(encoder, samples, task)]
    values, digests, rows = (np.concatenate(part) for part in zip(*parts, strict=True))
    assert len(values) == len(samples), "every video counts once"
    digest = ClipDigest(_view(task).settings_hash())
    digest.update(digests, rows)
    if bad := int((~np.isfinite(values).all(axis=1)).sum()):
        raise WorkError(f"the encoder's features of {bad} of {len(samples)} videos are not finite numbers")
    return Features(values, digest.hex())


def _key(encoder: Backbone, samples: Samples, task: Task) -> str:
    """Everything that features depend on; the backbone's settings are told apart by the folder `task.cache`."""
    view, reader = _view(task), task.reader
    return hash_of(
        {
            "version": VERSION,
            "encoder": f"{type(encoder).__module__}.{type(encoder).__qualname__}",
            "weights": weights_hash(encoder),
            "list": list_content_hash([samples]),
            "view": view.settings_hash(),
            # Where frames have no times of their own, segments in seconds depend on the reader's settings, too.
            "reader": repr(reader) if isinstance(reader, FrameFolderReader) else type(reader).__qualname__,
            "precision": task.precision,
        }
    )


def _view(task: Task) -> View:
    ((_, view),) = evaluation_views(task.clip).positions
    return view


def _read(
    encoder: Backbone, samples: Samples, task: Task, silent: bool
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float32]]:
    """Features, digests (N, 32) and augmentation parameters (N, k), a row a video."""
    view = _view(task)
    loader = _loader(samples, task)
    batches = loader if silent else track(loader, len(loader), f"features of {len(samples)} videos")
    values, digests, rows = [np.zeros((0, encoder.embed_dim), np.float32)], [np.zeros((0, 32), np.uint8)], []
    with frozen(encoder.to(task.device)):
        for loaded in batches:
            batch = readable(loaded)
            drawn = draw(batch["key"], 0, view.augment, False)
            clip = apply(batch["views"]["clip"].to(task.device, non_blocking=True), drawn)
            with torch.autocast(torch.device(task.device).type, torch.bfloat16, enabled=task.precision == "bf16"):
                summary = encoder(clip)
            values.append(summary.float().cpu().numpy())
            digests.append(batch["digest"]["clip"].numpy())
            rows.append(drawn.rows())
    # The list, or this process's part of it, may be empty.
    parameters = (
        np.concatenate(rows) if rows else draw(torch.zeros(0, dtype=torch.int64), 0, view.augment, False).rows()
    )
    return np.concatenate(values), np.concatenate(digests), parameters


def _loader(samples: Samples, task: Task) -> DataLoader[ClipBatch | Unreadable]:
    """The list once, in its order, whatever the number of workers."""
    clips = CheckedClips(ClipDataset(samples, evaluation_views(task.clip), task.reader))
    order = [(place, 0) for place in range(len(samples))]  # key 0: nothing is drawn
    return DataLoader(
        clips,  # type: ignore[arg-type]  # collation makes batches of items
        batch_size=task.batch_size,
        sampler=order,
        collate_fn=collate_checked,
        num_workers=task.workers,
        # Forked workers deadlock where torch's threads have been busy.
        multiprocessing_context="forkserver" if task.workers else None,
        worker_init_fn=worker_start() if task.workers else None,
        pin_memory=torch.device(task.device).type == "cuda",
        generator=torch.Generator(),
    )
