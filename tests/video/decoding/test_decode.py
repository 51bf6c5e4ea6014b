"""Frames by index equal a sequential decode of the whole file, and every other file ends in one typed error."""

import csv
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from vssl.video.decoding import decode
from vssl.video.decoding.decode import Limits, PyAVReader, VideoError

MakeVideo = Callable[..., Path]


def grey_level(index: int) -> int:
    """What `make_video` paints frame `index` with."""
    return 16 + 7 * index % 208


def sequential(path: Path) -> NDArray[np.uint8]:
    """All frames of the first video stream, decoded from start to end, in the order of their times."""
    with av.open(str(path), metadata_errors="ignore") as container:
        frames = list(container.decode(video=0))
    pts = [frame.pts for frame in frames if frame.pts is not None]
    order = np.argsort(pts) if len(set(pts)) == len(frames) else range(len(frames))
    images = [np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90)) for frame in frames]
    return np.stack([images[i] for i in order])


def assert_frame_exact(path: Path, rng: np.random.Generator, sets: int) -> None:
    expected = sequential(path)
    with PyAVReader().open(str(path)) as video:
        assert len(video.times) == len(expected), path
        assert (np.diff(video.times) > 0).all(), path
        assert (video.height, video.width) == expected.shape[1:3], path
        for _ in range(sets):
            count = rng.integers(1, min(len(expected), 24) + 1)
            indices = np.sort(rng.choice(len(expected), count, replace=False))
            np.testing.assert_array_equal(video.frames(indices), expected[indices], err_msg=f"{path} {indices}")


@pytest.mark.parametrize("name", ["bikes", "cars", "mouse"])  # moving camera, static camera, 451 frames
@pytest.mark.parametrize("gop", [12, 250])
def test_ordinary_clips_are_frame_exact(shared_data: Path, name: str, gop: int) -> None:
    assert_frame_exact(shared_data / "clips" / f"{name}_g{gop}.mp4", np.random.default_rng(0), sets=3)


@pytest.mark.slow
def test_all_ordinary_clips_are_frame_exact(shared_data: Path) -> None:
    clips = sorted((shared_data / "clips").glob("*.mp4"))
    assert len(clips) == 16
    for clip in clips:
        assert_frame_exact(clip, np.random.default_rng(1), sets=10)


def odd_files(shared_data: Path) -> list[tuple[Path, dict[str, str]]]:
    with (shared_data / "odd" / "expected.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 52
    return [(shared_data / "odd" / row["file"], row) for row in rows]


def test_odd_files_that_decode_are_frame_exact(shared_data: Path) -> None:
    elsewhere = {"cover_art.mp3", "two_video_streams.mp4", "resolution_change.ts"}  # have their own tests
    for path, expected in odd_files(shared_data):
        if expected["verdict"] == "ok" and path.name not in elsewhere:
            assert_frame_exact(path, np.random.default_rng(0), sets=3)
            with PyAVReader().open(str(path)) as video:
                assert len(video.times) == int(expected["pyav_frames"]), path
                assert (video.width, video.height) == (int(expected["width"]), int(expected["height"])), path
                if expected["first_pts_s"]:
                    assert video.times[0] == pytest.approx(float(expected["first_pts_s"]), abs=1e-3), path
                    assert video.times[-1] == pytest.approx(float(expected["last_pts_s"]), abs=1e-3), path


def test_odd_files_that_do_not_decode_end_in_one_typed_error(shared_data: Path) -> None:
    verdicts = {}
    for path, expected in odd_files(shared_data):
        if expected["verdict"].startswith("fails") and path.name != "non_utf8_metadata.avi":
            with pytest.raises(VideoError) as error, PyAVReader().open(str(path)):
                pass
            assert error.value.path == str(path)
            verdicts[path.name] = error.value.verdict
    assert verdicts == {
        "audio_only.mp4": "no_video",
        "empty.mp4": "empty",
        "missing_moov.mp4": "unreadable",
        "small_Mpeg4.mp4": "no_video",
        "text_named.mp4": "unreadable",
        "zero_frames.mp4": "no_video",
    }


def test_frames_before_damage_are_given_and_frames_after_it_are_refused(shared_data: Path) -> None:
    intact = sequential(shared_data / "odd" / "header_claims_16000x16000.mp4")  # the same encode, not overwritten
    with PyAVReader().open(str(shared_data / "odd" / "corrupted_packets_mid.mp4")) as video:
        np.testing.assert_array_equal(video.frames(np.arange(20)), intact[:20])
        with pytest.raises(VideoError, match="frame 20 at 0.8 s cannot be decoded") as error:
            video.frames(np.arange(0, 50, 10))
        assert error.value.verdict == "damaged"
        np.testing.assert_array_equal(video.frames(np.arange(5)), intact[:5])  # a failure leaves the video usable


def test_every_odd_file_ends_soon(shared_data: Path) -> None:
    for path, _ in odd_files(shared_data):
        begin = time.monotonic()
        try:
            with PyAVReader().open(str(path)) as video:
                video.frames(np.array([len(video.times) - 1]))
        except VideoError:
            pass
        assert time.monotonic() - begin < 5, path


def test_metadata_that_is_not_utf8_does_not_matter(shared_data: Path) -> None:
    with PyAVReader().open(str(shared_data / "odd" / "non_utf8_metadata.avi")) as video:
        assert video.frames(np.arange(25)).shape == (25, 72, 96, 3)


def test_cover_art_is_no_video(shared_data: Path) -> None:
    with pytest.raises(VideoError, match="no video"), PyAVReader().open(str(shared_data / "odd" / "cover_art.mp3")):
        pass


def test_largest_stream_is_read(shared_data: Path) -> None:
    with PyAVReader().open(str(shared_data / "odd" / "two_video_streams.mp4")) as video:
        assert (len(video.times), video.height, video.width) == (50, 72, 96)


def test_frames_of_another_size_are_scaled_to_the_first(shared_data: Path) -> None:
    path = shared_data / "odd" / "resolution_change.ts"
    with PyAVReader().open(str(path)) as video:
        frames = video.frames(np.arange(len(video.times)))
    assert frames.shape == (50, 72, 96, 3)
    with av.open(str(path)) as container:
        large = list(container.decode(video=0))[40]
    assert large.width == 128
    np.testing.assert_array_equal(frames[40], large.to_ndarray(width=96, height=72, format="rgb24"))


@pytest.mark.parametrize("name", ["header_claims_60000x60000.avi", "header_claims_16000x16000.mp4"])
def test_memory_is_not_taken_by_what_a_header_claims(shared_data: Path, name: str) -> None:
    code = (
        "import resource, sys, numpy; from vssl.video.decoding.decode import PyAVReader\n"
        "resource.setrlimit(resource.RLIMIT_AS, (3 * 2**29, 3 * 2**29))\n"
        "with PyAVReader().open(sys.argv[1]) as video: print(video.frames(numpy.arange(50)).shape)"
    )
    path = shared_data / "odd" / name
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60)
    assert done.stdout == "(50, 72, 96, 3)\n", done.stderr


