"""The rows of a folder tree with one folder a class: `wave/clip_01.mp4`, or `train/wave/clip_01.mp4`."""

import os
from pathlib import Path

from vssl.config.errors import UserError
from vssl.video.manifest import SPLITS, Row

VIDEO_SUFFIXES = (
    ".3gp", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts",
    ".webm", ".wmv",
)  # fmt: skip
UNLABELLED = "unlabelled"
LAYOUT = (
    "expected is one folder a class (wave/clip_01.mp4), or these under train/ and test/; a folder 'unlabelled' is used "
    "in pretraining only; give any other layout as a list: data.manifest=clips.csv"
)


def read_folders(root: Path) -> list[Row]:
    """The videos below `root`, sorted by path. Raises UserError where the layout does not say what the classes are."""
    if not root.is_dir():
        raise UserError(f"data.root: there is no folder {root}")
    try:
        folders = _folders(root)
        if "train" in folders:
            rows = [row for split in _splits(root, folders) for row in _classes(root, root / split, split)]
        else:
            rows = _classes(root, root, "")
    except OSError as error:
        raise UserError(f"data.root: {error.filename} cannot be read: {error.strerror}") from error
    if not rows:
        raise UserError(f"data.root: there are no videos in the folders of {root}", LAYOUT)
    return rows


def _folders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


def _splits(root: Path, folders: list[str]) -> list[str]:
    if others := [name for name in folders if name not in SPLITS]:
        raise UserError(f"data.root: beside 'train', {root} has the folder '{others[0]}', which is no split", LAYOUT)
    return folders


def _classes(root: Path, folder: Path, split: str) -> list[Row]:
    if split == UNLABELLED:
        return _videos(root, folder, "", split)
    if (loose := [name for name in sorted(os.listdir(folder)) if _is_video(name)]) and _folders(folder):
        raise UserError(f"data.root: '{folder / loose[0]}' lies beside the class folders, in none of them", LAYOUT)
    if loose:
        return _videos(root, folder, "", UNLABELLED)
    return [
        row for name in _folders(folder)
        for row in _videos(root, folder / name, *(("", UNLABELLED) if name == UNLABELLED else (name, split)))
    ]  # fmt: skip


def _videos(root: Path, folder: Path, label: str, split: str) -> list[Row]:
    """Every video below `folder`, at any depth."""
    paths = [os.path.join(parent, name) for parent, _, names in os.walk(folder) for name in names if _is_video(name)]
    ids = ((os.path.relpath(path, root).replace(os.sep, "/"), path) for path in sorted(paths))
    return [Row(where=path, id=name, path=path, group=name, label=label, split=split) for name, path in ids]


def _is_video(name: str) -> bool:
    return name.lower().endswith(VIDEO_SUFFIXES) and not name.startswith(".")
