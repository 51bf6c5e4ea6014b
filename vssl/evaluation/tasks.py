"""What an encoder is asked of a data set: its lists, divided, and how their videos are read."""

from typing import Any

import numpy as np
import torch

from vssl.config.bind import construct
from vssl.config.errors import UserError, nearest
from vssl.datamodule import VideoDataModule
from vssl.evaluation.protocol import Task
from vssl.evaluation.settings import Evaluation
from vssl.evaluation.subject import Subject
from vssl.records.folders import cache_dir
from vssl.training.meeting import nodes
from vssl.training.settings import Run
from vssl.video.lists.samples import select_split
from vssl.video.views import Clip

ALL = "all"  # in place of a label, for what is asked of all videos


def tasks_of(
    bound: dict[str, Any], evaluation: Evaluation, run: Run, datamodule: VideoDataModule, subject: Subject
) -> list[Task]:
    labels = list(dict.fromkeys(evaluation.labels or datamodule.labels()))
    if not labels:
        raise UserError("the data set has no labels to evaluate on", "add a column 'label' to its list")
    for label in labels:
        if label not in datamodule.classes:
            known = f"{nearest(label, datamodule.classes)}; it has {', '.join(datamodule.classes) or 'none'}"
            raise UserError(f"eval.label={label}: the data set has no such label{known}")
    return [
        Task(
            **_lists(datamodule, label),
            **_means(bound, evaluation, run, datamodule.owner(label), subject),
            label=label,
            classes=tuple(datamodule.classes[label]),
        )
        for label in labels
    ]


def whole_task(
    bound: dict[str, Any], evaluation: Evaluation, run: Run, datamodule: VideoDataModule, subject: Subject
) -> Task:
    """All videos, for protocols that need no label."""
    train = datamodule.samples("train")
    return Task(
        train=train,
        test=datamodule.samples("test"),
        unlabelled=datamodule.samples("unlabelled"),
        **_means(bound, evaluation, run, datamodule, subject),
        select=train.take(np.empty(0, dtype=np.int64)),
        label=ALL,
        classes=(),
        reader=datamodule.reader,
        flip_safe=datamodule.flip_safe,
        class_names=dict(datamodule.classes),
    )


def _means(
    bound: dict[str, Any], evaluation: Evaluation, run: Run, owner: VideoDataModule, subject: Subject
) -> dict[str, Any]:
    """How the videos of a task are read, and by what."""
    devices = run.device_count("auto") // nodes()  # on the first node of a job alone
    return {
        "clip": construct(bound["clip"], Clip, "clip"),
        "cache": cache_dir() / "features" / subject.hashes["backbone"][:16],
        "workers": run.worker_count(owner.decoder, devices),
        "batch_size": evaluation.batch_size,
        "device": _device(run.device),
        "devices": devices,
        "precision": evaluation.precision,
        "seed": subject.seed,
        "backbone": subject.backbone,
        "save_steps": run.save_steps,
    }


def _lists(datamodule: VideoDataModule, label: str) -> dict[str, Any]:
    """The videos of the data set whose label it is, divided, and how they are read."""
    samples = datamodule.belonging(datamodule.samples("train"), label)
    if len(samples) < 2:
        raise UserError(f"the data set has {len(samples)} training videos; at least two are needed")
    train, select, rule = select_split(samples)
    return {
        "train": samples.take(train),
        "select": samples.take(select),
        "test": datamodule.belonging(datamodule.samples("test"), label),
        "select_rule": rule,
        "reader": datamodule.owner(label).reader,
        "flip_safe": datamodule.owner(label).flip_safe,
        "max_bad_fraction": datamodule.max_bad_fraction,
    }


def _device(asked: str) -> str:
    if asked == "cuda" and not torch.cuda.is_available():
        raise UserError("run.device=cuda: torch finds no GPU here", "run.device=auto takes a GPU where there is one")
    return "cuda" if asked != "cpu" and torch.cuda.is_available() else "cpu"
