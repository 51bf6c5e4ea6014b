"""Files that are either whole or absent: a temporary file beside the target, fsync, rename."""

import contextlib
import errno
import json
import os
import re
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from vssl.config.errors import UserError, WorkError
from vssl.records.folders import cache_dir

_ADVICE = {
    errno.ENOSPC: "free some space or {choose}, then run the same command again",
    errno.EDQUOT: "the quota is used up: free some space or {choose}, then run the same command again",
    errno.EROFS: "the file system is read-only: {choose}",
    errno.EACCES: "you may not write there: {choose}",
    errno.EPERM: "you may not write there: {choose}",
}

_LEFTOVER = re.compile(r"\..*\.\d+-[0-9a-f]{8}\.tmp(\.[^.]*)?")

# A write that fails for these is the disk's fault, whatever file it was that the block stumbled over.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; it takes the place of `path` if the block ends without an exception.

    The former content of `path` stays until the rename, also when the disk fills up during the write. The temporary
    file keeps the ending of `path`, for writers that choose a format by it. A kill leaves it behind: see
    `remove_leftovers`.

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
        ours = {temporary, path, path.parent}
        named = {Path(name) for name in (error.filename, error.filename2) if isinstance(name, str)}
        elsewhere = named if not named & ours else set()
        if elsewhere and error.errno not in _DISK:
            raise  # the block stumbled over a file of its own, one that it reads perhaps
        raise refused(path, error, elsewhere) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def refused(path: Path, error: OSError, elsewhere: Collection[Path] = ()) -> WorkError:
    """The error for a write to `path` that the operating system refused: what happened, and what to do.

    Args:
        elsewhere: the files that the system named where `path` was not among them, such as one in /tmp.
    """
    other = f" ({', '.join(str(file) for file in sorted(elsewhere))})" if elsewhere else ""
    return WorkError(f"cannot write {path}: {reason(error)}{other}", advice(error, path))


def reason(error: OSError) -> str:
    """The system's words for it, also where a library has put its own around them."""
    return os.strerror(error.errno) if error.errno in _ADVICE else error.strerror or str(error)


def advice(error: OSError, path: Path) -> str:
    """What to do about a write to `path` that the operating system refused."""
    in_cache = path.absolute().is_relative_to(cache_dir().absolute())
    choose = "set VSSL_CACHE to another folder" if in_cache else "choose another folder with run.out= (or out=)"
    return _ADVICE.get(error.errno or 0, "{choose}").format(choose=choose)


def remove_leftovers(folder: Path, older_than_s: float = 0.0) -> None:
    """Removes the temporary files directly in `folder` that killed processes left; what cannot be removed stays.

    Args:
        older_than_s: since their last change. 0 is for a folder that this process holds by a lock; elsewhere another
            process may just be writing.
    """
    with contextlib.suppress(OSError):
        for file in Path(folder).iterdir():
            if _LEFTOVER.fullmatch(file.name) and time.time() - file.stat().st_mtime >= older_than_s:
                file.unlink()


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_bytes(path: Path, data: bytes) -> None:
    """Writes `data`, atomically.

    Also for safetensors: its own `save_file` makes files that nobody else may read, leaves temporary files of its own
    when it is killed, and hides the system's error in a text.
    """
    with atomic(path) as temporary:
        temporary.write_bytes(data)


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
    for tries_left in reversed(range(10)):
        made: list[Path] = []
        try:
            _make_and_write(folder, made)
        except OSError as error:
            _remove(made)
            if isinstance(error, FileNotFoundError) and tries_left:
                continue  # another process that only asked has removed a folder that it had made
            raise UserError(f"cannot write to the folder {folder}: {reason(error)}", advice(error, folder)) from error
        else:
            if not keep:
                _remove(made)
            return


def _make_and_write(folder: Path, made: list[Path]) -> None:
    for missing in _missing(folder):
        # Made by another process meanwhile: not ours to remove.
        with contextlib.suppress(FileExistsError):
            missing.mkdir()
            made.append(missing)
    with tempfile.TemporaryFile(dir=folder) as probe:
        probe.write(b"\0")
        probe.flush()


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
