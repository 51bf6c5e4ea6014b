from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from vssl.config.errors import WorkError
from vssl.video.decoding.encode import write_video


def _drifting_waves(frames: int, height: int, width: int) -> NDArray[np.uint8]:
    """Smooth, so that half-resolution colour loses little, and different in every frame, row, column and channel."""
    t, y, x, c = np.meshgrid(*(np.arange(n) for n in (frames, height, width, 3)), indexing="ij")
    return np.rint(128 + 90 * np.sin(0.3 * t + 0.1 * y + 0.07 * x + 2.0 * c)).astype(np.uint8)


def _decode(path: Path) -> tuple[NDArray[np.uint8], list[av.VideoFrame]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return np.stack([frame.to_ndarray(format="rgb24") for frame in frames]), frames


def test_frames_come_back_in_order_upright_and_in_colour(tmp_path: Path) -> None:
    frames = _drifting_waves(30, 48, 64)
    write_video(tmp_path / "a.mp4", frames)
    decoded, _ = _decode(tmp_path / "a.mp4")
    assert decoded.shape == frames.shape
    errors = np.abs(decoded[:, None].astype(int) - frames[None, :16]).mean(axis=(2, 3, 4))  # [decoded, source], levels
    assert errors[:16].argmin(axis=1).tolist() == list(range(16))
    assert errors[range(16), range(16)].max() < 5


@pytest.mark.parametrize("fps", [25, 10, Fraction(30000, 1001)])
def test_times_follow_the_frame_rate(tmp_path: Path, fps: int | Fraction) -> None:
    write_video(tmp_path / "a.mp4", _drifting_waves(12, 32, 32), fps=fps)
    _, frames = _decode(tmp_path / "a.mp4")
    assert [frame.time for frame in frames] == pytest.approx([i / float(fps) for i in range(12)], abs=1e-4)


@pytest.mark.parametrize(("gop", "keyframes"), [(12, [0, 12, 24]), (1, list(range(30))), (250, [0])])
def test_keyframes_stand_where_gop_puts_them(tmp_path: Path, gop: int, keyframes: list[int]) -> None:
    write_video(tmp_path / "a.mp4", _drifting_waves(30, 32, 32), gop=gop)
    _, frames = _decode(tmp_path / "a.mp4")
    assert [i for i, frame in enumerate(frames) if frame.key_frame] == keyframes


def test_with_gop_1_a_frame_is_the_same_whatever_its_neighbours(tmp_path: Path) -> None:
    frames = _drifting_waves(24, 32, 32)
    frames[12:] //= 2
    write_video(tmp_path / "all.mp4", frames, gop=1)
    together, _ = _decode(tmp_path / "all.mp4")
    for index in (0, 11, 12, 23):
        write_video(tmp_path / "one.mp4", frames[index : index + 1], gop=1)
        alone, _ = _decode(tmp_path / "one.mp4")
        np.testing.assert_array_equal(alone[0], together[index])


def test_the_file_is_h264_and_the_same_frames_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, _drifting_waves(24, 32, 32))
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        assert container.streams.video[0].pix_fmt == "yuv420p"


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((4, 31, 32, 3), np.uint8), "even sides; got 31 x 32"),
        (np.zeros((4, 32, 33, 3), np.uint8), "even sides; got 32 x 33"),
        (np.zeros((0, 32, 32, 3), np.uint8), r"got uint8 \[0, 32, 32, 3\]"),
        (np.zeros((4, 3, 32, 32), np.uint8), r"got uint8 \[4, 3, 32, 32\]"),
        (np.zeros((4, 32, 32, 3), np.float32), "got float32"),
    ],
)
def test_other_frames_are_refused(tmp_path: Path, frames: NDArray[np.uint8], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_video(tmp_path / "a.mp4", frames)
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_fails_halfway_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"former")
    with pytest.raises(RuntimeError, match="torn"):
        write_video(path, _drifting_waves(30, 32, 32).view(_Torn))
    assert path.read_bytes() == b"former"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(WorkError, match=r"cannot write .*absent/a\.mp4: No such file"):
        write_video(tmp_path / "absent" / "a.mp4", _drifting_waves(4, 32, 32))


class _Torn(np.ndarray):
    """Frames that give out after the tenth."""

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        yield from (np.asarray(self[i]) for i in range(10))
        raise RuntimeError("torn")