@pytest.mark.parametrize("gop", [1, 12, 250])
def test_each_frame_is_the_one_asked_for(tmp_path: Path, make_video: MakeVideo, gop: int) -> None:
    path = make_video(tmp_path / "a.mp4", frames=60, gop=gop)
    with PyAVReader().open(str(path)) as video:
        np.testing.assert_allclose(video.times, np.arange(60) / 25, atol=1e-9)
        for indices in (np.array([59]), np.array([0, 1, 30, 59]), np.arange(7, 60, 13)):
            levels = video.frames(indices).mean(axis=(1, 2, 3))
            np.testing.assert_allclose(levels, [grey_level(i) for i in indices.tolist()], atol=2)


def test_segment_is_half_open_and_by_the_files_clock(tmp_path: Path, make_video: MakeVideo) -> None:
    path = make_video(tmp_path / "a.mp4", frames=60, gop=12)
    with PyAVReader().open(str(path), 1.04, 1.2) as video:
        np.testing.assert_allclose(video.times, [1.04, 1.08, 1.12, 1.16], atol=1e-9)
        levels = video.frames(np.array([0, 3])).mean(axis=(1, 2, 3))
        np.testing.assert_allclose(levels, [grey_level(26), grey_level(29)], atol=2)
    with PyAVReader().open(str(path), end_s=0.08) as video:
        assert len(video.times) == 2
    reason = r"no frame is shown in \[3, 4\) s; the frames run from 0 to 2.36 s"
    with pytest.raises(VideoError, match=reason) as error, PyAVReader().open(str(path), 3, 4):
        pass
    assert error.value.verdict == "empty"


def test_rotation_makes_frames_upright(tmp_path: Path) -> None:
    path = tmp_path / "turned.mp4"
    stored = np.zeros((48, 64, 3), dtype=np.uint8)
    stored[:, 32:] = 200  # bright on the right; a quarter turn counter-clockwise brings it to the top
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_rotation(90)
        for _ in range(4):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(stored, format="rgb24")))
        container.mux(stream.encode())
    with PyAVReader().open(str(path)) as video:
        assert (video.height, video.width) == (64, 48)
        frame = video.frames(np.array([2]))[0]
    assert frame.shape == (64, 48, 3)
    assert frame[:30].mean() > 190
    assert frame[34:].mean() < 10


