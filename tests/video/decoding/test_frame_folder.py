"""`data.decoder=frames`: folders of images are videos, whatever calls itself a data set lists them."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from datamodules.mmaction2 import MMAction2
from datamodules.ucf101 import UCF101
from datamodules.video_list import VideoList
from vssl.config.bind import bind
from vssl.config.compose import compose
from vssl.config.errors import UserError
from vssl.records.record import read_record
from vssl.training.run import pretrain
from vssl.video.decoding.decode import Limits, VideoError
from vssl.video.decoding.frame_folder import FrameFolderReader
from vssl.video.decoding.images import in_order

READER = FrameFolderReader(25.0)
Folder = Callable[..., Path]


def write_images(folder: Path, count: int = 5, name: str = "img_{:05}.png", first: int = 1) -> Path:
    """`count` images of 6 x 4 pixels; number i has level 10 i."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        Image.new("RGB", (6, 4), (10 * number,) * 3).save(folder / name.format(number))
    return folder


def levels(folder: Path, start_s: float = np.nan, end_s: float = np.nan) -> list[int]:
    """The numbers of the images that a segment has, in order."""
    with READER.open(str(folder), start_s, end_s) as video:
        frames = video.frames(np.arange(len(video.times)))
        assert frames.shape[1:] == (4, 6, 3) == (video.height, video.width, 3)
    return np.rint(frames[:, 0, 0, 0] / 10).astype(int).tolist()


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("img_{:05}.jpg", 1),
        ("image_{:05}.JPEG", 1),
        ("frame{:06}.png", 1),
        ("{}.bmp", 0),
        ("{:03}.webp", 7),
        ("v_clip_g01_c02_{}.jpg", 1),
        ("{:04}_rgb.png", 5),
    ],
)
def test_images_are_in_the_order_of_their_numbers(tmp_path: Path, name: str, first: int) -> None:
    folder = write_images(tmp_path / "a", 12, name, first)
    for other in (".hidden_00003.jpg", "list.txt", "flow_x_00001.jpg", "flow_y_00001.jpg"):
        (folder / other).write_bytes(b"no image")
    assert levels(folder) == list(range(first, first + 12))


def test_times_and_segments() -> None:
    """A part that is given by the numbers of its frames has exactly these, at any rate."""
    for fps in (25.0, 30.0, 29.97, 1 / 3):
        times = np.arange(1000) / fps
        for first, end in ((0, 1), (3, 7), (333, 1000), (999, 1000)):
            inside = ~(times < np.float64(first) / fps) & ~(times >= np.float64(end) / fps)
            assert np.flatnonzero(inside).tolist() == list(range(first, end))


