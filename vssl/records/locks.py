"""One process a folder: `flock` for this host, a heartbeat for all others.

The kernel drops a `flock` with its process, however that one died, so a run that was killed here is taken over at once.
Network file systems do not carry it to other hosts reliably; for those the lock file's age speaks.
"""

import contextlib
import datetime
import errno
import fcntl
import json
import os
import socket
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from vssl.config.errors import UserError, WorkError
from vssl.records.atomic import advice, reason

LOCK = ".lock"
BEAT_S = 10.0
STALE_S = 60.0
POLL_S = 0.5
CLOCK_SLACK_S = 2.0  # `started` is in whole seconds, the start of a process in hundredths

_NO_FLOCK = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


@dataclass(frozen=True)
class Holder:
    """Who holds a folder: host name, process id, and since when (ISO 8601, UTC)."""

    host: str
    pid: int
    started: str


class Busy(UserError):
    """Another live process holds the folder."""


class FolderLock:
    """Holds an existing folder for this process while the `with` block runs; `<folder>/.lock` says who it is.

    Entering raises `Busy`, naming host and pid, while another process holds the folder: one on this host that is
    alive, or one on another host that gave a sign of life within the last `STALE_S` seconds. Not reentrant: a second
    lock of the same process is refused like anyone's.
    """

    def __init__(self, folder: Path, beat_s: float = BEAT_S, stale_s: float = STALE_S) -> None:
        self.folder, self.path = Path(folder), Path(folder) / LOCK
        self.beat_s, self.stale_s = beat_s, stale_s
        self._handle: int | None = None
        self._ended = threading.Event()

    def __enter__(self) -> "FolderLock":
        try:
            self._handle = self._acquire()
            self._own = Holder(socket.gethostname(), os.getpid(), _now())
            os.ftruncate(self._handle, 0)
            os.pwrite(self._handle, json.dumps(asdict(self._own)).encode(), 0)
        except OSError as error:
            if self._handle is not None:
                with contextlib.suppress(OSError):
                    self.path.unlink()  # a full disk holds an empty file, but nobody's name
            self._close()
            raise WorkError(f"cannot lock {self.folder}: {reason(error)}", advice(error, self.folder)) from error
        _held.add(self)
        self._ended.clear()
        threading.Thread(target=self._beat, name=f"heartbeat {self.folder.name}", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        _held.discard(self)
        # Removed while it is still locked: whoever opened it before sees that and opens the new one (see `_acquire`).
        if _holder(self.path) == self._own:
            with contextlib.suppress(OSError):  # a disk that became read-only must not hide what the block met there
                self.path.unlink()
        self._close()

    def _acquire(self) -> int:
        """An open and locked descriptor of the lock file that lies at `path` now."""
        while True:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                self._try(handle)
                if _same_file(handle, self.path):
                    return handle
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)

    def _try(self, handle: int) -> None:
        flocked = True
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _busy(self.folder, _holder(self.path)) from None
        except OSError as error:
            if error.errno not in _NO_FLOCK:
                raise
            flocked = False
        holder = _holder(self.path)
        if holder is None:
            return
        if holder.host == socket.gethostname():
            if not flocked and _alive(holder):
                raise _busy(self.folder, holder)
        elif (age_s := self._age_s(handle)) < self.stale_s:
            raise _busy(self.folder, holder, f"taken over {self.stale_s - age_s:.0f} s from now if it shows no life")

    def _age_s(self, handle: int) -> float:
        """Seconds since the last beat, by the file system's clock alone: hosts disagree about the time."""
        with tempfile.TemporaryFile(dir=self.folder) as new:
            return os.fstat(new.fileno()).st_mtime - os.fstat(handle).st_mtime

    def _beat(self) -> None:
        while not self._ended.wait(self.beat_s):
            # One beat that a full or lost disk swallows does no harm; `stale_s` allows for several.
            with contextlib.suppress(OSError):
                os.utime(self.path)

    def _close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def is_held(folder: Path, stale_s: float = STALE_S) -> bool:
    """Whether a live process holds the folder, by what it wrote; asking disturbs nobody."""
    path = Path(folder) / LOCK
    holder = _holder(path)
    if holder is None:
        return False
    if holder.host == socket.gethostname():
        return _alive(holder)
    try:
        return time.time() - path.stat().st_mtime < stale_s
    except OSError:
        return False


@contextmanager
def waiting_lock(folder: Path, told: Callable[[str], None], poll_s: float = POLL_S) -> Iterator[None]:
    """A `FolderLock` that waits for another holder; `told` is given one line that says whom it waits for."""
    lock = FolderLock(folder)
    spoke = False
    while True:
        try:
            lock.__enter__()
            break
        except Busy as busy:
            if not spoke:
                told(f"{str(busy).splitlines()[0]}: waiting for it")
            spoke = True
            time.sleep(poll_s)
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


_held: "weakref.WeakSet[FolderLock]" = weakref.WeakSet()


def _drop_in_child() -> None:
    """A forked loader worker would keep the lock of a killed run alive: it closes its copy of the descriptor."""
    for lock in list(_held):
        lock._close()
    _held.clear()


os.register_at_fork(after_in_child=_drop_in_child)


def _holder(path: Path) -> Holder | None:
    """Who is written into the lock file; None where nobody is, where the writing was cut short, or it is garbage."""
    try:
        holder = Holder(**json.loads(path.read_text(encoding="utf-8")))
        datetime.datetime.fromisoformat(holder.started)
    except (OSError, ValueError, TypeError):
        return None
    return holder if isinstance(holder.host, str) and isinstance(holder.pid, int) and holder.pid > 0 else None


def _busy(folder: Path, holder: Holder | None, hint: str = "wait for it, or end it first") -> Busy:
    who = f"process {holder.pid} on {holder.host}, since {holder.started}" if holder else "another process"
    return Busy(f"{folder} is in use by {who}", hint)


def _same_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def _alive(holder: Holder) -> bool:
    """Whether the process that took the lock is alive, and not another one that was given its number since."""
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    begun = _begun(holder.pid)
    taken = datetime.datetime.fromisoformat(holder.started).timestamp()
    return begun is None or begun <= taken + CLOCK_SLACK_S


def _begun(pid: int) -> float | None:
    """When a process began, in seconds since 1970; None where the system does not tell (it does on Linux)."""
    try:
        ticks = int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
        up_s = float(Path("/proc/uptime").read_text(encoding="utf-8").split()[0])
    except (OSError, ValueError, IndexError):
        return None
    return time.time() - up_s + ticks / os.sysconf("SC_CLK_TCK")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
