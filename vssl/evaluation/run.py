"""One encoder under several protocols and labels: what is missing is done, each leaves a record and its predictions."""

import contextlib
import datetime
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.console import Console

from vssl.backbones.base import Backbone
from vssl.config.bind import construct
from vssl.config.errors import UserError, WorkError, nearest
from vssl.datamodule import VideoDataModule
from vssl.evaluation.encoders import WITHOUT_WEIGHTS, Checkpoint, load_encoder, weightless_node
from vssl.evaluation.freeze import unmoved
from vssl.evaluation.metrics import write_class_tables
from vssl.evaluation.protocol import Protocol, Results, Task
from vssl.evaluation.settings import Evaluation
from vssl.records.atomic import atomic, remove_leftovers, writable
from vssl.records.environment import environment
from vssl.records.folders import baseline_folder, cache_dir, eval_folder
from vssl.records.hashes import PARTS, hash_of, part_hashes
from vssl.records.locks import waiting_lock
from vssl.records.record import NoRecord, Record, read_record, write_record
from vssl.training.settings import Run
from vssl.video.lists.samples import select_split
from vssl.video.views import Clip

PREDICTIONS = "predictions.parquet"
ALL = "all"  # in place of a label, for what is asked of all videos


@dataclass(frozen=True)
class Subject:
    """The encoder that is asked, and what its records say of it.

    Args:
        who: {"name", "kind", "method", "weights"}.
        names: {"backbone", "data"}: what the user calls the parts.
        hashes: of the parts, see `vssl.records.hashes.part_hashes`.
        backbone: the node that the encoder was built from.
        folder: of the run, or of the baseline.
    """

    encoder: Backbone
    who: dict[str, Any]
    names: dict[str, str | None]
    hashes: dict[str, str]
    seed: int
    backbone: dict[str, Any]
    folder: Path


@dataclass(frozen=True)
class Job:
    """One protocol on one label."""

    name: str
    protocol: Protocol
    task: Task
    eval_hash: str
    folder: Path


def evaluate(
    bound: dict[str, Any],
    choices: Mapping[str, str],
    encoder: str,
    out: Path,
    *,
    checkpoint: Checkpoint = "final",
    console: Console | None = None,
    features_out: Path | None = None,
) -> list[Path]:
    """Runs every protocol of `bound["eval"]` on every label; what has a finished record already is left as it is.

    Another process that makes the same evaluation is waited for, and its record taken.

    Args:
        bound: bound configuration; its data, clip and backbone are what the encoder is read with.
        choices: {group: choice}, for the names in records.
        encoder: see `load_encoder`.
        out: folder that baselines are kept under; the evaluations of a run lie in its own folder.
        features_out: where `eval=features` writes instead.
    Returns:
        The folder of each evaluation, in the order label, then protocol.
    Raises:
        UserError: the request is wrong. Everything is checked before anything is written.
        WorkError: an evaluation failed; its record says how.
    """
    console = console or Console(stderr=True)
    evaluation = construct(bound["eval"], Evaluation, "eval")
    if not evaluation.protocols:
        raise UserError("eval: no protocol is chosen", "for example eval=knn,linear")
    run = construct(bound["run"], Run, "run")
    datamodule = construct(bound["data"], VideoDataModule, "data")
    torch.set_num_threads(run.thread_count())
    subject = _subject(bound, choices, encoder, checkpoint, datamodule, out)
    known = bool(evaluation.labels or datamodule.labels())
    asking = [
        name
        for name, protocol in evaluation.protocols.items()
        if protocol.needs_label or (protocol.needs_label is None and known)
    ]
    tasks = _tasks(bound, evaluation, run, datamodule, subject) if asking else []
    jobs = [_job(name, bound, evaluation, task, subject) for task in tasks for name in asking]
    for name in (name for name in evaluation.protocols if name not in asking):
        job = _job(name, bound, evaluation, _whole_task(bound, evaluation, run, datamodule, subject), subject)
        jobs.append(job if features_out is None else _at(job, subject, features_out))
    missing = [job for job in jobs if not _is_done(job.folder)]
    for job in missing:
        job.protocol.check_encoder(subject.encoder)
        job.protocol.check(job.task)
    if missing:
        writable(subject.folder)
    if subject.who["kind"] != "run" and not _is_done(subject.folder):
        writable(subject.folder)
        write_record(subject.folder, _encoder_record(subject))
    made = sum(_carry_out(job, subject, console) for job in missing)
    if made < len(jobs):
        there = f"{len(jobs) - made} of {len(jobs)} evaluations were there already"
        _say(console, f"{subject.who['name']}: {there}")
    return [job.folder for job in jobs]


def _subject(
    bound: dict[str, Any],
    choices: Mapping[str, str],
    spec: str,
    checkpoint: Checkpoint,
    datamodule: VideoDataModule,
    out: Path,
) -> Subject:
    encoder, who = load_encoder(spec, bound, checkpoint)
    names = {part: choices.get(part) for part in ("backbone", "data")}
    if spec in WITHOUT_WEIGHTS:
        names["backbone"] = spec
        bound = {**bound, "backbone": weightless_node(spec, bound)}
    hashes = part_hashes(bound, datamodule.content_hash())
    identity = hash_of([hashes["data"], hashes["backbone"], who["weights"], bound["seed"]])
    folder = Path(spec) if who["kind"] == "run" else baseline_folder(out, who["name"], identity)
    return Subject(encoder, who, names, hashes, bound["seed"], bound["backbone"], folder)


