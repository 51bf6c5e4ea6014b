"""What is known of many files so far, in a file that grows by whole lines: a kill costs no more than its last line."""

import fcntl
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from vssl.config.errors import UserError
from vssl.records.atomic import refused

Stamp = list[Any]


def stamp(path: str, *more: Any) -> Stamp:
    """By what a changed file is told: size and time of its last change, in ns; None for one that is not there.

    Args:
        more: what else is to be the same.
    """
    try:
        status = os.stat(path)
    except OSError:
        return [None, None, *more]
    return [status.st_size, status.st_mtime_ns, *more]


class Journal:
    """Facts by key, each bound to the stamp of its file. One process at a time.

    The first line tells the settings that all others hold under; a journal of other settings is emptied.

    Args:
        path: the file; made where it is missing.
        settings: JSON values.
        fresh: forget what it holds.
    Raises:
        UserError: another process is writing it.
        WorkError: it cannot be written.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], fresh: bool = False) -> None:
        self.path = Path(path)
        self._known: dict[str, tuple[Stamp, dict[str, Any]]] = {}
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise refused(self.path, error) from error
        try:
            self._lock()
            self._read(json.loads(json.dumps(settings)), fresh)
        except BaseException:
            os.close(self._file)
            raise

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another process is writing {self.path}", "wait for it, or end it first") from None
        except OSError:  # a file system without locks
            return

    def _read(self, settings: object, fresh: bool) -> None:
        with open(self.path, "rb") as file:
            content = file.read()
        whole = content.rfind(b"\n") + 1
        lines = content[:whole].splitlines()
        if fresh or not lines or _value(lines[0]) != settings:
            os.ftruncate(self._file, 0)
            self._write(settings)
            return
        os.ftruncate(self._file, whole)  # a line that a kill or a full disk cut short
        for line in lines[1:]:
            if isinstance(row := _value(line), list) and len(row) == 3:
                self._known[row[0]] = (row[1], row[2])

    def get(self, key: str, current: Stamp) -> dict[str, Any] | None:
        """The facts under `key`; None where there are none, or the file is not the same any more, or not there."""
        if current[0] is None:
            return None
        kept, facts = self._known.get(key, (None, None))
        return facts if kept == json.loads(json.dumps(current)) else None

    def add(self, key: str, current: Stamp, facts: dict[str, Any]) -> None:
        """Raises WorkError where the line cannot be written."""
        self._write([key, current, facts])
        self._known[key] = (current, facts)

    def _write(self, row: object) -> None:
        # Escapes, not UTF-8: names on disk may be neither.
        rest = json.dumps(row).encode("ascii") + b"\n"
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            raise refused(self.path, error) from error

    def remove(self) -> None:
        """Once all of it stands elsewhere."""
        with suppress(FileNotFoundError):
            self.path.unlink()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._known:
            self.remove()
        os.close(self._file)


def _value(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
