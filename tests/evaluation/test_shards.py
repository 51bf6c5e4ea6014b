"""Features by several processes: every video once, in its order, and what goes wrong in one of them is told."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.evaluation.conftest import Gallery, Still
from vssl.backbones.mean_frame import MeanFrame
from vssl.config.errors import WorkError
from vssl.evaluation.features import features


class Deadly(Gallery):
    """A reader of which one video ends the process, as a decoder that breaks would."""

    @contextmanager
    def open(self, path: str, start_s: float = np.nan, end_s: float = np.nan) -> Iterator[Still]:
        if path.endswith("test0005"):
            os.kill(os.getpid(), signal.SIGSEGV)
        with super().open(path, start_s, end_s) as video:
            yield video


@pytest.mark.parametrize("workers", [0, 1])
def test_each_video_counts_once_where_the_processes_do_not_divide_the_list(
    world: Any, pixels: MeanFrame, workers: int
) -> None:
    task = world.blobs(videos=(8, 4, 7), batch_size=2, workers=workers)
    whole = features(pixels, task.test, task)
    parts = features(pixels, task.test, replace(task, devices=2, cache=task.cache / "of two"))
    assert len(parts.values) == 7
    assert np.array_equal(parts.values, whole.values)
    assert parts.inputs == whole.inputs  # the digest over the clips, in the order of the list


def test_more_processes_than_videos(world: Any, pixels: MeanFrame) -> None:
    task = world.blobs(videos=(8, 4, 1))
    assert len(features(pixels, task.test, replace(task, devices=2)).values) == 1


def test_a_video_that_cannot_be_read_by_one_of_them_is_named(world: Any, pixels: MeanFrame) -> None:
    task = world.blobs(videos=(8, 4, 7))
    del world.reader.images["test0006"]
    with pytest.raises(WorkError, match=r"test0006: unreadable: moov atom not found\n  hint: take it out of the list"):
        features(pixels, task.test, replace(task, devices=2))


def test_one_of_them_that_dies_ends_the_evaluation(world: Any, pixels: MeanFrame) -> None:
    task = world.blobs(videos=(8, 4, 7))
    deadly = replace(task, devices=2, reader=Deadly(world.reader.images))
    with pytest.raises(WorkError, match=r"one of the processes that read the videos died \(killed by signal 11\)"):
        features(pixels, task.test, deadly)
