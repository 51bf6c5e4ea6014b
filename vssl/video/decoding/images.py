"""Folders of extracted frames: which images are the frames of a video, and in which order."""

import hashlib
import os
import re
from itertools import pairwise

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
FLOW = re.compile(r"(flow|[xy]_)", re.IGNORECASE)  # optical flow, which extractors leave beside the images
_LAST_NUMBER = re.compile(r"(.*?)(\d+)(\D*)", re.DOTALL)
Image = tuple[str, int]  # name, bytes


def is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")


def holds_images(folder: str) -> bool:
    """Whether at least one image lies in the folder itself. Raises OSError."""
    with os.scandir(folder) as entries:
        return any(is_image(entry.name) for entry in entries)


def image_names(folder: str) -> list[str]:
    """The images of a folder as they lie there; optical flow is passed over. Raises OSError."""
    # str(): the folder of a numpy array has numpy's own type of text, for which listdir gives bytes.
    names = [name for name in os.listdir(str(folder)) if is_image(name)]
    return [name for name in names if not FLOW.match(name)]


def in_order(names: list[str]) -> list[str]:
    """The frames of one video by the last number in their names: img_2.jpg comes before img_10.jpg.

    Raises ValueError where the numbers leave one out or give one twice, or where the names are of several series.
    """
    numbered: dict[int, str] = {}
    series: dict[tuple[str, str], str] = {}
    for name in sorted(names):
        found = _LAST_NUMBER.fullmatch(os.path.splitext(name)[0])
        if found is None:
            raise ValueError(f"{name} has no number that tells its place")
        series.setdefault((found[1], found[3]), name)
        if (other := numbered.setdefault(int(found[2]), name)) != name and len(series) == 1:
            raise ValueError(f"{other} and {name} have the same number")
    if len(series) > 1:
        one, other = list(series.values())[:2]
        raise ValueError(f"{one} and {other} belong to two series of images; a video has one")
    numbers = sorted(numbered)
    for before, after in pairwise(numbers):
        if after > before + 1:
            missing = numbers[-1] - numbers[0] + 1 - len(numbers)
            message = f"between {numbered[before]} and {numbered[after]} an image is missing ({missing} in all)"
            raise ValueError(message)
    return [numbered[number] for number in numbers]


def content_number(folder: str) -> int:
    """63 bits over the names and sizes of a folder's images: what stands for the size of a file. Raises OSError."""
    with os.scandir(folder) as entries:
        images = sorted((entry.name, entry.stat().st_size) for entry in entries if is_image(entry.name))
    digest = hashlib.sha256()
    for name, size in images:
        digest.update(name.encode("utf-8", "surrogateescape") + f"\0{size}\0".encode())
    return int.from_bytes(digest.digest()[:8], "big") >> 1
