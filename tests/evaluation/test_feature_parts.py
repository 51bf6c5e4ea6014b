"""Extraction that is cut off: what was read is kept, and the file at the end is that of an undisturbed one."""

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.evaluation.conftest import Gallery, Still
from vssl.backbones.mean_frame import MeanFrame
from vssl.evaluation import extraction
from vssl.evaluation.eval_views import EvalViews
from vssl.evaluation.feature_parts import ABANDONED_PARTS_S, Part, held, kept_plan, planned
from vssl.evaluation.features import features
from vssl.evaluation.protocol import Task

VIEWS = EvalViews(clips=2)


class Stopped(BaseException):
    """As Ctrl-C: nothing catches it."""


class Stopping(Gallery):
    """A reader that is interrupted at one video, where it is told so."""

    at = "nowhere"

    @contextmanager
    def open(self, path: str, start_s: float = float("nan"), end_s: float = float("nan")) -> Iterator[Still]:
        if path.endswith(self.at):
            raise Stopped
        with super().open(path, start_s, end_s) as video:
            yield video


@pytest.fixture
def task(world: Any, monkeypatch: pytest.MonkeyPatch) -> Task:
    monkeypatch.setattr(extraction, "VIDEOS", 4)
    world.reader = Stopping()
    return world.blobs(videos=(8, 4, 30), batch_size=4)  # two videos of two views in a batch


def stop(task: Task, pixels: MeanFrame, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of parts of an extraction of the test list that was stopped at its 14th video."""
    monkeypatch.setattr(Stopping, "at", "test0013")
    with pytest.raises(Stopped):
        features(pixels, task.test, task, VIEWS)
    monkeypatch.setattr(Stopping, "at", "nowhere")
    (parts,) = task.cache.iterdir()
    return parts


@pytest.mark.parametrize("devices", [1, 2])
def test_a_stopped_extraction_goes_on_and_ends_as_an_undisturbed_one(
    task: Task, world: Any, pixels: MeanFrame, devices: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = features(pixels, task.test, replace(task, cache=world.folder / "whole"), VIEWS)
    parts = stop(task, pixels, monkeypatch)
    assert len(list(parts.glob("*.safetensors"))) == 3  # 12 videos of three parts; the fourth was not whole
    world.reader.opened.clear()
    again = features(pixels, task.test, replace(task, devices=devices), VIEWS)
    if devices == 1:
        assert world.reader.opened == task.test.id[12:].tolist()  # the workers of two read elsewhere
    (path,), (other,) = task.cache.iterdir(), (world.folder / "whole").iterdir()
    assert path.read_bytes() == other.read_bytes() and again.inputs == whole.inputs
    assert (again.values == whole.values).all()


def test_a_damaged_part_is_read_again(
    task: Task, world: Any, pixels: MeanFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_ = sorted(stop(task, pixels, monkeypatch).glob("*.safetensors"))
    content = first.read_bytes()
    first.write_bytes(content[:-5] + bytes([content[-5] ^ 4]) + content[-4:])
    world.reader.opened.clear()
    found = features(pixels, task.test, task, VIEWS)
    assert world.reader.opened == [*task.test.id[:4], *task.test.id[12:]]
    undisturbed = features(pixels, task.test, replace(task, cache=world.folder / "whole"), VIEWS)
    assert (found.values == undisturbed.values).all()


def test_an_encoder_that_moved_leaves_nothing_to_go_on_from(task: Task, world: Any) -> None:
    class Moving(MeanFrame):
        def forward(self, clip: Any) -> Any:
            self.mean += 1
            return super().forward(clip)

    with pytest.raises(RuntimeError, match="changed while its features were read"):
        features(Moving(size=8), task.test, task)
    assert not list(task.cache.rglob("*"))


@pytest.mark.parametrize(("videos", "devices", "size"), [(30, 1, 4), (30, 2, 4), (7, 3, 256), (1, 2, 4), (0, 2, 4)])
def test_a_plan_holds_each_video_once(videos: int, devices: int, size: int) -> None:
    plan = planned(videos, devices, size)
    assert [place for part in plan for place in range(*part)] == list(range(videos))
    assert all(0 < part.stop - part.start <= size for part in plan)
    assert len(plan) >= min(devices, videos)


def test_the_first_plan_stays(tmp_path: Path) -> None:
    first = planned(30, 1, 4)
    assert kept_plan(tmp_path, first) == kept_plan(tmp_path, planned(30, 2, 4)) == first
    (tmp_path / "plan.json").write_text('[{"a": 1')
    assert kept_plan(tmp_path, [Part(0, 9)]) == [Part(0, 9)]


KILLED = """
    from tests.evaluation.test_feature_parts import killed_while_it_reads
    killed_while_it_reads(__import__("pathlib").Path(__import__("sys").argv[1]))
"""


def killed_while_it_reads(folder: Path) -> None:
    with held(folder):
        (folder / "begun").touch()
        time.sleep(60)


def test_a_killed_holder_is_followed_and_a_living_one_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "key.parts"
    root = Path(__file__).parents[2]
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(KILLED), str(folder)], cwd=root)
    try:
        while not (folder / "begun").exists():
            assert process.poll() is None
            time.sleep(0.05)
        process.kill()
        process.wait()
        with held(folder):
            assert (folder / "begun").exists()  # what it had done is there
        assert not folder.exists()
    finally:
        process.kill()


def test_parts_that_nobody_has_gone_on_with_for_long_go(
    task: Task, pixels: MeanFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = stop(task, pixels, monkeypatch)
    features(pixels, task.train, task, VIEWS)
    assert parts.is_dir(), "somebody may go on with it"
    long_ago = time.time() - ABANDONED_PARTS_S - 60
    for file in (*parts.iterdir(), parts):
        os.utime(file, (long_ago, long_ago))
    features(pixels, task.select, task, VIEWS)
    assert not parts.exists()
