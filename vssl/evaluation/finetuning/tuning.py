"""One training of a classifier on the training videos of a task, by the machinery that trains methods.

So accumulation, precision, several processes, exact resume, unreadable videos and losses that are not finite are what
they are in a pretraining.
"""

import contextlib
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from shutil import rmtree
from typing import Any, ClassVar

from vssl import _torchvision  # noqa: F401  (before Lightning)

# isort: split
import numpy as np
import torch
from rich.console import Console

from vssl.datamodule import Split, VideoDataModule
from vssl.evaluation.finetuning.classifier import Classifier
from vssl.evaluation.protocol import Task
from vssl.records.atomic import remove_leftovers, writable, write_bytes, write_text
from vssl.training.budgets import Budget
from vssl.training.build import Study
from vssl.training.callbacks import Meter
from vssl.training.optimisers import Optimiser
from vssl.training.run import LAST, fit, say
from vssl.training.settings import Run, Train
from vssl.video.decoding.decode import Reader
from vssl.video.lists.samples import Samples
from vssl.video.views import Views

_RANKS, _IDENTITY = "ranks.pickle", "identity.txt"
_NO_OPTIONS = {"trainer": {"_target_": "vssl.training.settings.TrainerOptions"}}


class TaskVideos(VideoDataModule):
    """Some of a task's videos as a data set, all of them to train on."""

    def __init__(self, samples: Samples, task: Task) -> None:
        super().__init__(flip_safe=task.flip_safe, max_bad_fraction=task.max_bad_fraction)
        self.listed, self.task = samples, task

    def samples(self, split: Split) -> Samples:
        return self.listed if split == "train" else self.listed.take(np.arange(0))

    @property
    def classes(self) -> Mapping[str, tuple[str, ...]]:
        return {self.task.label: self.task.classes}

    @cached_property
    def reader(self) -> Reader:
        return self.task.reader


def begin(folder: Path, identity: str) -> None:
    """Makes `folder` that of trainings of this identity; what one of another left there is removed."""
    writable(folder)
    told = folder / _IDENTITY
    if not told.is_file() or told.read_text(encoding="utf-8") != identity:
        rmtree(folder)
        writable(folder)
        write_text(told, identity)


@dataclass
class Tuning(Study):
    """A training whose method is there already. Nothing of it comes from a configuration."""

    classifier: Classifier | None = None

    cures: ClassVar[str] = "a lower base_lr, more warmup_epochs or clip_grad_norm=1 of the protocol"

    @cached_property
    def method(self) -> Classifier:
        assert self.classifier is not None, "a tuning is made with its classifier"
        return self.classifier

    @cached_property
    def label(self) -> str:
        return self.method.label


def tuning(
    classifier: Classifier, samples: Samples, task: Task, views: Views, train: Train, optimiser: Optimiser,
    epochs: float, folder: Path,
) -> Tuning:  # fmt: skip
    """A training of `classifier` on those of `samples` that carry the task's label; it may not be started twice."""
    return Tuning(
        bound=_NO_OPTIONS, choices={"method": f"finetune on {task.label}"}, datamodule=TaskVideos(samples, task),
        views=views, train=train, budget=Budget(epochs=epochs), optimiser=optimiser, seed=task.seed,
        run=Run(
            out=str(folder.parent), name=folder.name, workers=task.workers, device=_device(task), devices=task.devices,
            threads=max(1, torch.get_num_threads() // task.devices), save_steps=task.save_steps, probe_times=0,
        ),
        classifier=classifier,
    )  # fmt: skip


def tune(study: Tuning, folder: Path, console: Console) -> Meter:
    """Trains to the last step, from the last checkpoint in `folder` where there is one; the same call goes on.

    Raises:
        WorkError: a loss that is not finite; the last good checkpoint stays. Too many videos cannot be read.
        SystemExit: a signal asked for it; a checkpoint is written.
    """
    writable(folder)
    for place in (folder, (folder / LAST).parent):
        remove_leftovers(place)
    with _threads(study.run.thread_count()), torch.random.fork_rng(), _told_to_ranks(study, folder) as ranks:
        study.check()
        study.prepare()
        videos = len(study.datamodule.pretraining(study.label))
        say(study, folder, f"{study.steps} steps, {study.budget.epochs:g} epochs of {videos} videos", console)
        meter, _, trainer = fit(study, folder, ranks, console)
    assert trainer.global_step == study.steps, "trained to the end"
    if (bad := study.datamodule.bad).found:
        say(study, folder, f"{bad.counted} could not be read and were replaced by others: {bad.told()}", console)
    return meter


def study_of(task: Mapping[str, Any]) -> Study:
    """A training as a further rank makes it."""
    study = pickle.loads((Path(task["folder"]) / _RANKS).read_bytes())
    assert isinstance(study, Tuning)
    torch.set_num_threads(study.run.thread_count())
    return study


@contextlib.contextmanager
def _told_to_ranks(study: Tuning, folder: Path) -> Iterator[dict[str, str]]:
    """What further ranks make the study from: a file, since weights are too large for their standard input."""
    file = folder / _RANKS
    if study.devices > 1:
        write_bytes(file, pickle.dumps(study))
    try:
        yield {"study": f"{__name__}.study_of"}
    finally:
        file.unlink(missing_ok=True)


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _device(task: Task) -> Any:
    return "cuda" if torch.device(task.device).type == "cuda" else "cpu"
