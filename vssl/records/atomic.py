"""Files that are either whole or absent: a temporary file beside the target, fsync, rename."""

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vssl.config.errors import UserError, WorkError

_ADVICE = {
    errno.ENOSPC: "free some space or choose another folder, then run the same command again",
    errno.EDQUOT: "the quota is used up: free some space or choose another folder, then run the same command again",
    errno.EROFS: "the file system is read-only: choose another folder",
    errno.EACCES: "choose a folder that you may write to",
    errno.EPERM: "choose a folder that you may write to",
}


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; it takes the place of `path` if the block ends without an exception.

    The former content of `path` stays until the rename, also when the disk fills up during the write. The temporary
    file keeps the ending of `path`, for writers that choose a format by it.

    Raises:
        WorkError: the operating system refused a write (no space, no permission, ...).
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem[:100]}.{os.getpid()}-{os.urandom(4).hex()}.tmp{path.suffix}")
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        if isinstance(error.filename, str) and Path(error.filename) not in (temporary, path, path.parent):
            raise  # the block stumbled over a file of its own, one that it reads perhaps
        raise WorkError(f"cannot write {path}: {error.strerror or error}", _advice(error)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, obj: object) -> None:
    """Writes readable JSON, atomically.

    Raises:
        ValueError: `obj` holds a float that is not finite; other readers of JSON would choke on it.
    """
    write_text(path, json.dumps(obj, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def writable(folder: Path, keep: bool = True) -> None:
    """Creates `folder` with its parents and proves that files can be written there; on failure nothing is left behind.

    Args:
        keep: False asks only: folders that had to be made are removed again.
    Raises:
        UserError: the folder cannot be made or written to. Asked before work starts, so exit code 2.
    """
    folder = Path(folder)
    made: list[Path] = []
    try:
        for missing in _missing(folder):
            missing.mkdir()
            made.append(missing)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0")
            probe.flush()
    except OSError as error:
        _remove(made)
        raise UserError(f"cannot write to the folder {folder}: {error.strerror or error}", _advice(error)) from error
    if not keep:
        _remove(made)


def _remove(made: list[Path]) -> None:
    for folder in reversed(made):
        # Another process may have put something into it meanwhile.
        with contextlib.suppress(OSError):
            folder.rmdir()


def _missing(folder: Path) -> list[Path]:
    """The folders that have to be made, outermost first."""
    chain = [folder, *folder.parents]
    return [part for part in reversed(chain) if not part.exists()]


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _advice(error: OSError) -> str:
    return _ADVICE.get(error.errno or 0, "choose another folder")
