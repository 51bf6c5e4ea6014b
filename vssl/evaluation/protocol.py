"""What an evaluation is: an encoder and a task in, metrics and one row a video out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vssl.backbones.base import Backbone
from vssl.config.errors import UserError, nearest
from vssl.evaluation.eval_views import EvalViews
from vssl.video.decoding.decode import Reader
from vssl.video.eval_clips import EvalSampling
from vssl.video.lists.samples import Samples
from vssl.video.views import Clip

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Task:
    """What an encoder is asked: lists of videos, one label of them, and how their clips are read.

    Args:
        train: training videos, without those of `select`.
        select: training videos held back to choose a protocol's settings on.
        test: read once, after every choice has been made.
        label: which of the samples' labels is asked for; videos without it are left out.
        classes: class names in the order of their indices.
        flip_safe: a horizontal flip keeps the label (for protocols that tune the encoder).
        cache: folder of features of this backbone's settings; weights, lists and clips are told apart within it.
        workers: loader processes; they change no number.
        batch_size: clips in one forward pass of the encoder.
        devices: processes that read the videos, each a part of the list, a GPU each where `device` is one.
        seed: of a probe's own randomness.
        select_rule: how `select` was divided from the training list, in words.
        unlabelled: videos that pretraining alone uses, and class_names, the classes of every label: for protocols that
            need no label; their `train` is the whole training list.
        backbone: the node that the encoder was built from, for protocols that build it anew or save it.
        max_bad_fraction: share of the videos that may be unreadable while they are trained on.
        save_steps: optimiser steps between two checkpoints of a training.
    """

    train: Samples
    select: Samples
    test: Samples
    label: str
    classes: tuple[str, ...]
    clip: Clip
    flip_safe: bool
    reader: Reader
    cache: Path
    workers: int = 0
    batch_size: int = 64
    device: str = "cpu"
    devices: int = 1
    precision: Precision = "fp32"
    seed: int = 0
    select_rule: str = "given"
    unlabelled: Samples | None = None
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    backbone: Mapping[str, Any] = field(default_factory=dict)
    max_bad_fraction: float = 0.05
    save_steps: int = 200

    def carrying(self, samples: Samples) -> NDArray[np.int64]:
        """int64 [n]: the class of every video of `samples` that has the label."""
        if self.label not in samples.labels:
            known = f"{nearest(self.label, samples.labels)}; known: {', '.join(samples.labels)}"
            raise UserError(f"eval.label={self.label}: no such label{known}")
        label = samples.labels[self.label]
        return label[label >= 0]

    @property
    def is_multi(self) -> bool:
        """Whether a video may carry several classes at once."""
        return self.label in self.train.multi

    def truth(self, samples: Samples) -> NDArray[np.bool_]:
        """[n, K]: which classes every video of `samples` that has the label carries."""
        return samples.multi[self.label][samples.labels[self.label] >= 0]


@dataclass(frozen=True)
class Results:
    """What a protocol found.

    Args:
        metrics: {"top1": {"value", "low", "high"}, ...} as shares, the bounds of a 95 % interval over test videos.
        predictions: one row a test video: id, label, prediction (class indices), scores (list of K) and, of several
            test views, view_scores (V lists of K). None, and no metrics, where a protocol makes no numbers.
        chosen: settings that the protocol chose on `select`, and what it left out.
        stamp: everything that two numbers must share to stand in one column.
        inputs: digest of the clips that the encoder saw; equal for two encoders that were shown the same.
        artefacts: {name: file} of what the protocol wrote into its folder.
    """

    metrics: dict[str, dict[str, float]]
    predictions: pd.DataFrame | None
    chosen: dict[str, Any]
    stamp: dict[str, Any]
    inputs: str
    artefacts: dict[str, str] = field(default_factory=dict)


class Protocol(ABC):
    """One way of asking what an encoder knows. The constructor's arguments are the protocol's settings; a subclass
    takes those below as `**shared`.

    `version` goes up whenever a change of code changes numbers.

    Args:
        clips, crops, sampling: the views of each test video, see `EvalViews`; training videos are read by one centre
            clip unless a protocol says otherwise.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    frozen: ClassVar[bool] = True
    # Whether it can be asked of videos that carry several classes at once.
    multi_label: ClassVar[bool] = False
    # False: is asked once of all videos, whatever their labels. None: so only where there are none.
    needs_label: ClassVar[bool | None] = True

    def __init__(self, clips: int = 1, crops: int = 1, sampling: EvalSampling = "even") -> None:
        self.views = EvalViews(clips, crops, sampling)

    @abstractmethod
    def run(self, encoder: Backbone, task: Task, out: Path) -> Results:
        """Reads `task.test` once, at the end; files of its own go into the existing folder `out`."""

    @abstractmethod
    def settings(self, task: Task) -> dict[str, Any]:
        """This protocol's part of the stamp: features, head, optimiser, grid, selection."""

    def check_encoder(self, encoder: Backbone, task: Task) -> None:  # noqa: B027 (most protocols read any encoder)
        """Raises UserError where the encoder lacks what this protocol reads of it, before anything is written."""

    def check(self, task: Task) -> None:
        """Refuses what cannot work, before any video is read.

        Raises:
            UserError: too few videos, one class only, or a class of the test list that no training video shows.
        """
        where = f"eval.label={task.label}"
        fit, test = np.concatenate([task.carrying(task.train), task.carrying(task.select)]), task.carrying(task.test)
        if len(fit) < 2:
            raise UserError(f"{where}: {len(fit)} training videos carry this label; at least two are needed")
        if len(test) == 0:
            raise UserError(f"{where}: no test video carries this label")
        if task.is_multi:
            self._check_several(task, where)
            return
        present, classes = np.unique(fit), np.arange(len(task.classes))
        if len(present) < 2:
            name = task.classes[present[0]]
            raise UserError(f"{where}: all {len(fit)} training videos are of one class, '{name}'; there must be two")
        _refuse_absent(where, task, np.bincount(test, minlength=len(task.classes)) * ~np.isin(classes, present))

    def _check_several(self, task: Task, where: str) -> None:
        """Of videos that may carry several classes."""
        if not self.multi_label:
            raise UserError(
                f"{where}: {self.name} asks for one class a video, these videos carry several", "choose eval=knn,linear"
            )
        fit = np.concatenate([task.truth(task.train), task.truth(task.select)])
        if not (fit.any(axis=0) & ~fit.all(axis=0)).any():
            raise UserError(f"{where}: no class tells two training videos apart: each is carried by all or by none")
        test = task.truth(task.test)
        if not test.any():
            raise UserError(f"{where}: no test video carries any class")
        _refuse_absent(where, task, test.sum(axis=0) * ~fit.any(axis=0))

    def stamp(self, task: Task) -> dict[str, Any]:
        """Protocol, clips, layer, label and lists: two numbers share a column only if all of it is equal."""
        return {
            "protocol": self.name,
            "version": self.version,
            "frozen": self.frozen,
            "clip": self.views.stamp(task.clip),
            "layer": "last",
            "pooling": "the encoder's summary",  # mean or class token: a setting of the backbone, in its hash
            "precision": task.precision,
            "label": task.label,
            "classes": len(task.classes),
            **({"multi_label": True} if task.is_multi else {}),
            "lists": {name: getattr(task, name).list_hash() for name in ("train", "select", "test")},
            **self.settings(task),
        }


def _refuse_absent(where: str, task: Task, videos: NDArray[np.int64]) -> None:
    """Args: videos: [K], test videos of each class that no training video shows."""
    if videos.any():
        counts = ", ".join(f"'{task.classes[place]}' ({videos[place]} test videos)" for place in np.flatnonzero(videos))
        raise UserError(
            f"{where}: classes of the test list without a training video: {counts}",
            "no probe can learn them; add training videos or take these test videos out of the list",
        )