def _tasks(
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


def _whole_task(
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
    devices = run.device_count("auto")
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


def _job(name: str, bound: dict[str, Any], evaluation: Evaluation, task: Task, subject: Subject) -> Job:
    protocol = evaluation.protocols[name]
    eval_hash = hash_of(
        {"protocol": bound["eval"][name], "version": protocol.version, "precision": task.precision, "label": task.label}
    )
    whole = hash_of(
        [eval_hash, subject.hashes["data"], subject.hashes["backbone"], subject.who["weights"], subject.seed]
    )
    return Job(name, protocol, task, eval_hash, eval_folder(subject.folder, name, task.label, whole))


def _at(job: Job, subject: Subject, folder: Path) -> Job:
    """The job in a folder that somebody chose. Raises UserError where something else lies in it."""
    moved = replace(job, folder=folder)
    try:
        there = read_record(folder)
    except NoRecord:
        return moved
    own = _first_record(moved, subject)["identity"]
    same = [there["identity"].get("hashes"), there["identity"].get("encoder")] == [own["hashes"], own["encoder"]]
    if not same:
        raise UserError(
            f"out={folder}: another record lies there than this request would make",
            "choose another folder, or delete it",
        )
    return moved


def _is_done(folder: Path) -> bool:
    """Whether a finished record lies there; one that is not whole is made again, one of a newer vssl is not touched."""
    try:
        return bool(read_record(folder)["status"] == "done")
    except NoRecord:
        return False


def _carry_out(job: Job, subject: Subject, console: Console) -> bool:
    """Whether it was made here; another process may have been at it already."""
    writable(job.folder)
    with waiting_lock(job.folder, lambda text: _say(console, text)):
        if _is_done(job.folder):
            return False
        remove_leftovers(job.folder)
        _make(job, subject, console)
    return True


def _make(job: Job, subject: Subject, console: Console) -> None:
    started, begun = _now(), time.perf_counter()
    record = {**_first_record(job, subject), "started": started}
    try:
        with unmoved(subject.encoder, f"{job.name} was at it"):  # what tunes an encoder tunes a copy
            results = job.protocol.run(subject.encoder, job.task, job.folder)
        seconds = time.perf_counter() - begun
        made = {}
        if results.predictions is not None:
            _write_predictions(job.folder / PREDICTIONS, results.predictions)
            tables = write_class_tables(job.folder, results.predictions, job.task.classes)
            made = {"predictions": PREDICTIONS, **tables}
    except (WorkError, RuntimeError, OSError) as error:
        # On a full disk this fails as well, and what failed first is what has to be told.
        with contextlib.suppress(WorkError):
            write_record(job.folder, {**record, "status": "failed", "error": _first_line(error), "finished": _now()})
        raise
    write_record(
        job.folder,
        {
            **record,
            "results": results.metrics,
            "chosen": results.chosen,
            "protocol": results.stamp,
            "inputs": results.inputs,
            "artefacts": {**made, **results.artefacts},
            "budget": {"seconds": round(seconds, 2)},
            "finished": _now(),
        },
    )
    _say(console, f"{subject.who['name']}: {job.name} on {job.task.label}: {_told(results)}, {seconds:.1f} s")


def _first_record(job: Job, subject: Subject) -> Record:
    return {
        "kind": "evaluate",
        "status": "done",
        "error": None,
        "identity": {
            "encoder": subject.who,
            "backbone": subject.names["backbone"],
            "data": subject.names["data"],
            "protocol": job.name,
            "label": job.task.label,
            "hashes": {
                "data": subject.hashes["data"], "backbone": subject.hashes["backbone"], "eval": job.eval_hash,
            },
        },
        "seed": subject.seed,
        "classes": list(job.task.classes),
        "protocol": job.protocol.stamp(job.task),
        "environment": {**environment(), **_where(job.task)},
    }  # fmt: skip


def _encoder_record(subject: Subject) -> Record:
    """The record of an encoder that no run of ours made: no views, no method, no training, and it cost nothing here."""
    nothing = ("steps", "epochs", "samples", "clips", "frames", "flops", "seconds", "gpu_hours", "effective_batch")
    return {
        "kind": "encoder",
        "status": "done",
        "error": None,
        "identity": {
            "name": subject.who["name"],
            "method": subject.who["method"],
            "backbone": subject.names["backbone"],
            "data": subject.names["data"],
            "views": None,
            "hashes": {part: subject.hashes[part] if part in ("data", "backbone") else None for part in PARTS},
        },
        "seed": subject.seed,
        "budget": {
            "planned": {}, **dict.fromkeys(nothing, 0),
            "parameters": sum(parameter.numel() for parameter in subject.encoder.parameters()),
        },
        "clips": None,
        "environment": environment(),
    }  # fmt: skip


def _write_predictions(path: Path, predictions: pd.DataFrame) -> None:
    with atomic(path) as temporary:
        predictions.to_parquet(temporary, index=False)


def _where(task: Task) -> dict[str, Any]:
    return {
        "device": task.device,
        "threads": torch.get_num_threads(),
        "workers": task.workers,
        "reader": type(task.reader).__name__,
    }


def _device(asked: str) -> str:
    if asked == "cuda" and not torch.cuda.is_available():
        raise UserError("run.device=cuda: torch finds no GPU here", "run.device=auto takes a GPU where there is one")
    return "cuda" if asked != "cpu" and torch.cuda.is_available() else "cpu"


def _told(results: Results) -> str:
    if not results.metrics:
        return f"wrote {', '.join(results.artefacts.values()) or 'nothing'}"
    name, metric = next(iter(results.metrics.items()))
    return f"{name} {metric['value']:.1%} ({metric['low']:.1%} to {metric['high']:.1%})"


def _first_line(error: BaseException) -> str:
    lines: Sequence[str] = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
