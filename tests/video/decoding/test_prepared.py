"""A prepared set gives the frames, times and errors of the reader that filled it, whatever happens to its makers."""

import pickle
import signal
import subprocess
import sys
import time
import timeit
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest

from vssl.config.errors import UserError, WorkError
from vssl.video.decoding.decode import PyAVReader, Video, VideoError
from vssl.video.decoding.prepared import PreparedReader, prepare

MakeVideo = Callable[..., Path]


class CountingReader:
    """PyAV, counting what it opens."""

    def __init__(self) -> None:
        self.opened: list[str] = []

    def __repr__(self) -> str:
        return "CountingReader()"

    def open(self, path: str, start_s: float = np.nan, end_s: float = np.nan) -> AbstractContextManager[Video]:
        self.opened.append(path)
        return PyAVReader().open(path, start_s, end_s)


@pytest.fixture
def paths(tmp_path: Path, make_video: MakeVideo) -> list[str]:
    """Three videos of different sizes and lengths."""
    sizes = [(48, 64), (32, 32), (64, 48)]
    return [str(make_video(tmp_path / f"{i}.mp4", frames=20 + 30 * i, size=size)) for i, size in enumerate(sizes)]


def assert_same(path: str, one: PreparedReader, other: PyAVReader, start_s: float, end_s: float) -> None:
    with one.open(path, start_s, end_s) as prepared, other.open(path, start_s, end_s) as decoded:
        np.testing.assert_array_equal(prepared.times, decoded.times)
        assert (prepared.height, prepared.width) == (decoded.height, decoded.width)
        for indices in (np.arange(len(decoded.times)), np.array([0]), np.arange(1, len(decoded.times), 3)):
            np.testing.assert_array_equal(prepared.frames(indices), decoded.frames(indices))


@pytest.mark.parametrize(("start_s", "end_s"), [(np.nan, np.nan), (0.2, np.nan), (np.nan, 0.4), (0.08, 0.52)])
def test_frames_times_and_sizes_are_those_of_the_ordinary_reader(
    tmp_path: Path, paths: list[str], start_s: float, end_s: float
) -> None:
    reader = prepare(paths, PyAVReader(), tmp_path / "cache")
    for path in paths:
        assert_same(path, reader, PyAVReader(), start_s, end_s)
        assert_same(path, pickle.loads(pickle.dumps(reader)), PyAVReader(), start_s, end_s)


def test_odd_files_end_as_with_the_ordinary_reader(tmp_path: Path, shared_data: Path) -> None:
    names = [
        "corrupted_packets_mid.mp4", "truncated_mid_moov_first.mp4", "rotate_90_tag.mp4", "resolution_change.ts",
        "non_monotonic_pts.mkv", "raw_annexb.h264", "empty.mp4", "audio_only.mp4", "missing_moov.mp4",
    ]  # fmt: skip
    paths = [str(shared_data / "odd" / name) for name in names] + [str(tmp_path / "absent.mp4")]
    prepared, ordinary = prepare(paths, PyAVReader(), tmp_path / "cache"), PyAVReader()

    def outcome(reader: PreparedReader | PyAVReader, path: str, index: int) -> object:
        try:
            with reader.open(path) as video:
                return len(video.times), video.frames(np.array([index])).tobytes()
        except VideoError as error:
            return error.path, error.verdict

    for path in paths:
        for index in (0, 19, 21, 24):
            assert outcome(prepared, path, index) == outcome(ordinary, path, index), (path, index)


def test_videos_are_decoded_once(tmp_path: Path, paths: list[str]) -> None:
    reader = CountingReader()
    prepare(paths + paths[:1], reader, tmp_path / "cache")
    prepare(paths + paths[:1], reader, tmp_path / "cache")
    assert reader.opened == paths


def test_another_file_under_the_same_name_is_another_set(
    tmp_path: Path, paths: list[str], make_video: MakeVideo
) -> None:
    prepare(paths, PyAVReader(), tmp_path / "cache")
    make_video(Path(paths[0]), frames=7)
    with prepare(paths, PyAVReader(), tmp_path / "cache").open(paths[0]) as video:
        assert len(video.times) == 7


