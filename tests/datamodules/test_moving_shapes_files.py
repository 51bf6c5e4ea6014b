"""The files of moving_shapes: what they show, and that they are written once, whole, and the same everywhere."""

import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest

import datamodules.moving_shapes as moving_shapes
from datamodules.moving_shapes import MovingShapes, make_plan, render
from vssl.config.errors import UserError, WorkError
from vssl.video.decoding.decode import PyAVReader
from vssl.video.decoding.encode import write_video


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def counting(written: list[str], until: int) -> Callable[..., None]:
    """`write_video` that notes what it wrote, and fails when it has written `until` files."""

    def write(path: Path, *frames: object, **options: object) -> None:
        if len(written) >= until:
            raise WorkError("the disk is full")
        written.append(path.name)
        write_video(path, *frames, **options)

    return write


def test_the_files_show_what_was_rendered_with_its_labels(cache: Path) -> None:
    data = MovingShapes(num_videos=24)
    samples, plan, reader = data.samples("train"), make_plan(24, 24, (0, 0)), PyAVReader()
    for index in range(24):
        with reader.open(str(samples.path[index])) as video:
            assert video.times == pytest.approx(np.arange(24) / 25, abs=1e-4)
            error = np.abs(video.frames(np.arange(24)).astype(int) - render(plan, index, 32)).mean()
        assert error < 5, index  # grey levels, most of them from colour at half resolution


def test_no_frame_is_predicted_from_its_neighbours(cache: Path) -> None:
    with av.open(str(MovingShapes(num_videos=8).samples("train").path[0])) as container:
        assert all(frame.key_frame for frame in container.decode(video=0))


def test_the_list_names_every_video_once_and_train_and_test_differ(cache: Path) -> None:
    data = MovingShapes(num_videos=16)
    train, test, unlabelled = (data.samples(split) for split in ("train", "test", "unlabelled"))
    assert (len(train), len(test), len(unlabelled)) == (16, 8, 0)
    assert len(set(train.id) | set(test.id)) == 24
    assert all(Path(path).is_file() for path in (*train.path, *test.path))
    assert np.isnan(train.start_s).all() and np.isnan(train.end_s).all()
    assert list(train.labels) == list(data.classes) == ["motion", "shape", "colour"]
    assert [len(data.classes[label]) for label in data.classes] == [8, 4, 4]
    assert not set(contents(data.folder("train")).values()) & set(contents(data.folder("test")).values())
    assert not data.flip_safe and not data.reverse_safe


def test_the_index_says_in_words_what_each_video_shows(cache: Path) -> None:
    data = MovingShapes(num_videos=8)
    samples = data.samples("train")
    header, *rows = (data.folder("train") / "clips.csv").read_text().splitlines()
    assert header == "path,motion,shape,colour,texture,background"
    for index, row in enumerate(rows):
        path, *levels = row.split(",")
        assert data.folder("train") / path == Path(samples.path[index])
        for label, level in zip(samples.labels, levels, strict=False):
            assert data.classes[label][samples.labels[label][index]] == level


def test_equal_settings_give_equal_files_and_another_seed_others(tmp_path: Path) -> None:
    made = [
        MovingShapes(num_videos=8, seed=seed, root=str(tmp_path / name))
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    for data in made:
        data.samples("train")
    first, again, other = (contents(data.folder("train")) for data in made)
    assert first == again
    assert all(first[name] != other[name] for name in first)


def test_what_is_complete_is_not_written_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = MovingShapes(num_videos=8).samples("train")
    monkeypatch.setattr(moving_shapes, "write_video", lambda *_, **__: pytest.fail("written again"))
    again = MovingShapes(num_videos=8, label="shape", decoder="prepared", num_test=9).samples("train")
    assert again.path.tolist() == first.path.tolist()


@pytest.mark.parametrize("change", [{"seed": 1}, {"size": 34}, {"frames": 25}, {"num_videos": 17}])
def test_other_settings_have_another_folder(cache: Path, change: dict[str, int]) -> None:
    settings = {"num_videos": 16, "num_test": 8, "seed": 0, "size": 32, "frames": 24}
    one, other = MovingShapes(**settings), MovingShapes(**{**settings, **change})
    assert one.folder("train") != other.folder("train")
    assert one.folder("train").parent == cache / "moving_shapes"


def test_a_broken_off_run_is_finished_without_writing_anything_twice(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    data = MovingShapes(num_videos=16)
    monkeypatch.setattr(moving_shapes, "write_video", counting(written, until=5))
    with pytest.raises(WorkError, match="the disk is full"):
        data.samples("train")
    assert sorted(contents(data.folder("train"))) == sorted(written)  # and no index

    monkeypatch.setattr(moving_shapes, "write_video", counting(written, until=100))
    data.samples("train")
    assert len(written) == len(set(written)) == 16
    fresh = MovingShapes(num_videos=16, root=str(tmp_path / "fresh"))
    fresh.samples("train")
    assert contents(data.folder("train")) == contents(fresh.folder("train"))


def test_two_runs_at_once_end_with_the_same_whole_set(cache: Path, tmp_path: Path) -> None:
    data = MovingShapes(num_videos=32)
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: data.samples("train").path.tolist(), range(2))
    fresh = MovingShapes(num_videos=32, root=str(tmp_path / "fresh"))
    fresh.samples("train")
    assert one == other
    assert contents(data.folder("train")) == contents(fresh.folder("train"))


def test_progress_is_shown_apart_from_results(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    MovingShapes(num_videos=8).samples("train")
    shown = capsys.readouterr()
    assert "Writing moving_shapes train" in shown.err
    assert shown.out == ""


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_videos": 7}, "num_videos must be at least 8; got 7"),
        ({"num_test": 3}, "num_test must be at least 8; got 3"),
        ({"seed": -1}, "seed must be at least 0; got -1"),
        ({"size": 8}, "size must be at least 16; got 8"),
        ({"size": 33}, "size must be even.*got 33"),
        ({"frames": 1}, "frames must be at least 2; got 1"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MovingShapes(**wrong)


def test_a_cache_that_cannot_be_made_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write to the folder .*file"):
        MovingShapes(num_videos=8, root=str(tmp_path / "file" / "videos")).samples("train")


@pytest.mark.slow
def test_a_killed_run_is_finished(tmp_path: Path) -> None:
    data = MovingShapes(num_videos=400, root=str(tmp_path / "killed"))
    code = "import sys; from datamodules.moving_shapes import *; MovingShapes(400, root=sys.argv[1]).samples('train')"
    process = subprocess.Popen([sys.executable, "-c", code, str(data.root)], stderr=subprocess.DEVNULL)
    while process.poll() is None and len(list(data.folder("train").glob("0*.mp4"))) < 20:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (data.folder("train") / "clips.csv").exists()

    fresh = MovingShapes(num_videos=400, root=str(tmp_path / "fresh"))
    data.samples("train")
    fresh.samples("train")
    finished = contents(data.folder("train"))
    assert {name: finished[name] for name in finished if not name.startswith(".")} == contents(fresh.folder("train"))
