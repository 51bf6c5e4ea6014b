"""The rows of a folder tree with one folder a class: `wave/clip_01.mp4`, or `train/wave/clip_01.mp4`.

Where videos are folders of images, `clip_01` is the folder in which the images lie.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from vssl.config.errors import UserError
from vssl.video.decoding.images import holds_images
from vssl.video.lists.manifest import SPLITS, Row

VIDEO_SUFFIXES = (
    ".3gp", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts",
    ".webm", ".wmv",
)  # fmt: skip
UNLABELLED = "unlabelled"
LAYOUT = (
    "expected is one folder a class (wave/clip_01.mp4), or these under train/ and test/; a folder 'unlabelled' is used "
    "in pretraining only; give any other layout as a list: data.manifest=clips.csv"
)


def read_folders(root: Path, frames: bool = False) -> list[Row]:
    """The videos below `root`, sorted by path. Raises UserError where the layout does not say what the classes are.

    Args:
        frames: videos are folders of images, not files.
    """
    if not root.is_dir():
        raise UserError(f"data.root: there is no folder {root}")
    try:
        folders = _folders(root)
        if "train" in folders:
            rows = [row for split in _splits(root, folders) for row in _classes(root, root / split, split, frames)]
        else:
            rows = _classes(root, root, "", frames)
    except OSError as error:
        raise UserError(f"data.root: {error.filename} cannot be read: {error.strerror}") from error
    if not rows:
        videos = "folders of images" if frames else "videos"
        raise UserError(f"data.root: there are no {videos} in the folders of {root}", LAYOUT)
    return rows


def _folders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


def _splits(root: Path, folders: list[str]) -> list[str]:
    if others := [name for name in folders if name not in SPLITS]:
        raise UserError(f"data.root: beside 'train', {root} has the folder '{others[0]}', which is no split", LAYOUT)
    return folders


def _classes(root: Path, folder: Path, split: str, frames: bool) -> list[Row]:
    if split == UNLABELLED:
        return _videos(root, folder, "", split, frames)
    loose = _loose(folder, frames)
    classes = [name for name in _folders(folder) if name not in loose]
    if loose and classes:
        raise UserError(f"data.root: '{folder / loose[0]}' lies beside the class folders, in none of them", LAYOUT)
    if loose:
        return _videos(root, folder, "", UNLABELLED, frames)
    return [
        row for name in classes
        for row in _videos(root, folder / name, *(("", UNLABELLED) if name == UNLABELLED else (name, split)), frames)
    ]  # fmt: skip


def _loose(folder: Path, frames: bool) -> list[str]:
    """The videos that lie in the folder itself."""
    if frames:
        return [name for name in _folders(folder) if holds_images(os.path.join(folder, name))]
    return [name for name in sorted(os.listdir(folder)) if _is_video(name)]


def _videos(root: Path, folder: Path, label: str, split: str, frames: bool) -> list[Row]:
    """Every video below `folder`, at any depth."""
    if frames:
        paths = list(_image_folders(folder))
    else:
        walk = os.walk(folder)
        paths = [os.path.join(parent, name) for parent, _, names in walk for name in names if _is_video(name)]
    ids = ((os.path.relpath(path, root).replace(os.sep, "/"), path) for path in sorted(paths))
    return [Row(where=path, id=name, path=path, group=name, label=label, split=split) for name, path in ids]


def _image_folders(folder: Path) -> Iterator[str]:
    """The folders below that hold images; what lies inside such a folder belongs to its video."""
    for name in _folders(folder):
        path = folder / name
        if holds_images(str(path)):
            yield str(path)
        else:
            yield from _image_folders(path)


def _is_video(name: str) -> bool:
    return name.lower().endswith(VIDEO_SUFFIXES) and not name.startswith(".")
