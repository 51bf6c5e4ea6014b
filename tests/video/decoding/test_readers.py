"""Optional decoders: the frames of an index are PyAV's, or a typed error says so; what is not installed is told."""

import csv
import importlib
import json
import pickle
from collections.abc import Callable
from fractions import Fraction
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from datamodules.video_list import VideoList
from tests.conftest import MakeVideo
from vssl.cli import diagnosis
from vssl.config.bind import bind
from vssl.config.compose import compose
from vssl.config.errors import ConfigError
from vssl.records.record import read_record
from vssl.training.run import pretrain
from vssl.video.decoding import libraries
from vssl.video.decoding.addresses import Span
from vssl.video.decoding.decode import Limits, PyAVReader, Reader, Video, VideoError
from vssl.video.decoding.decord_reader import DecordReader
from vssl.video.decoding.foreign import ForeignVideo
from vssl.video.decoding.frame_index import FrameIndex, IndexedFile
from vssl.video.decoding.libraries import LIBRARIES, trouble_with
from vssl.video.decoding.readers import reader_of
from vssl.video.decoding.torchcodec_reader import TorchcodecReader, mapping

# Largest and mean absolute difference to PyAV's frames, in steps of 0..255. All of it is rounding in the conversion to
# RGB; docs/data.md states these numbers.
EQUAL = (2, 0.01)  # 8 bits, even sides
CLOSE = (18, 2.5)  # 10 bits, or sides that are not even: colour is interpolated in another way
UNEVEN = {"hevc_main10.mkv", "odd_33x17.webm"}

# What each refuses of the odd files that PyAV reads to the end; more or fewer would be news.
REFUSED = {
    "torchcodec": {
        "edit_list_copy_cut.mp4", "image_named.mp4", "interlaced_tff.ts", "mpeg4_packed_bf.avi",
        "non_monotonic_pts.mkv", "pts_wraps_mid_file.ts", "raw_annexb.h264", "resolution_change.ts",
        "tc_discard_first_keyframe.mp4",
    },
    "decord": {
        "animated.gif", "bframes_open_gop.mp4", "decord_video_90.mov", "edit_list_copy_cut.mp4", "image_named.mp4",
        "interlaced_tff.ts", "mpeg4_packed_bf.avi", "non_monotonic_pts.mkv", "one_by_one.mkv", "pts_wraps_mid_file.ts",
        "raw_annexb.h264", "resolution_change.ts", "rotate_90_tag.mp4", "tc_av1_video.mkv",
        "tc_discard_first_keyframe.mp4",
    },
}  # fmt: skip


@pytest.fixture(params=LIBRARIES)
def decoder(request: pytest.FixtureRequest) -> str:
    """The name of each optional decoder that is installed; the others are skipped."""
    if trouble := trouble_with(request.param):
        pytest.skip(f"{trouble[0]}: {trouble[1]}")
    return request.param


@pytest.fixture
def reader(decoder: str) -> Reader:
    return reader_of(decoder, Limits(), 25.0)


