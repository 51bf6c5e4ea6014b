"""One pass of a frozen encoder over videos: clips of all views in, features out, part by part."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from vssl.backbones.base import Backbone
from vssl.config.errors import UserError
from vssl.evaluation.eval_views import EvalViews
from vssl.evaluation.feature_cache import Floats
from vssl.evaluation.feature_parts import Part, Read
from vssl.evaluation.freeze import frozen
from vssl.evaluation.progress import track
from vssl.evaluation.protocol import Task
from vssl.video.augmentation.augment import apply, draw
from vssl.video.clips import ClipBatch, ClipDataset
from vssl.video.lists.samples import Samples
from vssl.video.unreadable import CheckedClips, Unreadable, collate_checked, readable
from vssl.video.workers import worker_start

VIDEOS = 256  # of a part: what a kill can cost
VIDEOS_OF_TOKENS = 32


@dataclass(frozen=True)
class Reading:
    """What is read of each video: which views, and the summary of each view or its tokens."""

    views: EvalViews
    tokens: bool = False

    def videos_at_once(self, task: Task) -> int:
        """Videos in one batch of the loader: their clips make about one pass of the encoder."""
        return max(1, task.batch_size // self.views.count)

    def videos_in_part(self, task: Task) -> int:
        step = self.videos_at_once(task)
        return math.ceil((VIDEOS_OF_TOKENS if self.tokens else VIDEOS) / step) * step

    def nothing(self, encoder: Backbone, task: Task) -> Read:
        """The features of an empty list."""
        clip = self.views.read(task.clip)
        tokens = (math.prod(encoder.grid((clip.frames, clip.size, clip.size))),) if self.tokens else ()
        values = np.zeros((0, self.views.count, *tokens, encoder.embed_dim), np.float32)
        return Read(values, np.zeros((0, self.views.clips, 32), np.uint8))


def require_tokens(encoder: Backbone) -> None:
    """Raises UserError where the encoder hands over one summary a clip and nothing else."""
    if type(encoder).tokens is Backbone.tokens:
        raise UserError(
            f"the encoder {type(encoder).__name__} gives one summary a clip and has no tokens to read",
            "eval=linear or eval=knn read its summary",
        )


def read_parts(
    encoder: Backbone, samples: Samples, task: Task, reading: Reading, parts: Sequence[Part], silent: bool = False
) -> Iterator[tuple[Part, Read]]:
    """Each part of the list as soon as it is read, on one device.

    Raises:
        UserError: a video has fewer frames than clips are asked of it.
        WorkError: a video cannot be read.
        Moved: the encoder changed while it was read.
    """
    batches = {part: _batches(part, reading.videos_at_once(task)) for part in parts}
    loader = _loader(samples, task, reading, [batch for part in parts for batch in batches[part]])
    videos = sum(part.stop - part.start for part in parts)
    loaded = iter(loader if silent else track(loader, len(loader), f"features of {videos} videos"))
    try:
        with frozen(encoder.to(task.device)):
            for part in parts:
                read = [_encoded(encoder, readable(next(loaded)), task, reading) for _ in batches[part]]
                values, digests = (np.concatenate(found) for found in zip(*read, strict=True))
                yield part, Read(values, digests)
        next(loaded, None)  # ends the bar
    finally:
        del loaded  # ends the workers now, and not when the traceback of an error is let go


def _encoded(encoder: Backbone, batch: ClipBatch, task: Task, reading: Reading) -> tuple[Floats, NDArray[np.uint8]]:
    """[B, V, D] or [B, V, n, D], and [B, T, 32]."""
    in_time = [view if view.ndim == 6 else view[:, None] for view in batch["views"].values()]  # [B, S, T, C, H, W]
    clips = torch.cat(in_time, dim=1) if len(in_time) > 1 else in_time[0]
    key = batch["key"].repeat_interleave(clips.shape[1])
    chunks = zip(*(torch.split(part, task.batch_size) for part in (clips.flatten(0, 1), key)), strict=True)
    found = torch.cat([_forward(encoder, chunk, of_video, task, reading) for chunk, of_video in chunks])
    digests = torch.stack(list(batch["digest"].values()), dim=1)
    return found.reshape(*clips.shape[:2], *found.shape[1:]).numpy(), digests.numpy()


def _forward(encoder: Backbone, clips: Tensor, key: Tensor, task: Task, reading: Reading) -> Tensor:
    """uint8 [B, T, C, H, W] -> float32 [B, ...] on the host."""
    clips = clips.to(task.device, non_blocking=True)
    if reading.views.change is not None:
        clips = reading.views.change.apply(clips, key)
    pixels = apply(clips, draw(key, 0, None, False))
    with torch.autocast(torch.device(task.device).type, torch.bfloat16, enabled=task.precision == "bf16"):
        found = encoder.tokens(pixels) if reading.tokens else encoder(pixels)
    return found.float().cpu()


def _batches(part: Part, step: int) -> list[range]:
    return [range(first, min(first + step, part.stop)) for first in range(part.start, part.stop, step)]


def _loader(
    samples: Samples, task: Task, reading: Reading, batches: Sequence[range]
) -> DataLoader[ClipBatch | Unreadable]:
    """The videos of each batch, whatever the number of workers."""
    clips = CheckedClips(ClipDataset(samples, reading.views.views(task.clip), task.reader))
    return DataLoader(
        clips,  # type: ignore[arg-type]  # collation makes batches of items
        batch_sampler=[[(place, video_key(str(samples.id[place]))) for place in batch] for batch in batches],
        collate_fn=collate_checked,
        num_workers=task.workers,
        # Forked workers deadlock where torch's threads have been busy.
        multiprocessing_context="forkserver" if task.workers else None,
        worker_init_fn=worker_start() if task.workers else None,
        pin_memory=torch.device(task.device).type == "cuda",
        generator=torch.Generator(),
    )


def video_key(sample_id: str) -> int:
    """int64: where the draws of a change come from; no clip of evaluation depends on it."""
    content = hashlib.sha256(sample_id.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(content[:8], "little", signed=True)
