"""Fast copies of many videos: only what is missing is made, each in a process that a broken original cannot harm."""

import os
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import av

from vssl.config.errors import WorkError
from vssl.records.atomic import remove_leftovers, writable
from vssl.video.checks import at_least, within
from vssl.video.decoding.errors import Limits, VideoError
from vssl.video.upkeep.copy_plan import Job
from vssl.video.upkeep.fast_copy import Copied, CopySettings, copy
from vssl.video.upkeep.journal import Journal, Stamp, stamp
from vssl.video.upkeep.pool import LONGEST_S, PoolSettings, Trouble, each_apart

STATE = "prepare.jsonl"  # in the folder of the copies


@dataclass(frozen=True)
class CopyPool:
    """What the processes may take.

    Args:
        workers: videos at a time; None: one a core.
        timeout_s: a video that takes longer is not copied.
        memory_bytes: what copying a video may take.
    """

    workers: int | None = None
    timeout_s: float = 1800.0
    memory_bytes: int = 4_294_967_296

    def __post_init__(self) -> None:
        if self.workers is not None:
            at_least(1, "workers", self.workers)
        within(0.1, LONGEST_S, "timeout_s", self.timeout_s)
        within(1e6, 1e15, "memory_bytes", self.memory_bytes)

    def bounds(self, limits: Limits) -> PoolSettings:
        return PoolSettings(self.workers, self.timeout_s, self.memory_bytes, limits)


@dataclass(frozen=True)
class Outcome:
    """What became of one copy: `copied` where it is there, else `failed`; `kept` from an earlier call."""

    job: Job
    copied: Copied | None = None
    failed: Trouble | None = None
    kept: bool = False


def what_counts(settings: CopySettings, limits: Limits) -> dict[str, Any]:
    """All that a copy depends on beside its original."""
    encoder = av.library_versions["libavcodec"]
    return {"for": "vssl data prepare", **asdict(settings), "limits": asdict(limits), "encoder": encoder}


def kept_copies(jobs: Sequence[Job], out: Path, journal: Journal) -> list[Outcome]:
    """Copies that are there, of originals that have not changed since, made with the same settings."""
    known = [(job, journal.get(job.copy_name, _stamp(job))) for job in jobs]
    found = [(job, Copied(**facts)) for job, facts in known if facts is not None]
    return [Outcome(job, copied, kept=True) for job, copied in found if _size(out / job.copy_name) == copied.size]


def make_copies(
    jobs: Sequence[Job], out: Path, settings: CopySettings, pool: PoolSettings, journal: Journal
) -> Generator[Outcome]:
    """Makes these copies; each is in the journal before it is given. Closing the iterator ends the workers.

    Raises:
        WorkError: a copy cannot be written (no space, no permission, ...); those before it stay.
    """
    for folder in _folders(jobs, out):
        writable(folder)
    stamps = {job: _stamp(job) for job in jobs}
    try:
        with closing(each_apart(jobs, pool, partial(_copy, out=out, settings=settings))) as answers:
            for job, answer in answers:
                if isinstance(answer, _Refused):
                    raise WorkError(answer.message)
                if isinstance(answer, Copied):
                    journal.add(job.copy_name, stamps[job], asdict(answer))
                    yield Outcome(job, answer)
                else:
                    yield Outcome(job, failed=answer)
    finally:
        clean_up(jobs, out)  # after workers that had to be ended


def clean_up(jobs: Sequence[Job], out: Path) -> None:
    """Removes half-written copies that killed processes left. The journal is held: no other process writes there."""
    for folder in _folders(jobs, out):
        remove_leftovers(folder)


def _folders(jobs: Sequence[Job], out: Path) -> list[Path]:
    return sorted({(out / job.copy_name).parent for job in jobs})


@dataclass(frozen=True)
class _Refused:
    """A write that the operating system refused: no fault of the video, and the next one would meet it as well."""

    message: str


def _copy(job: Job, limits: Limits, *, out: Path, settings: CopySettings) -> "Copied | Trouble | _Refused":
    try:
        return copy(job.path, out / job.copy_name, settings, job.start_s, job.end_s, limits)
    except VideoError as error:
        return Trouble(error.verdict, error.reason)
    except WorkError as error:
        return _Refused(str(error))
    except MemoryError:
        return Trouble("too_large", "copying it needs more memory than a worker may take")


def _stamp(job: Job) -> Stamp:
    return stamp(job.path, job.name, *(None if value != value else value for value in (job.start_s, job.end_s)))


def _size(path: Path) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return -1