def write_coloured(
    path: Path, options: dict[str, str], pts: list[int], turned: int = 0, colours: str | None = None,
    codec: str = "libx264", pixels: str = "yuv420p",
) -> Path:  # fmt: skip
    """Frames of sloping colours that tell which one each is; `pts` in thousandths of a second."""
    rows, columns = np.mgrid[0:48, 0:64]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"crf": "18", **options})
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        if colours:
            stream.codec_context.colorspace = {"bt709": 1, "bt601": 6}[colours]
            stream.codec_context.color_range = 1
        if turned:
            stream.set_display_rotation(turned)
        for number, time in enumerate(pts):
            image = np.stack([4 * columns % 256, 5 * rows % 256, np.full_like(rows, 16 + 7 * number % 208)], axis=-1)
            frame = av.VideoFrame.from_ndarray(image.astype(np.uint8), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


STEADY = [40 * i for i in range(40)]
JITTER = np.random.default_rng(0).integers(11, 300, 40).cumsum().tolist()
MADE: dict[str, Callable[[Path], Path]] = {
    "b_frames": lambda at: write_coloured(at / "a.mp4", {"g": "12", "bf": "3"}, STEADY),
    "open_gop": lambda at: write_coloured(
        at / "a.mp4", {"g": "8", "bf": "3", "x264-params": "open-gop=1:keyint=8:min-keyint=8:scenecut=0"}, STEADY
    ),
    "one_keyframe": lambda at: write_coloured(at / "a.mp4", {"g": "250", "sc_threshold": "0"}, STEADY),
    "every_frame_a_keyframe": lambda at: write_coloured(at / "a.mkv", {"g": "1"}, STEADY),
    "variable_rate": lambda at: write_coloured(at / "a.mp4", {"g": "12", "bf": "2"}, JITTER),
    "first_pts_far_from_zero": lambda at: write_coloured(at / "a.mkv", {"g": "12"}, [3_600_000 + t for t in STEADY]),
    "bt709": lambda at: write_coloured(at / "a.mp4", {"g": "12"}, STEADY, colours="bt709"),
    "bt601": lambda at: write_coloured(at / "a.mp4", {"g": "12"}, STEADY, colours="bt601"),
    "mpeg4_in_avi": lambda at: write_coloured(at / "a.avi", {"g": "12"}, STEADY, codec="mpeg4"),
    "yuv444": lambda at: write_coloured(at / "a.mp4", {"g": "12"}, STEADY, pixels="yuv444p"),
}


def sets(frames: int, seed: int, count: int = 12) -> list[NDArray[np.int64]]:
    """Index sets as views draw them: single frames, runs, and frames far apart, forwards and backwards in the file."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, min(frames, 16) + 1, count)
    return [np.sort(rng.choice(frames, size, replace=False)) for size in sizes]


def assert_near(found: NDArray[np.uint8], expected: NDArray[np.uint8], within: tuple[int, float], where: str) -> None:
    assert found.shape == expected.shape, where
    difference = np.abs(found.astype(int) - expected)
    assert difference.max() <= within[0] and difference.mean() <= within[1], (where, difference.max())


def assert_same_frames(reader: Reader, path: Path, within: tuple[int, float] = EQUAL, count: int = 12) -> None:
    with PyAVReader().open(str(path)) as ours, reader.open(str(path)) as theirs:
        np.testing.assert_array_equal(theirs.times, ours.times)
        assert (theirs.height, theirs.width) == (ours.height, ours.width)
        for indices in sets(len(ours.times), 0, count):
            assert_near(theirs.frames(indices), ours.frames(indices), within, f"{path.name} {indices}")


@pytest.mark.parametrize("kind", MADE)
def test_made_files_give_pyavs_frames(decoder: str, reader: Reader, tmp_path: Path, kind: str) -> None:
    if (decoder, kind) != ("decord", "open_gop"):  # which is refused, see below
        assert_same_frames(reader, MADE[kind](tmp_path))


def test_ordinary_clips_give_pyavs_frames(reader: Reader, shared_data: Path) -> None:
    clips = sorted((shared_data / "clips").glob("*.mp4"))
    assert len(clips) == 16
    for path in clips:
        assert_same_frames(reader, path, count=2)


@pytest.mark.parametrize("turned", [90, 180, 270])
def test_frames_come_out_upright(decoder: str, reader: Reader, tmp_path: Path, turned: int) -> None:
    path = write_coloured(tmp_path / "a.mp4", {"g": "12"}, STEADY, turned=turned)
    if decoder != "decord":  # which is refused, see below
        assert_same_frames(reader, path)


def verdicts(reader: Reader, path: Path, seed: int) -> tuple[list[str], int]:
    """What PyAV's reader and this one say of index sets of a file, and how many agree in frames."""
    told, agreed = [], 0
    try:
        with PyAVReader().open(str(path)) as ours, reader.open(str(path)) as theirs:
            np.testing.assert_array_equal(theirs.times, ours.times)
            for indices in sets(len(ours.times), seed, count=6):
                try:
                    found = theirs.frames(indices)
                except VideoError as error:
                    told.append(str(error))
                    continue
                assert_near(found, _wanted(ours, indices), CLOSE if path.name in UNEVEN else EQUAL, f"{path} {indices}")
                agreed += 1
    except VideoError as error:
        told.append(str(error))
    return told, agreed


def _wanted(video: Video, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
    """PyAV's frames, which it has to give where another gives some."""
    try:
        return video.frames(indices)
    except VideoError as error:
        raise AssertionError(f"only PyAV refuses {indices}: {error}") from error


def test_odd_files_give_pyavs_frames_or_a_typed_error(decoder: str, reader: Reader, shared_data: Path) -> None:
    with (shared_data / "odd" / "expected.csv").open(encoding="utf-8", newline="") as lines:
        expected = {row["file"]: row["verdict"] for row in csv.DictReader(lines)}
    refused = set()
    for name, verdict in expected.items():
        told, agreed = verdicts(reader, shared_data / "odd" / name, seed=1)
        if verdict == "ok" and told and name != "cover_art.mp3":
            refused.add(name)
        if verdict.startswith("fails") and name != "non_utf8_metadata.avi":
            assert len(told) == 1 and not agreed, (name, told)
        assert all("\n" not in one and "/github" not in one and "/__w/" not in one for one in told), told
    assert refused == REFUSED[decoder]


def test_what_cannot_be_opened_has_pyavs_verdict(reader: Reader, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "nothing.mp4").touch()
    for name in ("text.mp4", "nothing.mp4", "absent.mp4", "."):
        found = []
        for one in (PyAVReader(), reader):
            with pytest.raises(VideoError) as error, one.open(str(tmp_path / name)):
                pass
            found.append(str(error.value))
        assert found[0] == found[1]


def test_segments_are_those_of_pyav(reader: Reader, tmp_path: Path) -> None:
    path = str(MADE["variable_rate"](tmp_path))
    with PyAVReader().open(path) as whole:
        start_s, end_s = whole.times[7], whole.times[31]
        expected = whole.frames(np.array([7, 12, 30])).copy()
    with reader.open(path, start_s, end_s) as part:
        assert len(part.times) == 24 and part.times[0] == start_s
        assert_near(part.frames(np.array([0, 5, 23])), expected, EQUAL, "segment")
    with pytest.raises(VideoError, match="empty: no frame is shown in"), reader.open(path, 1e6, 2e6):
        pass


def test_part_of_an_archive(reader: Reader, tmp_path: Path) -> None:
    path = MADE["b_frames"](tmp_path)
    content = path.read_bytes()
    archive = tmp_path / "shard.tar"
    archive.write_bytes(b"x" * 1000 + content + b"y" * 1000)
    address = Span(str(archive), 1000, 1000 + len(content), "member a.mp4").address
    indices = np.array([3, 17, 39])
    with PyAVReader().open(str(path)) as ours, reader.open(address) as theirs:
        assert_near(theirs.frames(indices), ours.frames(indices), EQUAL, "member")


def test_limits_hold(decoder: str, tmp_path: Path) -> None:
    path = str(MADE["one_keyframe"](tmp_path))
    for limits, indices, told in (
        (Limits(output_bytes=2 * 48 * 64 * 3), [0, 1, 2], "too large: 3 frames of 64 x 48 pixels"),
        (Limits(decoded_pixels=10 * 48 * 64), [30], "too slow: more than 10 frames must be decoded"),
        (Limits(frames=10), [0], "too large: more than 10 frames"),
        (Limits(pixels=1000), [0], "too large: frames of 64 x 48"),
    ):
        with pytest.raises(VideoError, match=told), reader_of(decoder, limits, 25.0).open(path) as video:
            video.frames(np.array(indices))
        assert pickle.loads(pickle.dumps(reader_of(decoder, limits, 25.0))) == reader_of(decoder, limits, 25.0)


def test_a_training_reads_through_it(decoder: str, tiny: list[str], tmp_path: Path, make_video: MakeVideo) -> None:
    for number in range(20):
        make_video(tmp_path / "clips" / ("wave" if number % 2 else "nod") / f"{number:02}.mp4", frames=24)
    digests = {}
    for name in (decoder, "pyav"):
        words = [*tiny, "method=simsiam", "data=video_list", f"data.root={tmp_path / 'clips'}", f"data.decoder={name}"]
        composed = compose([*words, "run.workers=1"])
        record = read_record(pretrain(composed, bind(composed.tree)))
        assert record["environment"]["decoder"] == name and not record["clips"].get("replaced")
        digests[name] = [position["digest"] for position in record["clips"]["positions"]]
    assert digests[decoder] == digests["pyav"]


# Without any optional library: what stands between one and the rest.


def refusal(reader: Reader, path: Path) -> str:
    with pytest.raises(VideoError) as error:
        reader.open(str(path)).__enter__()
    assert error.value.verdict == "unreadable"
    return error.value.reason


def test_what_decord_gets_wrong_is_refused_without_asking_it(tmp_path: Path) -> None:
    reader, told = DecordReader(), "decord cannot be relied on for it: {}; data.decoder=pyav reads it"
    assert refusal(reader, MADE["open_gop"](tmp_path)) == told.format("its groups of pictures are open")
    for turned in (90, 180, 270):
        path = write_coloured(tmp_path / "turned.mp4", {}, STEADY, turned=turned)
        assert refusal(reader, path) == told.format("its frames are to be turned")
    assert refusal(reader, write_coloured(tmp_path / "a.ts", {}, STEADY)) == told.format("the file is of kind 'mpegts'")
    for kind in ("b_frames", "one_keyframe", "variable_rate", "mpeg4_in_avi"):
        with reader.open(str(MADE[kind](tmp_path))) as video:
            assert len(video.times) == 40


@pytest.mark.parametrize("reader", [TorchcodecReader(), DecordReader()])
def test_frames_that_nobody_can_be_asked_for_are_refused(reader: Reader, shared_data: Path) -> None:
    told = refusal(reader, shared_data / "odd" / "raw_annexb.h264")
    assert told.startswith("its timestamps do not identify frames")
    assert "an edit list hides 13 of its frames" in refusal(reader, shared_data / "odd" / "edit_list_copy_cut.mp4")


def test_torchcodec_is_given_our_index(tmp_path: Path) -> None:
    path = MADE["open_gop"](tmp_path)
    index = PyAVReader().index(str(path)).index
    frames = json.loads(mapping(index))["frames"]
    with av.open(str(path)) as container:
        packets = sorted((one.pts, int(one.is_keyframe)) for one in container.demux(video=0) if one.pts is not None)
    assert [(one["pts"], one["key_frame"]) for one in frames] == packets
    assert all(one["pts"] + one["duration"] == other["pts"] for one, other in pairwise(frames))


class Fake:
    """A library that gives grey frames: level and time are the frame's number."""

    def __init__(self, shift: int = 0, size: tuple[int, int] = (4, 6)) -> None:
        self.shift, self.size, self.opened = shift, size, 0
        self.failing: BaseException | None = None

    def open(self) -> Callable[[NDArray[np.int64]], tuple[NDArray[np.uint8], NDArray[np.float64]]]:
        self.opened += 1
        return self.read

    def read(self, places: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        if self.failing is not None:
            raise self.failing
        given = places + self.shift
        return np.broadcast_to(given[:, None, None, None], (len(given), *self.size, 3)).astype(np.uint8), given / 25


def foreign(fake: Fake, first: int = 0, limits: Limits | None = None) -> ForeignVideo:
    count = np.arange(20)
    index = FrameIndex(count / 25, count, count, count // 10 * 10, count, count, counted=False)
    file = IndexedFile(index, 0, "mp4", 4, 6)
    return ForeignVideo("a.mp4", file, count >= first, limits or Limits(), "fakecodec", fake.open)


def test_frames_of_a_segment_are_asked_for_by_their_places_in_the_file() -> None:
    fake = Fake()
    video = foreign(fake, first=7)
    assert video.times[0] == 7 / 25 and (video.height, video.width) == (4, 6)
    assert video.frames(np.array([0, 3, 12]))[:, 0, 0, 0].tolist() == [7, 10, 19]
    assert video.frames(np.array([], dtype=np.int64)).shape == (0, 4, 6, 3)
    assert fake.opened == 1
    assert foreign(Fake(size=(6, 4))).height == 6  # turned upright


@pytest.mark.parametrize("shift", [1, -1, 5])
def test_other_frames_than_those_asked_for_are_found_out(shift: int) -> None:
    told = f"fakecodec does not find its frames: for frame 6 at 0.24 s it gives one at {(6 + shift) / 25:g} s"
    with pytest.raises(VideoError, match=told) as error:
        foreign(Fake(shift)).frames(np.array([6, 8]))
    assert error.value.verdict == "damaged"
    with pytest.raises(VideoError, match="it gives frames of 5 x 4 pixels instead of 6 x 4"):
        foreign(Fake(size=(4, 5))).frames(np.array([0]))


@pytest.mark.parametrize(
    ("raised", "verdict", "told"),
    [
        (RuntimeError("decode, /__w/a/b.cpp:12, Could not push: Invalid data\nstack"), "damaged", "Could not push"),
        (IndexError("out of range"), "damaged", "fakecodec: out of range"),
        (AssertionError(), "damaged", "fakecodec: AssertionError"),
        (MemoryError(), "too_large", "MemoryError"),
    ],
)
def test_whatever_a_library_raises_is_typed_and_it_opens_the_file_anew(
    raised: BaseException, verdict: str, told: str
) -> None:
    fake = Fake()
    video = foreign(fake)
    fake.failing = raised
    with pytest.raises(VideoError, match=rf"frame 3 at 0.12 s, or one .*{told}") as error:
        video.frames(np.array([3]))
    assert error.value.verdict == verdict and "stack" not in str(error.value) and "b.cpp" not in str(error.value)
    fake.failing = None
    assert video.frames(np.array([3]))[0, 0, 0, 0] == 3
    assert fake.opened == 2
    fake.failing = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        video.frames(np.array([3]))


def absent(name: str) -> str:
    raise metadata.PackageNotFoundError(name)


@pytest.mark.parametrize("name", LIBRARIES)
def test_what_is_not_installed_is_told_before_data_are_touched(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries.metadata, "version", absent)
    with pytest.raises(ConfigError, match=rf"data.decoder={name}: {name} is not installed\n.*'vssl\[{name}\]'"):
        VideoList("/nowhere", decoder=name)  # type: ignore[arg-type]
    assert isinstance(reader_of("pyav", Limits(), 25.0), PyAVReader)


def test_doctor_tells_which_decoders_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries.metadata, "version", absent)
    found = {finding.name: finding for finding in diagnosis._decoders()}
    assert list(found) == ["pyav", "prepared", "frames", "torchcodec", "decord"]
    assert found["decord"].verdict == "optional" and found["decord"].advice == "pip install 'vssl[decord]'"
    monkeypatch.setattr(libraries.metadata, "version", lambda name: "0.13.0")
    monkeypatch.setattr(importlib, "import_module", lambda name: None)
    assert [finding.verdict for finding in diagnosis._decoders()] == ["ok"] * 5


@pytest.mark.parametrize(
    ("version", "raised", "told"),
    [
        ("0.11.1", None, r"torchcodec 0.11.1 is older than 0.12\n.*pip install 'vssl\[torchcodec\]'"),
        (
            "0.13.0",
            RuntimeError("Could not load libtorchcodec.\nOSError: libavutil.so.57: cannot open shared object file"),
            r"does not load: it brings no FFmpeg and finds none\n.*apt install ffmpeg",
        ),
        (
            "0.13.0",
            RuntimeError("Could not load.\nlibavutil.so.57: cannot open\ncore5.so: undefined symbol: _ZN3c10"),
            "was built for another version of torch\n",
        ),
        ("0.13.0", ImportError("something else\nlong"), "torchcodec 0.13.0 does not load: something else\n"),
    ],
)
def test_what_is_installed_and_does_not_load_is_told(
    version: str, raised: Exception | None, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(name: str) -> Any:
        assert raised is not None
        raise raised

    monkeypatch.setattr(libraries.metadata, "version", lambda name: version)
    monkeypatch.setattr(importlib, "import_module", load)
    with pytest.raises(ConfigError, match=told):
        reader_of("torchcodec", Limits(), 25.0)
