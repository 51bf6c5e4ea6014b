"""What a method is given, sample by sample, for looking at: read, cropped, drawn and augmented as a training does it.

Samples come through the very hooks that Lightning calls.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vssl.training.build import Study
from vssl.video.augmentation.augment import Drawn
from vssl.video.checks import within
from vssl.video.lists.samples import Samples
from vssl.video.sampler import Slot
from vssl.video.unreadable import TrainingClips

NEUTRAL = torch.tensor([1.0, 1.0, 1.0, 0.0])  # factors of brightness, contrast, saturation, hue


@dataclass(frozen=True)
class Show:
    """Which samples of a training are shown, and how.

    Args:
        videos: how many, in the order in which training takes them.
        epoch: from which data epoch, the first being 0.
        step: optimiser steps of that epoch that are passed over.
        colours: of the picture; None leaves every pixel as it is, 256 makes a smaller file that looks the same.
    """

    videos: int = 4
    epoch: int = 0
    step: int = 0
    colours: int | None = None

    def __post_init__(self) -> None:
        within(1, 64, "videos", self.videos)
        within(0, 10**6, "epoch", self.epoch)
        within(0, 10**9, "step", self.step)
        if self.colours is not None:
            within(16, 256, "colours", self.colours)


@dataclass(frozen=True)
class ShownView:
    """One view of one sample.

    Args:
        clip: float [C, T, H, W] in [0, 1], what the method is given.
        index: (T,) places among the frames of the sample.
        time: (T,) seconds by the file's clock.
        box: (4,) top, left, bottom, right of the crop as shares of the frame; (T, 4) where each frame has its own.
        changes: what the augmentation did after the crop, in words.
        padded: the video was too short for the view.
        clamped: it is read at a smaller stride for being short.
        hidden: {"encoder sees": bool [t, h, w]}, True where the method hides it.
    """

    name: str
    clip: Tensor
    index: NDArray[np.int64]
    time: NDArray[np.float64]
    box: NDArray[np.float32]
    changes: tuple[str, ...]
    padded: bool
    clamped: bool
    hidden: dict[str, Tensor]


@dataclass(frozen=True)
class ShownSample:
    """One sample with all its views.

    Args:
        replaces: id of the unreadable sample whose place it took.
        labels: {label name: class name}, where it has one.
        times: (n,) seconds at which the frames of the sample are shown.
        aspect: width / height of its frames.
    """

    id: str
    replaces: str | None
    labels: dict[str, str]
    times: NDArray[np.float64]
    aspect: float
    views: tuple[ShownView, ...]


def first_step(study: Study, show: Show) -> int:
    """The optimiser step of the training that `show` begins with."""
    study.attach()
    return show.epoch * study.datamodule.sampler().batches_per_epoch + show.step


def shown(study: Study, show: Show) -> Iterator[ShownSample]:
    """The samples of those steps, in the order of the global batch.

    Raises:
        WorkError: videos cannot be read, more than `data.max_bad_fraction` allows.
    """
    step, data = first_step(study, show), study.datamodule
    study.attach(step + -(-show.videos // study.train.batch_size))
    loader = data.train_dataloader()
    clips = cast(TrainingClips, loader.dataset)
    device = torch.device("cuda" if study.run.device != "cpu" and torch.cuda.is_available() else "cpu")
    method = study.method.to(device)
    left = show.videos
    for slots in _groups(study, step):
        batch = data.on_before_batch_transfer(loader.collate_fn([clips[slot] for slot in slots]), 0)
        drawn = batch["drawn"]
        batch = data.on_after_batch_transfer(data.transfer_batch_to_device(batch, device, 0), 0)
        with torch.no_grad():
            hidden = method.hides(batch["views"], cast(Any, batch))
        for row, slot in enumerate(slots[:left]):
            yield _sample(study, clips.clips.samples, slot, batch, drawn, hidden, row)
        left -= len(slots)
        if left <= 0:
            return


def _groups(study: Study, step: int) -> Iterator[list[Slot]]:
    """Slots that are read and augmented together, from that step on.

    One at a time, where each clip is augmented on its own: a large batch need not be read to show a few of it. With
    FAME, which makes clips of one another, the micro-batches of all ranks.
    """
    data, accumulate = study.datamodule, study.train.accumulate
    merges = any(view.augment is not None and view.augment.fame is not None for _, view in study.views.positions)
    for position in count(step * accumulate):
        for rank in range(study.devices):
            slots = next(iter(data.sampler(start=position, rank=rank)))
            yield from [slots] if merges else [[slot] for slot in slots]


def _sample(
    study: Study, samples: Samples, slot: Slot, batch: dict[str, Any], drawn: dict[str, Drawn],
    hidden: dict[str, dict[str, Tensor]], row: int,
) -> ShownSample:  # fmt: skip
    """One row of a batch, taken apart."""
    place = int(batch["id"][row])
    segment = (str(samples.path[place]), float(samples.start_s[place]), float(samples.end_s[place]))
    with study.datamodule.reader.open(*segment) as video:
        times, aspect = video.times.copy(), video.width / video.height
    views = []
    for name, clip in batch["views"].items():
        time = batch["time"][name][row].cpu().numpy()
        views.append(
            ShownView(
                name=name,
                clip=clip[row],
                index=np.searchsorted(times, time),
                time=time,
                box=batch["box"][name][row].cpu().numpy(),
                changes=changes(drawn[name], row),
                padded=bool(batch["padded"][name][row]),
                clamped=bool(batch["clamped"][name][row]),
                hidden={part: mask[row] for part, mask in hidden.get(name, {}).items()},
            )
        )
    classes, labels = study.datamodule.classes, batch["label"]
    return ShownSample(
        id=str(samples.id[place]),
        replaces=str(samples.id[slot.sample]) if place != slot.sample else None,
        labels={name: classes[name][level] for name in labels if (level := int(labels[name][row])) >= 0},
        times=times,
        aspect=aspect,
        views=tuple(views),
    )


def changes(drawn: Drawn, row: int) -> tuple[str, ...]:
    """What is done to one clip of `drawn`, in the order in which it is done."""
    if drawn.flip.ndim == 2:
        return ("drawn for each frame",)
    sigma = float(drawn.sigma[row])
    applied = {
        "flip": bool(drawn.flip[row]),
        "another background": drawn.partners is not None and drawn.partners.other[row] != row,
        **dict.fromkeys(drawn.rand_augment.told(row) if drawn.rand_augment is not None else (), True),
        "jitter": bool((drawn.factors[row] != NEUTRAL).any()),
        "grey": bool(drawn.grey[row]),
        f"blur {sigma:.1f} px": sigma > 0,
        "solarise": bool(torch.isfinite(drawn.threshold[row])),
        "erase": drawn.erased is not None and bool(drawn.erased.box[row].any()),
    }
    return tuple(name for name, is_applied in applied.items() if is_applied)
