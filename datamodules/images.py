"""Images as clips of one frame: beside videos in a mix, or to pretrain on alone.

A view repeats the image as its `pad` says, which is `repeat_last` unless a views file says otherwise: a clip that
stands still. FFmpeg decodes them: upright by their EXIF rotation (mirrored ones stay mirrored), CMYK, grey, 16 bits and
palettes as RGB, without the alpha channel. Animated GIFs are videos, and data=video_list reads them.

ImageNet as its archives unpack, with the validation images sorted into folders of their classes, is one such tree.
"""

import os
from functools import cached_property
from pathlib import Path

from datamodules.video_list import VideoList
from vssl.config.errors import ConfigError, UserError
from vssl.video.lists.manifest import Row
from vssl.video.lists.samples import Listing, class_names_of, listing_of

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
SPLITS = {"train": "train", "val": "test", "test": "test", "unlabelled": "unlabelled"}
LAYOUT = (
    "expected is one folder a class (cat/001.jpg), or these under train/ and val/ or test/; images of no class lie in "
    "a folder 'unlabelled', or all in root itself; give any other layout as a list: data.manifest=images.csv"
)


class Images(VideoList):
    """Images on disk, sorted into folders or listed by a CSV. One label: `label`.

    Args:
        root: folder of the images. Without a manifest it holds one folder a class (`cat/001.jpg`), or these under
            `train` and `val` or `test`.
        manifest: as that of `data=video_list`.
    """

    @cached_property
    def listing(self) -> Listing:
        if self.decoder == "frames":
            raise ConfigError("data.decoder=frames reads a folder of images as one video, and here each is one")
        if self.manifest is not None:
            return super().listing
        root = Path(str(self.root))
        if not root.is_dir():
            raise UserError(f"data.root: there is no folder {root}")
        try:
            rows = _rows(root)
        except OSError as error:
            raise UserError(f"data.root: {error.filename} cannot be read: {error.strerror}") from error
        if not rows:
            raise UserError(f"data.root: there are no images in the folders of {root}", LAYOUT)
        columns = ("path", "label", "split") if any(row.split == "train" for row in rows) else ("path", "label")
        return listing_of(rows, columns, 0, class_names_of(root, self.class_names), str(root))


def _rows(root: Path) -> list[Row]:
    folders = _folders(root)
    if "train" not in folders:
        return _classes(root, root, "")
    if others := [name for name in folders if name not in SPLITS]:
        raise UserError(f"data.root: beside 'train', {root} has the folder '{others[0]}', which is no split", LAYOUT)
    if {"val", "test"} <= set(folders):
        hint = "test images without labels belong into 'unlabelled', or out of root"
        raise UserError(f"data.root: {root} has both 'val' and 'test', and one of them is tested", hint)
    return [row for name in folders for row in _classes(root, root / name, SPLITS[name])]


def _classes(root: Path, folder: Path, split: str) -> list[Row]:
    loose = [name for name in sorted(os.listdir(folder)) if _is_image(name)]
    classes = _folders(folder)
    if split == "unlabelled" or (loose and not classes):
        return _below(root, folder, "", "unlabelled")
    if loose:
        raise UserError(f"data.root: '{folder / loose[0]}' lies beside the class folders, in none of them", LAYOUT)
    named = [("", "unlabelled", name) if name == "unlabelled" else (name, split, name) for name in classes]
    return [row for label, of, name in named for row in _below(root, folder / name, label, of)]


def _below(root: Path, folder: Path, label: str, split: str) -> list[Row]:
    """Every image below `folder`, at any depth."""
    paths = [os.path.join(parent, name) for parent, _, names in os.walk(folder) for name in names if _is_image(name)]
    ids = ((os.path.relpath(path, root).replace(os.sep, "/"), path) for path in sorted(paths))
    return [Row(where=path, id=name, path=path, group=name, label=label, split=split) for name, path in ids]


def _folders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")