def test_seeking_spares_the_frames_before_the_keyframe(tmp_path: Path, make_video: MakeVideo) -> None:
    at_most_20_frames = PyAVReader(Limits(decoded_pixels=20 * 48 * 64))
    short, long = (make_video(tmp_path / f"{gop}.mp4", frames=120, gop=gop) for gop in (12, 250))
    with at_most_20_frames.open(str(short)) as video:
        assert len(video.frames(np.array([5, 60, 118]))) == 3
    with at_most_20_frames.open(str(long)) as video:
        assert len(video.frames(np.array([5]))) == 1
        with pytest.raises(VideoError, match="more than 20 frames must be decoded") as error:
            video.frames(np.array([118]))
    assert error.value.verdict == "too_slow"


def write_noise(path: Path, options: dict[str, str]) -> None:
    """32 frames that move, so that the encoder makes B-frames that lean on their neighbours."""
    numbers = np.random.default_rng(0)
    wall = np.kron(numbers.integers(0, 255, (16, 32, 3), dtype=np.uint8), np.ones((8, 8, 1), dtype=np.uint8))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "20", "g": "32", "bf": "3", **options})
        stream.width, stream.height, stream.pix_fmt = 96, 96, "yuv420p"
        for shift in range(32):
            frame = np.ascontiguousarray(wall[shift // 2 : shift // 2 + 96, 3 * shift : 3 * shift + 96])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


@pytest.mark.parametrize(("flags", "passes_over"), [({}, True), ({"flags": "+ildct+ilme", "x264opts": "tff=1"}, False)])
def test_frames_that_nothing_leans_on_are_passed_over_unless_interlaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: dict[str, str], passes_over: bool
) -> None:
    path, decoded = tmp_path / "b.mp4", list[int]()
    write_noise(path, flags)
    packets = decode._PyAVVideo._decode_packets
    monkeypatch.setattr(
        decode._PyAVVideo,
        "_decode_packets",
        lambda *given: (decoded.append(len(frames)) or frames for frames in packets(*given)),
    )
    expected, wanted = sequential(path), np.array([0, 9, 18, 31])
    with PyAVReader().open(str(path)) as video:
        np.testing.assert_array_equal(video.frames(wanted), expected[wanted])
    assert (sum(decoded) < 25) == passes_over, decoded


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(pixels=3000), "frames of 64 x 48 pixels are above the limit of 3000 pixels"),
        (Limits(frames=23), "more than 23 frames"),
        (Limits(output_bytes=24 * 48 * 64 * 3 - 1), "24 frames of 64 x 48 pixels are 221184 bytes"),
    ],
)
def test_limits_are_kept(tmp_path: Path, make_video: MakeVideo, limits: Limits, reason: str) -> None:
    path = make_video(tmp_path / "a.mp4", frames=24)
    with pytest.raises(VideoError, match=reason) as error, PyAVReader(limits).open(str(path)) as video:
        video.frames(np.arange(24))
    assert error.value.verdict == "too_large"


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")  # opening it would block for ever
    for name, reason in (("pipe.mp4", "no regular file"), (".", "no regular file"), ("absent.mp4", "No such file")):
        with pytest.raises(VideoError, match=reason) as error, PyAVReader().open(str(tmp_path / name)):
            pass
        assert error.value.verdict == "unreadable"


def test_errors_of_the_reading_code_pass_through(tmp_path: Path, make_video: MakeVideo) -> None:
    path = make_video(tmp_path / "a.mp4")
    with pytest.raises(ValueError, match="mine"), PyAVReader().open(str(path)):
        raise ValueError("mine")


def test_reader_and_error_can_be_sent_to_another_process() -> None:
    reader = PyAVReader(Limits(pixels=1000))
    assert pickle.loads(pickle.dumps(reader)) == reader
    error = pickle.loads(pickle.dumps(VideoError("a.mp4", "damaged", "cut off")))
    assert (error.path, error.verdict, error.reason) == ("a.mp4", "damaged", "cut off")
    assert str(error) == "a.mp4: damaged: cut off"


@pytest.mark.parametrize("seed", range(3))
def test_overwritten_bytes_never_raise_anything_else(tmp_path: Path, make_video: MakeVideo, seed: int) -> None:
    rng = np.random.default_rng(seed)
    content = np.frombuffer(make_video(tmp_path / "a.mp4", frames=30, gop=6).read_bytes(), dtype=np.uint8)
    path = tmp_path / "b.mp4"
    for _ in range(60):
        changed = content.copy()
        where = rng.integers(0, len(content), rng.choice([1, 4, 40]))
        changed[where] = rng.integers(0, 256, len(where))
        path.write_bytes(changed[: rng.integers(1, len(content) + 1) if rng.random() < 0.3 else None].tobytes())
        with suppress(VideoError), PyAVReader().open(str(path)) as video:
            assert video.frames(np.array([len(video.times) - 1])).shape[3] == 3
