"""One encoder under several protocols and labels: what is missing is done, each leaves a record and its predictions."""

import contextlib
import datetime
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from rich.console import Console

from vssl.config.bind import construct
from vssl.config.errors import UserError, WorkError
from vssl.datamodule import VideoDataModule
from vssl.evaluation.encoders import Checkpoint
from vssl.evaluation.freeze import unmoved
from vssl.evaluation.metrics import write_class_tables
from vssl.evaluation.protocol import Protocol, Results, Task
from vssl.evaluation.settings import Evaluation
from vssl.evaluation.subject import Subject, subject_of
from vssl.evaluation.tasks import tasks_of, whole_task
from vssl.listed import lists_of
from vssl.records.atomic import atomic, remove_leftovers, writable
from vssl.records.environment import environment
from vssl.records.folders import eval_folder
from vssl.records.hashes import PARTS, hash_of
from vssl.records.locks import waiting_lock
from vssl.records.record import NoRecord, Record, read_record, write_record
from vssl.training.settings import Run

PREDICTIONS = "predictions.parquet"


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
    leave_out: bool = False,
) -> list[Path]:
    """Runs every protocol of `bound["eval"]` on every label; what has a finished record already is left as it is.

    Another process that makes the same evaluation is waited for, and its record taken.

    Args:
        bound: bound configuration; its data, clip and backbone are what the encoder is read with.
        choices: {group: choice}, for the names in records.
        encoder: see `load_encoder`.
        out: folder that baselines are kept under; the evaluations of a run lie in its own folder.
        features_out: where `eval=features` writes instead.
        leave_out: protocols that cannot read this encoder are left out, and said to be; otherwise they are refused.
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
    subject = subject_of(bound, choices, encoder, checkpoint, datamodule, out)
    known = bool(evaluation.labels or datamodule.labels())
    asking = [
        name
        for name, protocol in evaluation.protocols.items()
        if protocol.needs_label or (protocol.needs_label is None and known)
    ]
    tasks = tasks_of(bound, evaluation, run, datamodule, subject) if asking else []
    jobs = [_job(name, bound, evaluation, task, subject) for task in tasks for name in asking]
    for name in (name for name in evaluation.protocols if name not in asking):
        job = _job(name, bound, evaluation, whole_task(bound, evaluation, run, datamodule, subject), subject)
        jobs.append(job if features_out is None else _at(job, subject, features_out))
    missing = [job for job in jobs if not _is_done(job.folder)]
    if leave_out:
        missing, unfit = _fit_for(subject, missing)
        for reason in unfit:
            _say(console, f"{subject.who['name']}: left out: {reason}")
        jobs = [job for job in jobs if job in missing or _is_done(job.folder)]
    for job in missing:
        job.protocol.check_encoder(subject.encoder, job.task)
        job.protocol.check(job.task)
    if missing:
        writable(subject.folder)
    if subject.who["kind"] != "run" and not _is_done(subject.folder):
        writable(subject.folder)
        write_record(subject.folder, _encoder_record(subject, datamodule))
    made = sum(_carry_out(job, subject, console) for job in missing)
    if made < len(jobs):
        there = f"{len(jobs) - made} of {len(jobs)} evaluations were there already"
        _say(console, f"{subject.who['name']}: {there}")
    return [job.folder for job in jobs]


def _job(name: str, bound: dict[str, Any], evaluation: Evaluation, task: Task, subject: Subject) -> Job:
    protocol = evaluation.protocols[name]
    eval_hash = hash_of(
        {"protocol": bound["eval"][name], "version": protocol.version, "precision": task.precision, "label": task.label}
    )
    whole = hash_of(
        [eval_hash, subject.hashes["data"], subject.hashes["backbone"], subject.who["weights"], subject.seed]
    )
    return Job(name, protocol, task, eval_hash, eval_folder(subject.folder, name, task.label, whole))


def _fit_for(subject: Subject, jobs: Sequence[Job]) -> tuple[list[Job], list[str]]:
    """The jobs that can read the encoder, and why the others cannot."""
    fit, unfit = [], []
    for job in jobs:
        try:
            job.protocol.check_encoder(subject.encoder, job.task)
            fit.append(job)
        except UserError as error:
            unfit.append(str(error).splitlines()[0])
    return fit, unfit


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


def _encoder_record(subject: Subject, data: VideoDataModule) -> Record:
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
        "lists": lists_of(data),
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
