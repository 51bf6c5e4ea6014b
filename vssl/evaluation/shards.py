"""One list of videos read by several processes: each takes a part of it, so that every video counts once."""

import multiprocessing
import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import torch

from vssl.backbones.base import Backbone
from vssl.config.errors import UserError, WorkError
from vssl.evaluation.freeze import Moved
from vssl.evaluation.protocol import Task
from vssl.video.lists.samples import Samples
from vssl.video.workers import worker_start

T = TypeVar("T")
P = TypeVar("P")


def in_parts(
    work: Callable[[Backbone, Samples, Task, P], T],
    encoder: Backbone,
    samples: Samples,
    task: Task,
    shares: Sequence[P],
) -> list[T]:
    """What `work` gives for each of `shares`, in their order; one process each.

    Args:
        work: a function that can be pickled; it gets a copy of the encoder, all of `samples`, a task for one device, a
            GPU of its own where `task.device` is one, and its share.
    Raises:
        UserError, Moved: what one of them raised.
        WorkError: one of them died.
    """
    # Forked processes deadlock where torch's threads have been busy.
    context = multiprocessing.get_context("forkserver")
    threads = max(1, torch.get_num_threads() // task.devices)
    started: list[tuple[Any, Connection]] = []
    try:
        for rank, share in enumerate(shares):
            device = f"cuda:{rank}" if torch.device(task.device).type == "cuda" else task.device
            job = (work, encoder.cpu(), samples, replace(task, devices=1, device=device), share)
            receiver, sender = context.Pipe(duplex=False)
            # Pickled here: multiprocessing would move the weights into memory that is shared.
            process = context.Process(target=_carry_out, args=(pickle.dumps(job), sender, worker_start(), threads))
            process.start()
            sender.close()
            started.append((process, receiver))
        return [_received(process, receiver) for process, receiver in started]
    finally:
        for process, receiver in started:
            process.kill()
            process.join()
            receiver.close()


def _carry_out(job: bytes, sender: Connection, begin: Callable[[int], None], threads: int) -> None:
    begin(0)
    torch.set_num_threads(threads)
    work, encoder, samples, task, share = pickle.loads(job)
    found, error = None, None
    try:
        found = work(encoder, samples, task, share)
    except (UserError, Moved) as raised:
        kinds = (WorkError, UserError, Moved)
        error = (next(kind for kind in kinds if isinstance(raised, kind)), str(raised))
    sender.send((found, error))


def _received(process: Any, receiver: Connection) -> Any:
    try:
        found, error = receiver.recv()
    except EOFError:
        process.join()
        how = f"killed by signal {-process.exitcode}" if process.exitcode < 0 else f"exit code {process.exitcode}"
        raise WorkError(
            f"one of the processes that read the videos died ({how})",
            "fewer run.devices or run.workers need less memory",
        ) from None
    if error is not None:
        kind, text = error
        raise kind(text)
    return found
