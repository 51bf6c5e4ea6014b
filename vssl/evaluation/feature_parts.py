"""The parts of an extraction on disk: what a killed one has read already is not read again.

The parts are planned once, at the first start, on however many devices. A batch never spans two parts, so that the bits
are those of an undisturbed pass.
"""

import json
import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vssl.config.errors import WorkError
from vssl.evaluation.feature_cache import Floats, read_features, write_features
from vssl.evaluation.freeze import Moved
from vssl.records.atomic import remove_leftovers, write_json
from vssl.records.locks import is_held, waiting_lock

PLAN = "plan.json"
ABANDONED_PARTS_S = 30 * 86400.0

logger = logging.getLogger(__name__)


class NotFinite(WorkError):
    """An encoder's features are no finite numbers."""


class Part(NamedTuple):
    """The videos start to stop of a list, by place; the last one not included."""

    start: int
    stop: int

    def file(self, folder: Path) -> Path:
        return folder / f"{self.start:08d}-{self.stop:08d}.safetensors"


class Read(NamedTuple):
    """Features [n, V, ...] of the videos of a part, and the digests of their clips in time, uint8 [n, T, 32]."""

    values: Floats
    digests: NDArray[np.uint8]


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """The folder of one extraction; another process that has it is waited for. What was read stays where the work may
    go on, and goes where it is done or can come to nothing."""
    with ExitStack() as stack:
        while True:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(waiting_lock(folder, logger.info))
                break
            except WorkError as error:
                if not isinstance(error.__cause__, FileNotFoundError):  # else its holder has just removed it
                    raise
        remove_leftovers(folder)
        _remove_abandoned(folder)
        try:
            yield
        except (Moved, NotFinite):
            shutil.rmtree(folder)
            raise
        shutil.rmtree(folder)


def _remove_abandoned(own: Path) -> None:
    """What was read for extractions beside `own` that nobody has gone on with for a long time."""
    for folder in own.parent.glob(f"*{own.suffix}"):
        with suppress(OSError):  # another process is at it, or has removed it
            newest = max(file.stat().st_mtime for file in (folder, *folder.iterdir()))
            if folder != own and time.time() - newest > ABANDONED_PARTS_S and not is_held(folder):
                shutil.rmtree(folder)


def planned(videos: int, devices: int, size: int) -> list[Part]:
    """Consecutive parts of at most `size` videos; each of `devices` processes gets about as many."""
    bounds = [videos * rank // devices for rank in range(devices + 1)]
    return [Part(start, min(start + size, end)) for begin, end in pairwise(bounds) for start in range(begin, end, size)]


def kept_plan(folder: Path, plan: list[Part]) -> list[Part]:
    """The plan of the extraction that began in `folder`; `plan` where none has."""
    path = folder / PLAN
    try:
        return [Part(*part) for part in json.loads(path.read_text())]
    except (FileNotFoundError, ValueError, TypeError):
        write_json(path, plan)
        return plan


def read_part(folder: Path, part: Part) -> Read | None:
    """What is there of it; None where there is no whole file."""
    if (found := read_features(part.file(folder))) is None:
        return None
    values, digests = found
    return Read(values, np.frombuffer(bytes.fromhex(digests), np.uint8).reshape(len(values), -1, 32))


def write_part(folder: Path, part: Part, read: Read) -> None:
    write_features(part.file(folder), [read.values], read.digests.tobytes().hex())
