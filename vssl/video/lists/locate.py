"""Finding listed videos on disk: every folder is read once, and no file is asked for by itself."""

import os
import unicodedata
from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path

from vssl.config.errors import UserError
from vssl.video.lists.class_folders import VIDEO_SUFFIXES
from vssl.video.lists.entries import Entry

_SUFFIXES = frozenset(suffix.removeprefix(".") for suffix in VIDEO_SUFFIXES)


def locate(root: Path, entries: Sequence[Entry], folders: bool = False) -> list[str | None]:
    """The path of each entry, None where it is missing below `root`.

    Args:
        folders: videos are folders of images, not files.
    Raises:
        UserError: a folder cannot be read, or a name fits two videos.
    """
    base = os.path.abspath(root)
    wanted = frozenset(name for entry in entries for name in entry.names)
    try:
        named = _by_name(base, wanted, folders) if wanted else {}
        there = _existing(base, [entry.path for entry in entries if entry.path], folders)
    except OSError as error:
        raise UserError(f"data.root: {error.filename} cannot be read: {error.strerror}") from error
    return [there.get(entry.path) if entry.path else _one(entry, named, base) for entry in entries]


def stem(name: str) -> str:
    """A file name without the suffix of a video, in the form in which names are compared."""
    before, _, suffix = name.rpartition(".")
    return canonical(before if before and suffix.lower() in _SUFFIXES else name)


def canonical(name: str) -> str:
    """A name that compares equal however it was encoded: bytes that are not UTF-8 are taken for Latin-1."""
    if name.isascii():
        return name
    try:
        name.encode()
    except UnicodeEncodeError:  # a name on disk whose bytes are no UTF-8
        name = os.fsencode(name).decode("latin-1")
    return unicodedata.normalize("NFC", name)


def _one(entry: Entry, named: dict[str, list[str]], base: str) -> str | None:
    for name in entry.names:
        if paths := named.get(name):
            break
    else:
        return None
    if len(paths) > 1:
        one, other = (os.path.relpath(path, base) for path in sorted(paths)[:2])
        hint = "set data.root to the folder that holds one video for each row"
        raise UserError(f"data.root: two files in {base} can be the video of {entry.where}: {one} and {other}", hint)
    return paths[0]


def _by_name(base: str, wanted: Container[str], folders: bool) -> dict[str, list[str]]:
    """{wanted name: paths of that name}, at any depth."""
    found: dict[str, list[str]] = {}
    for name, path in _candidates(base, wanted, folders):
        if name in wanted:
            found.setdefault(name, []).append(path)
    return found


def _candidates(base: str, wanted: Container[str], folders: bool) -> Iterator[tuple[str, str]]:
    """(name, path) of every video, or of every folder of a wanted name; links to folders are followed once."""
    pending, seen = [base], set()
    while pending:
        folder = pending.pop()
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        for entry in _entries(folder):
            if entry.is_dir():
                if folders and (name := canonical(entry.name)) in wanted:
                    yield name, entry.path  # it is not read itself: it holds hundreds of images
                else:
                    pending.append(entry.path)
            elif not folders:
                before, _, suffix = entry.name.rpartition(".")
                if suffix.lower() in _SUFFIXES:
                    yield canonical(before), entry.path


def _entries(folder: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return [entry for entry in entries if not entry.name.startswith(".")]


def _existing(base: str, paths: Iterable[str], folders: bool) -> dict[str, str]:
    """{path below `base`: path to open} of those that are there."""
    by_folder: dict[str, list[str]] = {}
    for path in paths:
        by_folder.setdefault(os.path.dirname(path), []).append(path)
    found: dict[str, str] = {}
    for parent, wanted in by_folder.items():
        folder = os.path.join(base, parent)
        if not os.path.isdir(folder):
            continue
        names = {canonical(entry.name): entry.name for entry in _entries(folder) if not folders or entry.is_dir()}
        for path in wanted:
            if (name := names.get(canonical(os.path.basename(path)))) is not None:
                found[path] = os.path.join(folder, name)
    return found
