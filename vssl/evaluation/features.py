"""Frozen features of a list of videos: computed once for all labels and protocols, then read from the cache."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vssl.backbones.base import Backbone
from vssl.evaluation.eval_views import CENTRE, EvalViews
from vssl.evaluation.extraction import Reading, read_parts, require_tokens
from vssl.evaluation.feature_cache import Floats, read_features, write_features
from vssl.evaluation.feature_parts import NotFinite, Part, Read, held, kept_plan, planned, read_part, write_part
from vssl.evaluation.freeze import weights_hash
from vssl.evaluation.protocol import Task
from vssl.evaluation.shards import in_parts
from vssl.records.atomic import writable
from vssl.records.hashes import hash_of
from vssl.video.augmentation.augment import draw
from vssl.video.decoding.frame_folder import FrameFolderReader
from vssl.video.digests import ClipDigest
from vssl.video.lists.samples import Samples, list_content_hash

VERSION = 2  # goes up when the same encoder and clips would give other features


@dataclass(frozen=True)
class Features:
    """One row a video, in the order of the list.

    Args:
        values: float32 [N, V, D], or of tokens [N, V, n, D]; large ones are mapped from the cache.
        inputs: 64 hex digits over the clips that the encoder saw; equal for every encoder that was shown the same.
    """

    values: Floats
    inputs: str


@dataclass(frozen=True)
class Labelled:
    """The rows of a list that carry the task's label: n of N videos.

    Args:
        id: text [n]. values: float32 [n, V, D], or of tokens [n, V, p, D]. label: int64 [n], in [0, K).
        truth: bool [n, K] where videos may carry several classes; `label` is then 0 throughout.
    """

    id: NDArray[np.str_]
    values: Floats
    label: NDArray[np.int64]
    inputs: str
    truth: NDArray[np.bool_] | None = None

    def centre(self) -> Floats:
        """[n, D] of a single view."""
        assert self.values.ndim == 3 and self.values.shape[1] == 1, "summaries of one view"
        return self.values[:, 0]


def labelled(
    encoder: Backbone, samples: Samples, task: Task, views: EvalViews = CENTRE, tokens: bool = False
) -> Labelled:
    """Features of all of `samples`, so that every label shares them, then the rows that carry `task.label`."""
    found = features(encoder, samples, task, views, tokens)
    label = samples.labels[task.label]
    truth = task.truth(samples) if task.is_multi else None
    if (label >= 0).all():
        return Labelled(samples.id, found.values, label, found.inputs, truth)  # nothing is copied: it may be mapped
    rows = np.flatnonzero(label >= 0)
    return Labelled(samples.id[rows], found.values[rows], label[rows], found.inputs, truth)


def join(train: Labelled, select: Labelled) -> Labelled:
    """Both lists as one: what a protocol learns from once its settings are chosen."""
    return Labelled(
        np.concatenate([train.id, select.id]),
        np.concatenate([train.values, select.values]),
        np.concatenate([train.label, select.label]),
        hash_of([train.inputs, select.inputs]),
        None if train.truth is None or select.truth is None else np.concatenate([train.truth, select.truth]),
    )


def features(
    encoder: Backbone, samples: Samples, task: Task, views: EvalViews = CENTRE, tokens: bool = False
) -> Features:
    """The encoder's summary, or its tokens, of every view of every video, in evaluation mode, without gradients.

    The encoder ends as it came: weights, buffers and the mode of every part. It is moved to `task.device`. A killed
    extraction goes on where it was, and two of the same are one: the second waits.

    Raises:
        UserError: the cache cannot be written to, a video has fewer frames than clips, or the encoder has no tokens.
        WorkError: a video cannot be read, or features are not finite.
        Moved: the encoder changed while it was read.
    """
    reading = Reading(views, tokens)
    if tokens:
        require_tokens(encoder)
    path = task.cache / f"{_key(encoder, samples, task, reading)}.safetensors"
    if (kept := read_features(path)) is not None:
        return Features(*kept)
    writable(path.parent)  # asked before the work, which would be lost
    parts = path.with_suffix(".parts")
    with held(parts):
        if (kept := read_features(path)) is None:  # else another process has just written them
            read = [reading.nothing(encoder, task), *_read_into(parts, encoder, samples, task, reading)]
            found = _joined(read, samples, task, reading)
            write_features(path, [part.values for part in read], found)
            kept = read_features(path)
    assert kept is not None, "what was written can be read"
    return Features(*kept)


def extract(encoder: Backbone, samples: Samples, task: Task, silent: bool = False) -> Features:
    """As `features` of the centre clip, on one device and without the cache.

    Args:
        silent: no progress is shown (where another bar is on the screen).
    """
    reading = Reading(CENTRE)
    parts = planned(len(samples), 1, reading.videos_in_part(task))
    read = [part for _, part in read_parts(encoder, samples, task, reading, parts, silent)]
    read = [reading.nothing(encoder, task), *read]
    inputs = _joined(read, samples, task, reading)
    return Features(np.concatenate([part.values for part in read]), inputs)


def _read_into(folder: Path, encoder: Backbone, samples: Samples, task: Task, reading: Reading) -> list[Read]:
    """All parts in the order of the list; what lies in `folder` from before is not read again."""
    plan = kept_plan(folder, planned(len(samples), task.devices, reading.videos_in_part(task)))
    missing = [part for part in plan if read_part(folder, part) is None]
    shares = [share.tolist() for share in np.array_split(np.array(missing), task.devices) if len(share)]
    if len(shares) > 1:
        in_parts(_write_parts, encoder, samples, task, [(folder, reading, share) for share in shares])
    elif shares:
        _write_parts(encoder, samples, task, (folder, reading, shares[0]))
    found = [read_part(folder, part) for part in plan]
    assert None not in found, "what was written can be read"
    return [part for part in found if part is not None]


def _write_parts(
    encoder: Backbone, samples: Samples, task: Task, share: tuple[Path, Reading, list[tuple[int, int]]]
) -> None:
    folder, reading, parts = share
    for part, read in read_parts(encoder, samples, task, reading, [Part(*part) for part in parts]):
        write_part(folder, part, read)


def _joined(parts: list[Read], samples: Samples, task: Task, reading: Reading) -> str:
    """The digest over the clips of all parts, once what was read of them is found whole and finite."""
    assert sum(len(part.values) for part in parts) == len(samples), "every video counts once"
    inner = tuple(range(1, parts[0].values.ndim))
    if bad := sum(int((~np.isfinite(part.values).all(axis=inner)).sum()) for part in parts):
        raise NotFinite(f"the encoder's features of {bad} of {len(samples)} videos are not finite numbers")
    digests = np.concatenate([part.digests for part in parts])
    drawn = draw(torch.zeros(len(samples), dtype=torch.int64), 0, None, False).rows()
    chains = []
    for place, (_, view) in enumerate(reading.views.views(task.clip).positions):
        chain = ClipDigest(view.settings_hash())
        chain.update(digests[:, place], drawn)
        chains.append(chain.hex())
    return reading.views.digest(chains)


def _key(encoder: Backbone, samples: Samples, task: Task, reading: Reading) -> str:
    """Everything that features depend on; the backbone's settings are told apart by the folder `task.cache`."""
    reader = task.reader
    return hash_of(
        {
            "version": VERSION,
            "encoder": f"{type(encoder).__module__}.{type(encoder).__qualname__}",
            "weights": weights_hash(encoder),
            "list": list_content_hash([samples]),
            "views": reading.views.settings_hash(task.clip),
            "tokens": reading.tokens,
            # Where frames have no times of their own, segments in seconds depend on the reader's settings, too.
            "reader": repr(reader) if isinstance(reader, FrameFolderReader) else type(reader).__qualname__,
            "precision": task.precision,
        }
    )
