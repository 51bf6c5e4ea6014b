"""A fast copy has the original's frames at the original's times, upright and small; or it is not there."""

import csv
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import grey_level
from vssl.config.errors import WorkError
from vssl.video.decoding.decode import PyAVReader
from vssl.video.decoding.errors import VideoError
from vssl.video.upkeep.fast_copy import CopySettings, copy

MakeVideo = Callable[..., Path]
READER = PyAVReader()


def write(
    path: Path, pts: Iterable[int], base: Fraction, size: tuple[int, int] = (48, 64), codec: str = "ffv1"
) -> Path:
    """Frame i is grey at `grey_level(i)`, brighter in the upper left quarter, shown at `pts[i] * base` seconds."""
    height, width = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p" if codec != "ffv1" else "yuv444p"
        stream.codec_context.time_base = stream.time_base = base
        for number, when in enumerate(pts):
            image = np.full((height, width, 3), grey_level(number), dtype=np.uint8)
            image[: height // 2, : width // 2] += 30
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = when, base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def levels(path: Path) -> list[float]:
    with READER.open(str(path)) as video:
        return video.frames(np.arange(len(video.times)))[:, -8:, -8:].mean(axis=(1, 2, 3)).tolist()


def times(path: Path, *bounds: float) -> list[float]:
    with READER.open(str(path), *bounds) as video:
        return video.times.tolist()


@given(
    steps=st.lists(st.integers(1, 5000), min_size=0, max_size=20),
    first=st.integers(0, 10**7),
    gop=st.integers(1, 12),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_times_are_exact_whatever_they_are(tmp_path: Path, steps: list[int], first: int, gop: int) -> None:
    pts = np.cumsum([first, *steps]).tolist()
    source = write(tmp_path / "a.mkv", pts, Fraction(1, 1000))
    made = copy(str(source), tmp_path / "b.mp4", CopySettings(gop=gop))
    assert times(tmp_path / "b.mp4") == times(source) == [one / 1000 for one in pts]
    assert made.frames == len(pts)
    expected = [grey_level(number) for number in range(len(pts))]
    assert np.abs(np.array(levels(tmp_path / "b.mp4")) - expected).max() < 4  # each picture at its own time


@pytest.mark.parametrize("base", [Fraction(1, 90000), Fraction(1001, 30000), Fraction(1, 24), Fraction(1, 1_000_000)])
def test_time_bases_of_all_kinds(tmp_path: Path, base: Fraction) -> None:
    source = write(tmp_path / "a.nut", list(range(5, 50, 3)), base)
    copy(str(source), tmp_path / "b.mp4")
    assert times(tmp_path / "b.mp4") == times(source)
    assert times(source)[0] == pytest.approx(float(5 * base), abs=0)


def test_a_keyframe_every_gop_frames_and_nothing_else_beside(tmp_path: Path, make_video: MakeVideo) -> None:
    source = make_video(tmp_path / "a.mp4", frames=50, gop=50)
    copy(str(source), tmp_path / "b.mp4", CopySettings(gop=8))
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert len(container.streams) == 1
        packets = [packet for packet in container.demux(video=0) if packet.size]
    assert [number for number, packet in enumerate(packets) if packet.is_keyframe] == list(range(0, 50, 8))


@pytest.mark.parametrize(
    ("size", "short_side", "expected"),
    [
        ((240, 320), 128, (128, 170)),
        ((320, 240), 128, (170, 128)),
        ((128, 128), 128, (128, 128)),
        ((100, 60), 128, (100, 60)),  # never enlarged
        ((17, 33), 128, (16, 32)),
        ((33, 17), 16, (32, 16)),
        ((1, 1), 128, (2, 2)),  # 4:2:0 has no smaller one
        ((1080, 1920), 112, (112, 200)),
        ((129, 500), 128, (128, 496)),
    ],
)
def test_sizes(size: tuple[int, int], short_side: int, expected: tuple[int, int]) -> None:
    assert CopySettings(short_side=short_side).size(*size) == expected


@given(st.integers(2, 5000), st.integers(2, 5000), st.integers(8, 500))
def test_sizes_are_even_and_keep_their_shape(height: int, width: int, half: int) -> None:
    new = CopySettings(short_side=2 * half).size(height, width)
    assert all(side % 2 == 0 and 2 <= side <= old for side, old in zip(new, (height, width), strict=True))
    assert min(new) == min(2 * half, min(height, width) - min(height, width) % 2)
    share = min(1.0, 2 * half / min(height, width))
    assert all(abs(side - share * old) <= 2 for side, old in zip(new, (height, width), strict=True))


def test_odd_sizes(tmp_path: Path) -> None:
    source = write(tmp_path / "a.mkv", range(0, 400, 40), Fraction(1, 1000), size=(33, 51))
    made = copy(str(source), tmp_path / "b.mp4")
    assert (made.height, made.width) == (32, 50)
    with READER.open(str(tmp_path / "b.mp4")) as video:
        assert video.frames(np.array([0])).shape == (1, 32, 50, 3)


def test_rotation_is_applied(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "odd" / "rotate_90_tag.mp4"
    made = copy(str(source), tmp_path / "b.mp4", CopySettings(short_side=36))
    assert (made.height, made.width) == (48, 36)  # 96 x 72 as stored
    with READER.open(str(source)) as before, READER.open(str(tmp_path / "b.mp4")) as after:
        one, other = before.frames(np.array([25]))[0], after.frames(np.array([25]))[0]
    small = one.reshape(48, 2, 36, 2, 3).mean(axis=(1, 3))
    assert np.abs(small - other).mean() < 8 < 16 < np.abs(small[::-1, ::-1] - other).mean()
    assert made.psnr_db > 30


def test_a_segment_keeps_its_clock_and_its_pictures(tmp_path: Path, make_video: MakeVideo) -> None:
    source = make_video(tmp_path / "a.mp4", frames=100, gop=30)
    made = copy(str(source), tmp_path / "b.mp4", start_s=1.6, end_s=2.4)
    assert made.frames == 20
    assert times(tmp_path / "b.mp4") == times(source, 1.6, 2.4) == times(tmp_path / "b.mp4", 1.6, 2.4)
    assert times(tmp_path / "b.mp4")[0] == 1.6
    assert np.abs(np.array(levels(tmp_path / "b.mp4")) - [grey_level(n) for n in range(40, 60)]).max() < 4


def test_quality_is_told_and_grows(shared_data: Path, tmp_path: Path) -> None:
    source = str(shared_data / "clips" / "bikes_g250.mp4")
    coarse, fine = (copy(source, tmp_path / "b.mp4", CopySettings(crf=crf), 0, 2) for crf in (40, 10))
    assert coarse.psnr_db < 30 < 38 < fine.psnr_db
    assert coarse.size < fine.size == (tmp_path / "b.mp4").stat().st_size


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("corrupted_packets_mid.mp4", "frame 20 at 0.8 s cannot be decoded"),
        ("truncated_mid_moov_first.mp4", "the file breaks off"),
        ("audio_only.mp4", "no stream of this file is a video"),
        ("empty.mp4", "0 bytes"),
        ("pts_wraps_mid_file.ts", "an mp4 cannot hold its frames as they are"),
    ],
)
def test_what_cannot_be_copied_in_full_is_not_copied(shared_data: Path, tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "b.mp4").write_text("former")
    with pytest.raises(VideoError, match=reason):
        copy(str(shared_data / "odd" / name), tmp_path / "b.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["b.mp4"]
    assert (tmp_path / "b.mp4").read_text() == "former"


def test_every_readable_odd_file(shared_data: Path, tmp_path: Path) -> None:
    with (shared_data / "odd" / "expected.csv").open(encoding="utf-8", newline="") as file:
        names = [row["file"] for row in csv.DictReader(file) if row["verdict"] == "ok"]
    assert len(names) == 42
    for name in names:
        if name in ("pts_wraps_mid_file.ts", "cover_art.mp3"):  # 26 hours between two frames; no video
            continue
        source = shared_data / "odd" / name
        made = copy(str(source), tmp_path / "b.mp4")
        assert times(tmp_path / "b.mp4") == times(source), name
        assert made.psnr_db > 22, name  # saturated test pictures lose most, to 4:2:0


def test_damage_behind_the_span_does_no_harm(shared_data: Path, tmp_path: Path) -> None:
    source = str(shared_data / "odd" / "truncated_mid_moov_first.mp4")
    assert copy(source, tmp_path / "b.mp4", end_s=0.5).frames == len(times(tmp_path / "b.mp4")) == 13


def test_a_span_without_frames(tmp_path: Path, make_video: MakeVideo) -> None:
    with pytest.raises(VideoError, match=r"no frame is shown in \[9, 10\) s; the frames run from 0 to 0.92 s"):
        copy(str(make_video(tmp_path / "a.mp4")), tmp_path / "b.mp4", start_s=9, end_s=10)


def test_a_refused_write_is_no_fault_of_the_video(tmp_path: Path, make_video: MakeVideo) -> None:
    with pytest.raises(WorkError, match="cannot write .*absent/b.mp4: No such file"):
        copy(str(make_video(tmp_path / "a.mp4")), tmp_path / "absent" / "b.mp4")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"short_side": 127}, "short_side is 127, allowed are even numbers"),
        ({"short_side": 8}, "short_side is 8, allowed is at least 16"),
        ({"gop": 0}, "gop is 0"),
        ({"crf": 52.0}, "crf is 52.0, allowed is 0 to 51"),
    ],
)
def test_wrong_settings(wrong: dict[str, int], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        CopySettings(**wrong)
