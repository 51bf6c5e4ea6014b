"""`data=images`: files of every kind come out as one upright RGB frame, and folders say what the classes are."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from datamodules.images import Images
from vssl.config.errors import UserError, WorkError
from vssl.datamodule import Loading
from vssl.video.decoding.errors import VideoError
from vssl.video.relations.base import Relation
from vssl.video.relations.cvrl import Interval
from vssl.video.relations.independent import Independent
from vssl.video.relations.nested import Nested
from vssl.video.relations.same import Same
from vssl.video.views import View, Views

HEIGHT, WIDTH = 24, 40
ROTATED = 6  # EXIF: the first row is the right side


def picture() -> NDArray[np.uint8]:
    """Red left, blue right, green above; no sharp edge in chroma that a JPEG would smear over much of it."""
    rgb = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    rgb[:, : WIDTH // 2], rgb[:, WIDTH // 2 :], rgb[: HEIGHT // 2, :16] = (200, 40, 30), (30, 60, 210), (20, 220, 40)
    return rgb


def write(path: Path, image: Image.Image | None = None, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or Image.fromarray(picture())).save(path, **options)
    return path


def read(path: Path) -> NDArray[np.uint8]:
    with Images(root=str(path.parent)).reader.open(str(path)) as video:
        assert video.times.tolist() == [0.0]
        (frame,) = video.frames(np.array([0]))
        return frame.copy()


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = orientation
    return found


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.webp", "palette.png", "alpha.png"])
def test_files_without_loss_come_out_exactly(tmp_path: Path, name: str) -> None:
    image = Image.fromarray(picture())
    if name.startswith("palette"):
        image = image.convert("P", palette=Image.Palette.ADAPTIVE)
    if name.startswith("alpha"):
        image.putalpha(128)
    found = read(write(tmp_path / name, image, **({"lossless": True} if name.endswith("webp") else {})))
    assert (found == picture()).all()


@pytest.mark.parametrize("kind", ["RGB", "CMYK", "progressive"])
def test_a_jpeg_comes_out_as_rgb(tmp_path: Path, kind: str) -> None:
    image = Image.fromarray(picture()).convert("CMYK" if kind == "CMYK" else "RGB")
    found = read(write(tmp_path / "a.JPEG", image, quality=95, subsampling=0, progressive=kind == "progressive"))
    assert np.abs(found.astype(int) - picture()).mean() < 4


def test_grey_and_16_bits_are_brought_to_rgb(tmp_path: Path) -> None:
    level = np.linspace(0, 255, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint8)
    grey = read(write(tmp_path / "g.png", Image.fromarray(level)))
    assert (grey == level[..., None]).all()
    deep = read(write(tmp_path / "d.png", Image.fromarray(level.astype(np.uint16) * 257)))
    assert np.abs(deep.astype(int) - level[..., None]).max() <= 1


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_exif_rotation_is_undone(tmp_path: Path, suffix: str) -> None:
    found = read(write(tmp_path / f"r{suffix}", exif=exif(ROTATED)))
    assert found.shape == (WIDTH, HEIGHT, 3)
    assert np.abs(found.astype(int) - np.rot90(picture(), -1)).mean() < 6


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_what_is_no_image_is_one_typed_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(write(tmp_path / "whole.jpg").read_bytes()[:400] if content is None else content)
    with pytest.raises(VideoError):
        read(path)


@pytest.mark.parametrize("test", ["val", "test"])
def test_the_folders_of_imagenet(tmp_path: Path, test: str) -> None:
    for name in ("train/n01/1.JPEG", "train/n02/2.JPEG", "train/n02/3.JPEG", f"{test}/n01/4.JPEG", "unlabelled/5.png"):
        write(tmp_path / name)
    data = Images(root=str(tmp_path))
    assert data.classes == {"label": ("n01", "n02")}
    assert data.samples("train").id.tolist() == ["train/n01/1.JPEG", "train/n02/2.JPEG", "train/n02/3.JPEG"]
    assert data.samples("test").id.tolist() == [f"{test}/n01/4.JPEG"]
    assert data.samples("test").labels["label"].tolist() == [0]
    assert data.samples("unlabelled").id.tolist() == ["unlabelled/5.png"]


def test_one_folder_a_class_and_a_list(tmp_path: Path) -> None:
    for i in range(10):
        write(tmp_path / f"{'cat' if i % 2 else 'dog'}/{i}.png")
    (tmp_path / "cat/film.mp4").write_bytes(b"")  # no image
    folders = Images(root=str(tmp_path))
    assert (len(folders.samples("train")), len(folders.samples("test"))) == (8, 2)
    (tmp_path / "some.csv").write_text("path,label,split\ncat/1.png,c,train\ndog/0.png,d,train\ncat/3.png,c,test\n")
    listed = Images(root=str(tmp_path), manifest="some.csv")
    assert listed.samples("train").id.tolist() == ["cat/1.png", "dog/0.png"]


def test_images_without_folders_are_for_pretraining(tmp_path: Path) -> None:
    write(tmp_path / "b.png"), write(tmp_path / "a.png")
    data = Images(root=str(tmp_path))
    assert data.samples("unlabelled").id.tolist() == ["a.png", "b.png"] and data.classes == {}


def test_what_the_folders_do_not_say_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there are no images in the folders of"):
        Images(root=str(tmp_path)).samples("train")
    for name in ("train/n01/1.png", "train/n02/2.png", "val/n01/1.png", "test/1.png"):
        write(tmp_path / name)
    with pytest.raises(UserError, match="has both 'val' and 'test'"):
        Images(root=str(tmp_path)).samples("train")
    write(tmp_path / "train/loose.png")
    shutil.rmtree(tmp_path / "test")
    with pytest.raises(UserError, match=r"loose\.png' lies beside the class folders"):
        Images(root=str(tmp_path)).samples("train")
    with pytest.raises(UserError, match="data.decoder=frames"):
        Images(root=str(tmp_path), decoder="frames").samples("train")


def clip_of(root: Path, relation: Relation, pad: str = "repeat_last") -> dict[str, np.ndarray]:
    data = Images(root=str(root))
    views = Views(relation, a=View(4, 8, stride=2, augment=None, pad=pad), b=View(3, 8, fps=2.0, augment=None, pad=pad))  # type: ignore[arg-type]
    data.attach(Loading(views=views, batch_size=1, seed=0))
    batch = data.first_batch()
    return {name: clip[0].permute(1, 2, 3, 0).numpy() for name, clip in batch["views"].items()}


@pytest.mark.parametrize("relation", [Independent(), Interval(), Nested(), Same()], ids=lambda one: type(one).__name__)
def test_a_view_repeats_the_image_whatever_the_relation(tmp_path: Path, relation: Relation) -> None:
    write(tmp_path / "a.png", Image.fromarray(picture()[:, :HEIGHT]))
    clips = clip_of(tmp_path, relation)
    assert {name: len(clip) for name, clip in clips.items()} == {"a": 4, "b": 3}
    for clip in clips.values():
        assert (clip == clip[:1]).all() and clip.std() > 0.1


def test_a_view_that_refuses_padding_says_what_to_do(tmp_path: Path) -> None:
    write(tmp_path / "a.png")
    with pytest.raises(WorkError, match=r"a\.png: view a: 4 frames .* there are 1(.|\n)*views\.a\.pad=repeat_last"):
        clip_of(tmp_path, Independent(), pad="refuse")
