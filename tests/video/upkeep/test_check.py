"""One file, one verdict: the odd files against what is known of them, and files made here."""

import csv
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from av.container import InputContainer

from vssl.video.decoding import frame_index
from vssl.video.decoding.decode import PyAVReader
from vssl.video.decoding.encode import write_video
from vssl.video.decoding.errors import Limits, VideoError
from vssl.video.upkeep.check import VERDICTS, Finding, check_file

MakeVideo = Callable[..., Path]

EXPECTED = {"ok": ("ok",), "partial": ("damaged",), "fails:no_video_stream": ("no_video",)}
EXPECTED["fails:open"] = ("unreadable", "empty")
# The list shows PyAV's defaults; these are read better: verdict, frames, width, height.
BETTER = {
    "cover_art.mp3": ("no_video", 0, 0, 0),
    "non_utf8_metadata.avi": ("ok", 25, 96, 72),
    "two_video_streams.mp4": ("ok", 50, 96, 72),
}


def check(path: Path, limits: Limits = Limits()) -> Finding:  # noqa: B008  (frozen)
    return check_file(str(path), limits)


def test_the_odd_files_are_judged_as_expected(shared_data: Path) -> None:
    with (shared_data / "odd" / "expected.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 52
    for row in rows:
        found = check(shared_data / "odd" / row["file"])
        size = (found.verdict, found.frames, found.width, found.height)
        if row["file"] in BETTER:
            assert size == BETTER[row["file"]], row["file"]
            continue
        assert found.verdict in EXPECTED[row["verdict"]], (row["file"], found)
        assert (found.reason == "") == (found.verdict == "ok"), found
        if found.verdict == "ok":
            assert size[1:] == (int(row["pyav_frames"]), int(row["width"]), int(row["height"])), row["file"]
        elif found.verdict == "damaged":
            assert 0 < found.frames < int(row["declared_frames"])


def noise(path: Path, frames: int = 48) -> Path:
    """Frames that take many bytes, so that there is something to damage."""
    images = np.random.default_rng(0).integers(0, 256, (frames, 48, 64, 3), dtype=np.uint8)
    write_video(path, images)
    return path


def test_a_whole_file(tmp_path: Path, make_video: MakeVideo) -> None:
    path = make_video(tmp_path / "a.mp4", frames=30, size=(48, 64))
    assert check(path) == Finding(str(path), "ok", 30, 64, 48, pytest.approx(25), pytest.approx(1.2))


def test_one_frame_has_no_rate(tmp_path: Path, make_video: MakeVideo) -> None:
    found = check(make_video(tmp_path / "a.mp4", frames=1))
    assert (found.verdict, found.frames) == ("ok", 1)
    assert math.isnan(found.fps) and math.isnan(found.duration_s)


def one_by_one(path: Path) -> int:
    """Frames that can be had when each is asked for alone."""
    count = 0
    with PyAVReader().open(str(path)) as video:
        for index in range(len(video.times)):
            with suppress(VideoError):
                count += len(video.frames(np.array([index])))
    return count


def test_damage_in_the_middle(tmp_path: Path) -> None:
    path = noise(tmp_path / "a.mp4")
    content = bytearray(path.read_bytes())
    begin = content.index(b"mdat") + len(content) // 2
    content[begin : begin + 4000] = bytes(np.random.default_rng(1).integers(0, 256, 4000, dtype=np.uint8))
    path.write_bytes(content)
    found = check(path)
    assert (found.verdict, found.width, found.height) == ("damaged", 64, 48)
    assert found.frames == one_by_one(path)
    assert 25 < found.frames < 48
    assert found.duration_s == pytest.approx(48 / 25)
    assert re.match(r"frame \d+ at [\d.]+ s cannot be decoded \(and \d+ others\): Invalid data found", found.reason)


def test_damage_at_the_begin_hides_no_later_frame(tmp_path: Path) -> None:
    path = noise(tmp_path / "a.mp4")
    content = bytearray(path.read_bytes())
    begin = content.index(b"mdat") + 1000
    content[begin : begin + 400] = bytes(400)
    path.write_bytes(content)
    found = check(path)
    assert (found.verdict, found.frames) == ("damaged", one_by_one(path))
    assert 36 <= found.frames < 48  # three groups of 12 are whole
    assert found.reason.startswith("frame 0 at 0 s cannot be decoded (and ")


def test_an_error_while_packets_are_read_is_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a failing disk gives it, and a container whose end is garbage."""
    path = noise(tmp_path / "a.mp4")
    whole = frame_index._read_packets

    def fail_after_30(container: InputContainer, *rest: Any) -> Any:
        return whole(SimpleNamespace(demux=lambda stream: broken(container.demux(stream))), *rest)  # type: ignore[arg-type]

    def broken(packets: Iterable[Any]) -> Iterator[Any]:
        yield from islice(packets, 30)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(frame_index, "_read_packets", fail_after_30)
    found = check(path)
    assert (found.verdict, found.frames) == ("damaged", 30)
    assert found.reason == "the file breaks off after frame 29: Input/output error"


@pytest.mark.parametrize(
    ("beyond", "told"),
    [
        (100, "cannot be decoded"),  # within a frame
        (0, "the file breaks off after frame"),  # between two
    ],
)
def test_a_file_that_breaks_off(tmp_path: Path, beyond: int, told: str) -> None:
    whole = noise(tmp_path / "whole.mp4")
    path = tmp_path / "cut.mp4"
    with av.open(str(whole)) as source, av.open(str(path), "w", options={"movflags": "faststart"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    assert check(path).verdict == "ok"
    with av.open(str(path)) as container:
        ends = sorted(packet.pos + packet.size for packet in container.demux(video=0) if packet.size)
    path.write_bytes(path.read_bytes()[: ends[29] + beyond])
    found = check(path)
    assert (found.verdict, told in found.reason) == ("damaged", True)
    assert 25 < found.frames <= 30 + (beyond > 0)


def audio(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), dtype=np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_what_is_no_video(tmp_path: Path) -> None:
    cut = noise(tmp_path / "cut.mp4")
    cut.write_bytes(cut.read_bytes()[:-2000])  # the table of contents, which stands at the end
    (tmp_path / "text.mp4").write_text("a caption\n" * 100)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder.mp4").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")
    audio(tmp_path / "audio.mp4")
    found = {path.name: (check(path).verdict, check(path).reason) for path in tmp_path.iterdir()}
    found["absent.mp4"] = (check(tmp_path / "absent.mp4").verdict, check(tmp_path / "absent.mp4").reason)
    assert found == {
        "cut.mp4": ("unreadable", "cannot be opened: Invalid data found when processing input"),
        "text.mp4": ("unreadable", "cannot be opened: Invalid data found when processing input"),
        "empty.mp4": ("empty", "the file has 0 bytes"),
        "folder.mp4": ("unreadable", "this is no regular file"),
        "pipe.mp4": ("unreadable", "this is no regular file"),
        "audio.mp4": ("no_video", "no stream of this file is a video that FFmpeg can decode"),
        "absent.mp4": ("unreadable", "cannot be opened: No such file or directory"),
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path, make_video: MakeVideo) -> None:
    path = make_video(tmp_path / "a.mp4")
    path.chmod(0)
    assert (check(path).verdict, check(path).reason) == ("unreadable", "cannot be opened: Permission denied")


@pytest.mark.parametrize(
    ("limits", "verdict", "reason"),
    [
        (Limits(pixels=3071), "too_large", "frames of 64 x 48 pixels are above the limit of 3071 pixels"),
        (Limits(frames=59), "too_large", "more than 59 frames"),
        (Limits(seconds=2.35), "too_large", "the frames span 2.36 s, above the limit of 2.35 s"),
        (Limits(output_bytes=9215), "too_large", "1 frames of 64 x 48 pixels are 9216 bytes"),
        (Limits(decoded_pixels=19 * 3072), "too_slow", "more than 19 frames must be decoded to reach one"),
        (Limits(3072, 60, 2.36, 9216, 20 * 3072), "ok", ""),
    ],
)
def test_limits(tmp_path: Path, make_video: MakeVideo, limits: Limits, verdict: str, reason: str) -> None:
    found = check(make_video(tmp_path / "a.mp4", frames=60, gop=20), limits)
    assert found.verdict == verdict
    assert reason in found.reason


def test_frames_that_are_counted_are_within_the_limits_too(shared_data: Path) -> None:
    path = shared_data / "odd" / "raw_annexb.h264"  # without timestamps
    assert check(path).verdict == "ok"
    assert check(path, Limits(decoded_pixels=24 * 96 * 72)).verdict == "too_slow"
    assert check(path, Limits(frames=24)).verdict == "too_large"


@pytest.mark.parametrize(
    ("box", "offset"),
    [
        (b"avc1", 28),  # width and height of the sample entry, 16 bits each
        (b"tkhd", 80),  # those of the track, 16.16 bits
    ],
)
def test_sizes_in_a_header_are_not_believed(tmp_path: Path, make_video: MakeVideo, box: bytes, offset: int) -> None:
    path = make_video(tmp_path / "a.mp4", frames=10)
    content = bytearray(path.read_bytes())
    begin = content.index(box) + offset
    content[begin : begin + 8] = b"\xff\xf0" * 4
    path.write_bytes(content)
    found = check(path)
    assert (found.verdict, found.frames, found.width, found.height) == ("ok", 10, 64, 48)


def test_a_hole_in_the_reader_is_the_fault_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise TypeError("of a kind that nobody foresaw")

    monkeypatch.setattr("vssl.video.upkeep.check.PyAVReader.survey", fail)
    found = check(tmp_path / "a.mp4")
    assert (found.verdict, found.reason) == ("unreadable", "TypeError: of a kind that nobody foresaw")


def test_the_verdicts_are_those_of_the_design() -> None:
    assert set(VERDICTS) == {"ok", "damaged", "unreadable", "empty", "no_video", "too_large", "too_slow"}


def test_workers_start_without_torch_and_pandas() -> None:
    code = "import sys, vssl.video.upkeep.check_worker; sys.exit(str({'torch', 'pandas', 'rich'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == "set()\n"
