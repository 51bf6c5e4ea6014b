"""Bytes of files on servers, by ranged reads through fsspec: few, bounded tries, then one error.

Optional: `pip install 'vssl[remote]'`. Other protocols than http(s) need fsspec's package for them, such as s3fs.
"""

import io
import time
from collections.abc import Callable
from typing import Any, TypeVar

from vssl.config.errors import ConfigError

INSTALL = "pip install 'vssl[remote]'"
TRIES = 4
FIRST_WAIT_S = 0.5  # before the second try; twice as long before each further one
CONNECT_S, SILENCE_S = 30.0, 60.0  # how long a server may take to answer, and to send the next bytes
BLOCK_BYTES = 2**16  # read at a time from a file of which little is wanted
PASSING_STATUS = (408, 425, 429)  # and all from 500 on
Result = TypeVar("Result")


class RemoteError(OSError):
    """A read from a server that failed for good. `str` says why."""


def is_remote(file: str) -> bool:
    return "://" in file


def file_system(url: str, key: str = "data.root") -> tuple[Any, str]:
    """fsspec's file system of a URL, and what the file is called there.

    Raises:
        ConfigError: the library is not there.
    """
    protocol = url.partition("://")[0]
    options = {}
    try:
        import fsspec

        if protocol in ("http", "https"):
            import aiohttp

            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S)
            options = {"client_kwargs": {"timeout": timeout}}
        return fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        raise ConfigError(f"{key}: {protocol}:// cannot be read: {error}", f"{INSTALL} reads http(s)") from error
    except ValueError as error:
        raise ConfigError(f"{key}: {url} cannot be read: {error}", "http, https, s3 and gs are usual") from error


def size_and_tag(url: str) -> tuple[int, str]:
    """Bytes of a file on a server, and what changes with its content. Raises RemoteError."""
    system, path = file_system(url)
    info = _tried(lambda: system.info(path))
    if not info.get("size"):
        raise RemoteError("the server does not tell its size")
    if not _gives_ranges(system, path):
        raise RemoteError("the server does not give parts of a file (HTTP ranges): use another one, or a local copy")
    known = ("ETag", "Last-Modified", "LastModified", "mtime", "updated")
    return int(info["size"]), "|".join(str(info[key]) for key in known if info.get(key))


def _gives_ranges(system: Any, path: str) -> bool:
    def second_byte() -> bool:
        try:
            with system.open(path, "rb", block_size=1, cache_type="none") as file:
                file.seek(1)
                return len(file.read(1)) == 1
        except ValueError:  # fsspec's word for a server that sends the whole file, of which it then reads nothing
            return False

    return _tried(second_byte)


def fetch(url: str, start: int, end: int) -> bytes:
    """Bytes `start` to `end` of a file on a server. Raises RemoteError."""
    system, path = file_system(url)

    def part() -> bytes:
        content = bytes(system.cat_file(path, start=start, end=end))
        if len(content) != end - start:
            raise ConnectionError(f"{len(content)} bytes came for the {end - start} from byte {start} on")
        return content

    return _tried(part)


def _tried(read: Callable[[], Result]) -> Result:
    """What `read` gives, tried again while the failure may pass."""
    tries = 0
    while True:
        tries += 1
        try:
            return read()
        except Exception as error:  # each protocol's library raises its own
            why = _cause(error)
            if tries == TRIES or not _may_pass(why):
                told = f" ({tries} tries)" if tries > 1 else ""
                is_missing = isinstance(why, FileNotFoundError)
                reason = "the server has no such file" if is_missing else str(why) or type(why).__name__
                raise RemoteError(f"{reason}{told}") from error
        time.sleep(FIRST_WAIT_S * 2 ** (tries - 1))


def _cause(error: BaseException) -> BaseException:
    """fsspec calls a file missing whatever went wrong when it asked for its size."""
    return error.__cause__ or error if isinstance(error, FileNotFoundError) else error


def _may_pass(error: BaseException) -> bool:
    if isinstance(status := getattr(error, "status", None), int):
        return status >= 500 or status in PASSING_STATUS
    return not isinstance(error, (FileNotFoundError, PermissionError, MemoryError))


class RemoteFile(io.RawIOBase):
    """A file on a server that is read here and there: what `tarfile` seeks in. Wrap it in a `BufferedReader`."""

    def __init__(self, url: str, size: int) -> None:
        self._url, self._size, self._at = url, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), self._size - self._at)
        if count <= 0:
            return 0
        buffer[:count] = fetch(self._url, self._at, self._at + count)
        self._at += count
        return count