@pytest.mark.parametrize("damage", ["no index", "cut frames", "cut index"])
def test_half_a_set_is_made_anew(tmp_path: Path, paths: list[str], damage: str) -> None:
    cache, reader = tmp_path / "cache", CountingReader()
    prepare(paths, reader, cache)
    (frames,), (index,) = cache.glob("*.bin"), cache.glob("*.npz")
    whole = frames.read_bytes()
    if damage == "no index":
        index.unlink()
    else:
        file = frames if damage == "cut frames" else index
        file.write_bytes(file.read_bytes()[:-100])
    assert_same(paths[2], prepare(paths, reader, cache), PyAVReader(), np.nan, np.nan)
    assert len(reader.opened) == 6
    assert frames.read_bytes() == whole


SLOW = """
import sys, time
from pathlib import Path
from vssl.video.decoding.decode import PyAVReader
from vssl.video.decoding.prepared import prepare

class Slow(PyAVReader):
    def __repr__(self):
        return "CountingReader()"

    def open(self, path, *segment):
        with open(sys.argv[2], "a") as log:
            log.write(path + "\\n")
        time.sleep(float(sys.argv[3]))
        return super().open(path, *segment)

prepare(sys.argv[4:], Slow(), Path(sys.argv[1]))
"""


def start_slow(cache: Path, log: Path, seconds: float, paths: list[str]) -> subprocess.Popen[bytes]:
    arguments = [sys.executable, "-c", SLOW, str(cache), str(log), str(seconds), *paths]
    return subprocess.Popen(arguments, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def wait_for(log: Path, lines: int) -> None:
    deadline = time.monotonic() + 60
    while not log.exists() or len(log.read_text().splitlines()) < lines:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_a_killed_process_left_is_replaced(tmp_path: Path, paths: list[str]) -> None:
    cache, log = tmp_path / "cache", tmp_path / "log"
    process = start_slow(cache, log, 1.0, paths)
    wait_for(log, 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(cache.glob(".*.tmp.bin"))
    reader = CountingReader()
    assert_same(paths[1], prepare(paths, reader, cache), PyAVReader(), np.nan, np.nan)
    assert reader.opened == paths
    assert not list(cache.glob(".*.tmp.*"))


def test_of_two_processes_one_makes_the_set_and_both_have_it(tmp_path: Path, paths: list[str]) -> None:
    cache, log = tmp_path / "cache", tmp_path / "log"
    processes = [start_slow(cache, log, 0.2, paths) for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert log.read_text().splitlines() == paths
    assert_same(paths[2], prepare(paths, CountingReader(), cache), PyAVReader(), np.nan, np.nan)


def test_a_set_above_the_limit_is_refused_with_advice_and_leaves_nothing(tmp_path: Path, paths: list[str]) -> None:
    with pytest.raises(UserError, match=r"(?s)need 0.0 GB, more than .* data.decoder=pyav .*data.prepared_gb"):
        prepare(paths, PyAVReader(), tmp_path / "cache", max_bytes=10**5)
    assert not list((tmp_path / "cache").glob("*.bin")) + list((tmp_path / "cache").glob(".*.tmp.*"))


def test_an_unwritable_folder_is_refused(tmp_path: Path, paths: list[str]) -> None:
    (tmp_path / "cache").write_text("a file is in the way")
    with pytest.raises(UserError, match="cannot write to the folder"):
        prepare(paths, PyAVReader(), tmp_path / "cache")


def test_a_path_of_another_set_is_named(tmp_path: Path, paths: list[str]) -> None:
    reader = prepare(paths[:2], PyAVReader(), tmp_path / "cache")
    with pytest.raises(WorkError, match=r"2\.mp4 is not in the prepared set"):
        reader.open(paths[2])


def test_opening_costs_microseconds(tmp_path: Path, paths: list[str]) -> None:
    reader, indices = prepare(paths, PyAVReader(), tmp_path / "cache"), np.arange(0, 16, 2)

    def read() -> None:
        with reader.open(paths[1]) as video:
            assert video.height
            video.frames(indices)

    assert min(timeit.repeat(read, number=200, repeat=10)) / 200 < 60e-6  # 8 us on an idle machine; decoding takes ms
