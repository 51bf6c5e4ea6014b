"""Videos that stand in two lists, or twice in one: by id, by the bytes of the file, by what is seen."""

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from vssl.video.lists.locate import stem
from vssl.video.upkeep.perceptual import nearest, signs
from vssl.video.upkeep.video_set import Place, Video, VideoSet

Kind = Literal["id", "file", "frames"]
KINDS: tuple[Kind, ...] = ("id", "file", "frames")
_CUT = re.compile(r"(.+)_\d{6}_\d{6}")  # a clip of Kinetics: YouTube's id, first and last second
_CHUNK = 1 << 20

Hashes = Mapping[Place, str]  # 80 hex digits; a video without one is not compared by its frames


@dataclass(frozen=True)
class Pair:
    """A video of list b, and the first, or nearest, of list a that it repeats.

    Args:
        distance: share of differing bits of the perceptual hash; None where that is not known.
    """

    kind: Kind
    list_a: str
    path_a: str
    list_b: str
    path_b: str
    distance: float | None


def find_overlap(
    sets: Sequence[VideoSet], hashes: Hashes, threshold: float, file_hash: Callable[[str], str]
) -> Iterator[Pair]:
    """Every video of a later list that an earlier one has, once a kind; then exact copies within each list.

    What is the same file is not told again as looking alike.

    Args:
        threshold: largest distance of two videos that look alike.
        file_hash: of the file at a path; called only where several have one size.
    """
    content = file_contents(sets, file_hash)
    for one, other in combinations(sets, 2):
        ids, others = _ids(one, other)
        yield from _by_key("id", one, other, ids, others, hashes)
        files, copies = ([content.get(video.path) for video in part.videos] for part in (one, other))
        same = list(_by_key("file", one, other, files, copies, hashes))
        yield from same
        yield from _by_frames(one, other, hashes, threshold, {pair.path_b for pair in same})
    for one in sets:
        yield from _within(one, content)


def _ids(one: VideoSet, other: VideoSet) -> tuple[list[str | None], list[str | None]]:
    """What videos are called: without folders where these names are unique in each list, as those of data sets are."""
    short = [[_id(video.name) for video in part.videos] for part in (one, other)]
    if all(_unique(names, part) for names, part in zip(short, (one, other), strict=True)):
        return list(short[0]), list(short[1])
    whole = [[os.path.splitext(video.name)[0] for video in part.videos] for part in (one, other)]
    return list(whole[0]), list(whole[1])


def _unique(names: Sequence[str], part: VideoSet) -> bool:
    """Whether each stands for one file; clips that were cut from one video may share it."""
    files = {(name, video.path) for name, video in zip(names, part.videos, strict=True) if not _is_cut(video)}
    return len(files) == len({name for name, _ in files})


def _id(name: str) -> str:
    found = stem(os.path.basename(name))
    cut = _CUT.fullmatch(found)
    return cut[1] if cut else found


def _is_cut(video: Video) -> bool:
    return _CUT.fullmatch(stem(os.path.basename(video.name))) is not None


def _by_key(
    kind: Kind, one: VideoSet, other: VideoSet, keys: Sequence[str | None], others: Sequence[str | None], hashes: Hashes
) -> Iterator[Pair]:
    first: dict[str, Video] = {}
    for key, video in zip(keys, one.videos, strict=True):
        if key is not None:
            first.setdefault(key, video)
    for key, video in zip(others, other.videos, strict=True):
        if key is not None and (before := first.get(key)) is not None:
            far = 0.0 if kind == "file" else distance(hashes.get(before.place), hashes.get(video.place))
            yield Pair(kind, one.name, before.name, other.name, video.name, far)


def distance(one: str | None, other: str | None) -> float | None:
    """Between two hashes; None where one of them is missing."""
    if not one or not other:
        return None
    return (int(one, 16) ^ int(other, 16)).bit_count() / (4 * len(one))


def _by_frames(one: VideoSet, other: VideoSet, hashes: Hashes, threshold: float, told: set[str]) -> Iterator[Pair]:
    known = [[video for video in part.videos if hashes.get(video.place)] for part in (one, other)]
    if not all(known):
        return
    bits = [signs([hashes[video.place] for video in videos]) for videos in known]
    which, far = nearest(*bits)
    for video, number, value in zip(known[1], which.tolist(), far.tolist(), strict=True):
        if value <= threshold and video.name not in told:
            yield Pair("frames", one.name, known[0][number].name, other.name, video.name, value)


def _within(one: VideoSet, content: Mapping[str, str]) -> Iterator[Pair]:
    """Files of one list that are the same; spans of one file are not."""
    first: dict[str, Video] = {}
    for video in {video.path: video for video in one.videos}.values():
        if (key := content.get(video.path)) is None:
            continue
        if (before := first.setdefault(key, video)) is not video:
            yield Pair("file", one.name, before.name, one.name, video.name, 0.0)


def file_contents(sets: Sequence[VideoSet], file_hash: Callable[[str], str]) -> dict[str, str]:
    """{path: what its content is known by}, equal for equal files; only files of one size are read.

    One without content, or that is no regular file, is left out.
    """
    by_size: dict[int, dict[str, list[str]]] = {}
    for path in {video.path for part in sets for video in part.videos}:
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            continue
        if stat.S_ISREG(status.st_mode) and status.st_size:
            by_size.setdefault(status.st_size, {}).setdefault(os.path.realpath(path), []).append(path)
    found: dict[str, str] = {}
    for files in by_size.values():
        for real, paths in files.items():
            key = real if len(files) == 1 else file_hash(real)
            found.update(dict.fromkeys(paths, key))
    return found


def sha256(path: str) -> str:
    """Of a file's bytes; a name of its own for one that cannot be read."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError:
        return f"unreadable {path}"
    return digest.hexdigest()