def test_segments_of_a_folder(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "a", 10)
    assert levels(folder, 3 / 25, 7 / 25) == [4, 5, 6, 7]
    with FrameFolderReader(10.0).open(str(folder), 0.25) as video:
        assert video.times.tolist() == pytest.approx([0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
    with pytest.raises(VideoError, match=r"empty: no frame is shown in \[5, 6\) s; the frames run from 0 to 0.36 s"):
        levels(folder, 5.0, 6.0)
    assert pickle.loads(pickle.dumps(READER)) == READER


def test_jpegs_are_as_libjpeg_decodes_them_and_exif_turns_them_upright(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    stored = Image.fromarray(rng.integers(0, 255, (8, 10, 3), dtype=np.uint8)).resize((40, 32))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: shown a quarter turn clockwise
    stored.save(tmp_path / "img_1.jpg", exif=exif)
    expected = np.rot90(np.asarray(Image.open(tmp_path / "img_1.jpg")), -1)
    with READER.open(str(tmp_path)) as video:
        assert (video.height, video.width) == (40, 32)
        np.testing.assert_array_equal(video.frames(np.array([0]))[0], expected)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "LA"])
def test_other_kinds_of_pixels_become_rgb(tmp_path: Path, mode: str) -> None:
    suffix = "jpg" if mode == "CMYK" else "png"
    Image.new("RGB", (6, 4), (255, 255, 255)).convert(mode).save(tmp_path / f"1.{suffix}")
    with READER.open(str(tmp_path)) as video:
        assert (video.frames(np.array([0])) == 255).all()


def test_16_bits_are_refused_and_not_clipped(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 6), 40000, dtype=np.uint16)).save(tmp_path / "1.png")
    with pytest.raises(VideoError, match="damaged: 1.png has pixels of the kind 'I;16'"):
        levels(tmp_path)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["img_1.jpg", "img_3.jpg"], r"between img_1.jpg and img_3.jpg an image is missing \(1 in all\)"),
        (["a_1.png", "a_5.png", "a_9.png"], r"between a_1.png and a_5.png an image is missing \(6 in all\)"),
        (["img_1.jpg", "img_01.jpg"], "img_01.jpg and img_1.jpg have the same number"),
        (["img_1.jpg", "img_1.png"], "img_1.jpg and img_1.png have the same number"),
        (["img_1.jpg", "depth_1.jpg"], "depth_1.jpg and img_1.jpg belong to two series"),
        (["img_1.jpg", "cover.jpg"], "cover.jpg has no number"),
    ],
)
def test_numbers_that_do_not_tell_the_frames_are_refused(tmp_path: Path, names: list[str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        in_order(names)
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(VideoError, match=f"unreadable: {told}"):
        levels(tmp_path)


def test_natural_order() -> None:
    assert in_order([f"{i}.jpg" for i in (10, 9, 11, 8)]) == ["8.jpg", "9.jpg", "10.jpg", "11.jpg"]


def test_folders_that_are_no_video(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    for name, told in (
        ("a.mp4", "unreadable: this is no folder of images"),
        ("absent", "unreadable: the folder cannot be read: No such file"),
        ("empty", "empty: the folder holds no images"),
    ):
        with pytest.raises(VideoError, match=told):
            levels(tmp_path / name)


def test_an_image_of_another_size_or_broken_is_named(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "a", 5)
    Image.new("RGB", (6, 5)).save(folder / "img_00003.png")
    broken = (folder / "img_00005.png").read_bytes()
    (folder / "img_00005.png").write_bytes(broken[: len(broken) // 2])
    with READER.open(str(folder)) as video:
        assert len(video.frames(np.array([0, 1, 3]))) == 3
        with pytest.raises(VideoError, match="damaged: img_00003.png has 6 x 5 pixels, and img_00001.png has 6 x 4"):
            video.frames(np.array([1, 2]))
        with pytest.raises(VideoError, match="damaged: img_00005.png cannot be decoded"):
            video.frames(np.array([4]))


def test_limits_hold(tmp_path: Path) -> None:
    folder = str(write_images(tmp_path / "a", 5))
    for limits, told in (
        (Limits(pixels=20), "too large: img_00001.png has 6 x 4 pixels, above the limit of 20"),
        (Limits(frames=4), "too large: more than 4 images"),
        (Limits(output_bytes=4 * 72), "too large: 5 frames of 6 x 4 pixels are 360 bytes"),
    ):
        with pytest.raises(VideoError, match=told), FrameFolderReader(25.0, limits).open(folder) as video:
            video.frames(np.arange(5))
    with pytest.raises(VideoError, match="the frames span 4 s, above the limit of 2 s"):
        FrameFolderReader(1.0, Limits(seconds=2.0)).open(folder).__enter__()


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp"])
def test_overwritten_bytes_end_in_frames_or_one_typed_error(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / f"1.{suffix}"
    Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(path)
    whole = bytearray(path.read_bytes())
    ends: dict[str, int] = {"frames": 0, "error": 0}
    for _ in range(60):
        broken = whole.copy()
        for place in rng.integers(0, len(broken), 4):
            broken[place] = rng.integers(256)
        path.write_bytes(broken[: rng.integers(1, len(broken))] if rng.integers(2) else broken)
        try:
            with FrameFolderReader(25.0, Limits(pixels=10**6)).open(str(tmp_path)) as video:
                video.frames(np.array([0]))
            ends["frames"] += 1
        except VideoError:
            ends["error"] += 1
    assert ends["error"] > 5


def tree(root: Path, *names: str, count: int = 5) -> Path:
    for name in names:
        write_images(root / name, count)
    return root


def test_folders_of_images_in_class_folders(tmp_path: Path) -> None:
    names = [f"{label}/sub/{label}_{i}" for label in ("nod", "wave") for i in range(5)]
    root = tree(tmp_path, *names, "unlabelled/x")
    data = VideoList(str(root), decoder="frames")
    assert sorted([*data.samples("train").id, *data.samples("test").id]) == names
    assert data.samples("unlabelled").id.tolist() == ["unlabelled/x"]
    assert data.classes == {"label": ("nod", "wave")}
    with data.reader.open(data.samples("train").path[0]) as video:
        assert len(video.times) == 5
    split = tree(tmp_path / "split", *[f"{part}/{label}/a" for part in ("train", "test") for label in "xy"])
    assert VideoList(str(split), decoder="frames").samples("test").id.tolist() == ["test/x/a", "test/y/a"]
    loose = tree(tmp_path / "loose", "a", "b")
    assert VideoList(str(loose), decoder="frames").samples("unlabelled").id.tolist() == ["a", "b"]
    tree(loose, "wave/c")
    with pytest.raises(UserError, match="'.*loose/a' lies beside the class folders, in none of them"):
        VideoList(str(loose), decoder="frames").samples("train")
    with pytest.raises(UserError, match="there are no videos in the folders of"):
        VideoList(str(split)).samples("train")
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="there are no folders of images in the folders of"):
        VideoList(str(tmp_path / "none"), decoder="frames").samples("train")


def test_a_manifest_of_folders(tmp_path: Path) -> None:
    root = tree(tmp_path, "wave/a", "b")
    (root / "clips.csv").write_text("path,start_s,end_s\nwave/a/,0.08,0.16\nb,,\n")
    data = VideoList(str(root), manifest="clips.csv", decoder="frames")
    assert data.samples("unlabelled").id.tolist() == ["wave/a#0.08-0.16", "b"]
    sample = data.samples("unlabelled")
    assert levels(Path(sample.path[0]), sample.start_s[0], sample.end_s[0]) == [3, 4]
    (root / "file").touch()
    (root / "clips.csv").write_text("path\nb\nfile\n")
    with pytest.raises(UserError, match="1 of 2 folders of images are missing .*line 3"):
        VideoList(str(root), manifest="clips.csv", decoder="frames").samples("unlabelled")
    with pytest.raises(ValueError, match="frames_fps=0 is no number of images a second"):
        VideoList(str(root), manifest="clips.csv", decoder="frames", frames_fps=0)


def test_the_content_of_a_folder_is_in_the_hash_and_its_place_is_not(tmp_path: Path) -> None:
    def content(root: Path) -> str:
        return VideoList(str(root), decoder="frames").content_hash()

    names = [f"{label}/{i}" for label in "xy" for i in range(5)]
    here, there = tree(tmp_path / "here", *names), tree(tmp_path / "there", *names)
    assert content(here) == content(there)
    (there / "x/3" / "note.txt").write_text("no image")
    assert content(here) == content(there)
    with (there / "x/3" / "img_00002.png").open("ab") as image:
        image.write(b"more")
    other = content(there)
    assert other != content(here)
    (there / "x/3" / "img_00005.png").unlink()
    assert content(there) not in (other, content(here))


def frames_list(root: Path, text: str, **settings: object) -> MMAction2:
    (root / "train.txt").write_text(text)
    return MMAction2(str(root), "train.txt", decoder="frames", **settings)  # type: ignore[arg-type]


def parts(data: MMAction2) -> dict[str, list[int]]:
    sample = data.samples("train")
    whole = zip(sample.id.tolist(), sample.path, sample.start_s, sample.end_s, strict=True)
    return {name: levels(Path(path), start_s, end_s) for name, path, start_s, end_s in whole}


def test_mmaction2s_lists_read_the_frames_that_they_name(tmp_path: Path) -> None:
    """Offset 0 is image 1: the number of a file is start_index (1) + offset + frame."""
    root = tree(tmp_path, "a", "wave/b", count=9)
    data = frames_list(root, "a 9 0\nwave/b 4 1\n", form="frames")
    assert parts(data) == {"a#0+9": list(range(1, 10)), "wave/b#0+4": [1, 2, 3, 4]}
    other = frames_list(root, "a 8 0\nwave/b 4 1\n", form="frames")
    assert other.samples("train").list_hash() != data.samples("train").list_hash()
    data = frames_list(root, "a 0 3 0\na 3 6 1\nwave/b 8 1 1\n", form="frames_with_offset")
    assert parts(data) == {"a#0+3": [1, 2, 3], "a#3+6": [4, 5, 6, 7, 8, 9], "wave/b#8+1": [9]}
    for fps in (12.5, 29.97):
        data = frames_list(root, "a 3 6 0\nwave/b 0 2 1\n", form="frames_with_offset", frames_fps=fps)
        sample = data.samples("train")
        with data.reader.open(sample.path[0], sample.start_s[0], sample.end_s[0]) as video:
            assert video.frames(np.arange(6))[:, 0, 0, 0].tolist() == [40, 50, 60, 70, 80, 90]
            assert len(video.times) == 6


def test_folders_with_fewer_images_than_listed_are_counted_as_missing(tmp_path: Path) -> None:
    root = tree(tmp_path, "a", "b", "c", count=5)
    with pytest.raises(
        UserError, match=r"2 of 3 training videos are missing .* is b \(5 images, and 6 are needed\) of .*line 2"
    ):
        frames_list(root, "a 5 0\nb 6 1\nc 9 1\n", form="frames").samples("train")
    data = frames_list(root, "a 0 5 0\na 1 5 1\nb 0 5 1\n", form="frames_with_offset", max_missing_fraction=0.4)
    assert list(parts(data)) == ["a#0+5", "b#0+5"]
    assert data.split_rule.endswith("1 of 3 listed training videos are missing")


def test_published_lists_by_name(tmp_path: Path) -> None:
    lists = tmp_path / "ucfTrainTestlist"
    lists.mkdir()
    (lists / "classInd.txt").write_text("1 Nod\n2 Wave\n")
    (lists / "trainlist01.txt").write_text("Nod/v_Nod_g08_c01.avi 1\nWave/v_Wave_g08_c01.avi 2\n")
    (lists / "testlist01.txt").write_text("Nod/v_Nod_g01_c01.avi\n")
    tree(tmp_path, "frames/v_Nod_g08_c01", "frames/v_Wave_g08_c01", "frames/v_Nod_g01_c01")
    data = UCF101(str(tmp_path), decoder="frames")
    assert [levels(Path(path)) for path in data.samples("train").path] == [[1, 2, 3, 4, 5]] * 2


def noise(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 255, (48, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_training_on_folders_of_images(tiny: list[str], tmp_path: Path, workers: int) -> None:
    for number in range(20):
        folder = tmp_path / "clips" / ("wave" if number % 2 else "nod") / f"{number:02}"
        folder.mkdir(parents=True)
        for frame in range(20):
            Image.fromarray(noise(100 * number + frame)).save(folder / f"img_{frame + 1:05}.jpg")
    words = [*tiny, "method=simsiam", "data=video_list", f"data.root={tmp_path / 'clips'}", "data.decoder=frames"]
    composed = compose([*words, f"run.workers={workers}"])
    record = read_record(pretrain(composed, bind(composed.tree)))
    assert record["status"] == "done" and record["environment"]["decoder"] == "frames"
    assert not record["clips"].get("replaced")
