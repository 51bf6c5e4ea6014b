"""Frozen features of a list of videos: computed once for all labels and protocols, then read from the cache."""

import signal
from dataclasses import dataclass

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
from vssl.records.hashes import hash_of
from vssl.video.augment import apply, draw
from vssl.video.clips import ClipBatch, ClipDataset
from vssl.video.digests import ClipDigest
from vssl.video.lists import Samples, list_content_hash
from vssl.video.unreadable import CheckedClips, Unreadable, collate_checked, readable
from vssl.video.views import View, evaluation_views

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
        WorkError: a video cannot be read, or features are not finite.
        RuntimeError: the encoder changed while it was read.
    """
    path = task.cache / f"{_key(encoder, samples, task)}.safetensors"
    if (kept := read_features(path)) is not None:
        return Features(*kept)
    with frozen(encoder.to(task.device)):
        values, inputs = _extract(encoder, samples, task)
    if bad := int((~np.isfinite(values).all(axis=1)).sum()):
        raise WorkError(f"the encoder's features of {bad} of {len(samples)} videos are not finite numbers")
    write_features(path, values, inputs)
    return Features(values, inputs)


def _key(encoder: Backbone, samples: Samples, task: Task) -> str:
    """Everything that features depend on; the backbone's settings are told apart by the folder `task.cache`."""
    view = _view(task)
    return hash_of(
        {
            "version": VERSION,
            "encoder": f"{type(encoder).__module__}.{type(encoder).__qualname__}",
            "weights": weights_hash(encoder),
            "list": list_content_hash([samples]),
            "view": view.settings_hash(),
            "reader": type(task.reader).__qualname__,
            "precision": task.precision,
        }
    )


def _view(task: Task) -> View:
    ((_, view),) = evaluation_views(task.clip).positions
    return view


def _extract(encoder: Backbone, samples: Samples, task: Task) -> tuple[NDArray[np.float32], str]:
    view = _view(task)
    digest = ClipDigest(view.settings_hash())
    loader = _loader(samples, task)
    rows = [torch.zeros(0, encoder.embed_dim)]  # the list may be empty
    for loaded in track(loader, len(loader), f"features of {len(samples)} videos"):
        batch = readable(loaded)
        drawn = draw(batch["key"], 0, view.augment, False)
        digest.update(batch["digest"]["clip"].numpy(), drawn.rows())
        clip = apply(batch["views"]["clip"].to(task.device, non_blocking=True), drawn)
        with torch.autocast(torch.device(task.device).type, torch.bfloat16, enabled=task.precision == "bf16"):
            summary = encoder(clip)
        rows.append(summary.float().cpu())
    values = torch.cat(rows).numpy()
    assert len(values) == len(samples) == digest.samples, "every video counts once"
    return values, digest.hex()


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
        worker_init_fn=_quiet_worker if task.workers else None,
        pin_memory=torch.device(task.device).type == "cuda",
        generator=torch.Generator(),
    )


def _quiet_worker(_: int) -> None:
    """A signal to the process group ends the evaluation through its main process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    torch.set_num_threads(1)
