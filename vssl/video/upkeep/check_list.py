"""Which files a check looks at: those below a folder that look like videos, or those that a manifest names."""

import os
from collections.abc import Iterator
from pathlib import Path

from vssl.config.errors import UserError
from vssl.video.lists.class_folders import VIDEO_SUFFIXES
from vssl.video.lists.manifest import read_rows

# More than a tree of class folders is read for: what a mistake may have put there is to be told, not passed over.
SUFFIXES = (
    *VIDEO_SUFFIXES,
    ".264", ".265", ".3g2", ".asf", ".av1", ".divx", ".dv", ".f4v", ".h264", ".h265", ".hevc", ".ivf", ".m1v", ".m2t",
    ".m2v", ".m4a", ".mjpeg", ".mjpg", ".mp2", ".mp3", ".mpe", ".mpv", ".mxf", ".nut", ".obu", ".ogg", ".ogm", ".qt",
    ".rm", ".rmvb", ".vob", ".y4m",
)  # fmt: skip


def files_to_check(what: Path, root: Path | None = None, command: str = "data check") -> dict[str, str]:
    """{path relative to the folder or root: path to open}, sorted.

    Args:
        what: a folder (searched to any depth, through links too; hidden names are left out), a manifest, or one video.
        root: the folder from which a manifest's paths start; None: that of the manifest.
        command: named in messages.
    Raises:
        UserError: there is no such thing, a folder or manifest cannot be read, or there is not one video.
    """
    if root is not None and not (root.is_dir() and what.is_file()):
        wrong = (
            f"there is no folder {root}" if what.is_file() else f"{what} is no manifest, whose paths could start there"
        )
        raise UserError(f"data.root: {wrong}")
    if what.is_dir():
        base, paths = what, list(_videos(what, set(), command))
    elif not what.exists():
        raise UserError(f"{command}: there is no folder or manifest {what}")
    elif _is_video(what.name):
        base, paths = what.parent, [str(what)]
    else:
        base = what.parent if root is None else root
        paths = [row.path for row in read_rows(what, base)[0]]
    if not paths:
        hint = f"files are looked for to any depth by these suffixes: {' '.join(sorted(SUFFIXES))}"
        raise UserError(f"{command}: there are no videos in {what}", hint)
    return dict(sorted((os.path.relpath(path, base), path) for path in paths))


def _videos(folder: Path, above: set[tuple[int, int]], command: str) -> Iterator[str]:
    """Not only regular files: a pipe or a dead link that is named like a video is found, too, and told unreadable."""
    try:
        status = os.stat(folder)
        entries = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
    except OSError as error:
        raise UserError(f"{command}: the folder {folder} cannot be read: {error.strerror}") from error
    identity = (status.st_dev, status.st_ino)
    if identity in above:  # a link to a folder that it lies in
        return
    for entry in entries:
        if entry.is_dir():
            yield from _videos(Path(entry.path), {*above, identity}, command)
        elif _is_video(entry.name):
            yield entry.path


def _is_video(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)
