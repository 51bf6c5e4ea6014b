"""One process a folder: refused while it lives, taken over when it is gone."""

import datetime
import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vssl.config.errors import UserError, WorkError
from vssl.records.locks import LOCK, Busy, FolderLock, waiting_lock

HOLD = """
import sys, time
from pathlib import Path
from vssl.records.locks import FolderLock
with FolderLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> "Iterator[subprocess.Popen[str]]":
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_live_holder_is_named(tmp_path: Path, holder: "subprocess.Popen[str]") -> None:
    with pytest.raises(UserError, match=rf"in use by process {holder.pid} on {os.uname().nodename}"):
        FolderLock(tmp_path).__enter__()


def test_a_killed_holder_is_replaced_at_once(tmp_path: Path, holder: "subprocess.Popen[str]") -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / LOCK).exists()
    begun = time.monotonic()
    with FolderLock(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    assert time.monotonic() - begun < 5
    assert not (tmp_path / LOCK).exists()


def test_it_can_be_held_again_after_it_was_left(tmp_path: Path) -> None:
    for _ in range(2):
        with FolderLock(tmp_path), pytest.raises(UserError, match="in use"):
            FolderLock(tmp_path).__enter__()


def test_another_host_is_waited_for_until_its_beat_is_old(tmp_path: Path) -> None:
    path = tmp_path / LOCK
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "started": "2026-01-01T00:00:00+00:00"}))
    with pytest.raises(UserError, match="process 1 on elsewhere"), FolderLock(tmp_path):
        pass
    old = time.time() - 61
    os.utime(path, (old, old))
    with FolderLock(tmp_path):
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_the_heart_beats(tmp_path: Path) -> None:
    with FolderLock(tmp_path, beat_s=0.05):
        os.utime(tmp_path / LOCK, (0, 0))
        deadline = time.monotonic() + 10
        while (tmp_path / LOCK).stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert (tmp_path / LOCK).stat().st_mtime > 0


def test_a_lock_file_cut_short_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text('{"host": "els')
    with FolderLock(tmp_path):
        pass


FORK = """
import os, sys, time
from pathlib import Path
from vssl.records.locks import FolderLock
FolderLock(Path(sys.argv[1])).__enter__()
if os.fork() == 0:
    time.sleep(60)
print(os.getpid(), flush=True)
time.sleep(60)
"""


def test_a_forked_worker_does_not_keep_the_lock_of_its_killed_parent(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", FORK, str(tmp_path)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == f"{process.pid}\n"
        time.sleep(0.2)  # the child has left fork() by then
        process.kill()
        process.wait()
        with FolderLock(tmp_path):
            pass
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # the worker


def test_an_exception_inside_gives_the_folder_back(tmp_path: Path) -> None:
    def break_off() -> None:
        with FolderLock(tmp_path):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert not (tmp_path / LOCK).exists()
    with FolderLock(tmp_path):
        pass


def test_a_folder_that_is_not_there_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(WorkError, match=r"cannot lock .*nowhere: No such file"):
        FolderLock(tmp_path / "nowhere").__enter__()


GARBAGE = [
    "", "{", "[]", "null", '"text"', "\0\0\0", '{"host": 1, "pid": 2, "started": "2026-01-01T00:00:00+00:00"}',
    '{"host": "elsewhere", "pid": "2", "started": "2026-01-01T00:00:00+00:00"}',
    '{"host": "elsewhere", "pid": -1, "started": "2026-01-01T00:00:00+00:00"}',
    '{"host": "elsewhere", "pid": 2, "started": "yesterday"}', '{"host": "elsewhere", "pid": 2}',
]  # fmt: skip


@pytest.mark.parametrize("text", GARBAGE)
def test_garbage_in_the_lock_file_holds_nobody_up(tmp_path: Path, text: str) -> None:
    (tmp_path / LOCK).write_text(text)
    with FolderLock(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    assert not (tmp_path / LOCK).exists()


def test_a_number_that_another_process_was_given_holds_nobody_up(tmp_path: Path) -> None:
    """The holder is gone, and process 1 has its number: here the kernel's lock says so."""
    (tmp_path / LOCK).write_text(json.dumps({"host": os.uname().nodename, "pid": 1, "started": AGES_AGO}))
    with FolderLock(tmp_path):
        pass


AGES_AGO = "2001-01-01T00:00:00+00:00"


@pytest.fixture
def no_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network file system without locks; none can be mounted here."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.usefixtures("no_flock")
def test_where_the_kernel_cannot_say_it_the_process_number_does(tmp_path: Path) -> None:
    """A live process holds the folder, unless it began after the lock was taken: then it was given the number since."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    live = {"host": os.uname().nodename, "pid": os.getpid(), "started": now}
    (tmp_path / LOCK).write_text(json.dumps(live))
    with pytest.raises(Busy, match=f"in use by process {os.getpid()}"):
        FolderLock(tmp_path).__enter__()
    (tmp_path / LOCK).write_text(json.dumps({**live, "started": AGES_AGO}))
    with FolderLock(tmp_path):
        pass
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / LOCK).write_text(json.dumps({**live, "pid": gone.pid}))
    with FolderLock(tmp_path):
        pass


def test_waiting_for_a_holder_says_so_once_and_then_has_the_folder(tmp_path: Path) -> None:
    told: list[str] = []
    first = FolderLock(tmp_path)
    first.__enter__()
    threading.Timer(0.3, first.__exit__, (None, None, None)).start()
    with waiting_lock(tmp_path, told.append, poll_s=0.02), pytest.raises(Busy):
        FolderLock(tmp_path).__enter__()
    assert len(told) == 1
    assert told[0].startswith(f"{tmp_path} is in use by process {os.getpid()} on ")
    assert told[0].endswith(": waiting for it")
    assert not (tmp_path / LOCK).exists()
