"""Files are whole or absent."""

import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from vssl.config.errors import UserError, WorkError
from vssl.records.atomic import atomic, writable, write_bytes, write_json, write_text


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def test_the_new_content_takes_the_place_of_the_old(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")
    write_text(tmp_path / "a.txt", "nëw\n")
    assert (tmp_path / "a.txt").read_bytes() == "nëw\n".encode()
    assert left(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
def test_a_write_that_breaks_off_leaves_the_old_content_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    write_text(tmp_path / "a.ckpt", "old")

    def break_off() -> None:
        with atomic(tmp_path / "a.ckpt") as temporary:
            assert temporary.suffix == ".ckpt"
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        break_off()
    assert (tmp_path / "a.ckpt").read_text() == "old" and left(tmp_path) == ["a.ckpt"]


def test_a_full_disk_is_one_message_with_advice(tmp_path: Path) -> None:
    write_text(tmp_path / "a.ckpt", "old")

    def run_full() -> None:
        with atomic(tmp_path / "a.ckpt") as temporary:
            temporary.write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(WorkError, match=r"cannot write .*a\.ckpt: No space left") as caught:
        run_full()
    assert "free some space" in str(caught.value) and caught.value.exit_code == 1
    assert (tmp_path / "a.ckpt").read_text() == "old" and left(tmp_path) == ["a.ckpt"]


def test_json_refuses_what_other_readers_would_choke_on(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert left(tmp_path) == []
    write_json(tmp_path / "a.json", {"name": "视频", "n": 1})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"name": "视频", "n": 1}


def test_writable_makes_parents_and_leaves_no_probe(tmp_path: Path) -> None:
    writable(tmp_path / "a/b/c")
    assert left(tmp_path) == ["a", "b", "c"]


def test_writable_can_only_ask(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    writable(tmp_path / "a/b/c", keep=False)
    assert left(tmp_path) == ["a"]


def test_a_folder_below_a_file_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write to the folder .*file/runs") as caught:
        writable(tmp_path / "file/runs")
    assert caught.value.exit_code == 2 and left(tmp_path) == ["file"]


HALF = """
import os, signal, sys
from pathlib import Path
from vssl.records.atomic import atomic
with atomic(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_during_the_write_leaves_the_old_content(tmp_path: Path) -> None:
    write_text(tmp_path / "a.ckpt", "old")
    done = subprocess.run([sys.executable, "-c", HALF, str(tmp_path / "a.ckpt")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "a.ckpt").read_text() == "old"


def test_a_file_of_its_own_that_the_block_stumbles_over_is_not_called_a_failed_write(tmp_path: Path) -> None:
    def read_another() -> None:
        with atomic(tmp_path / "a.txt"):
            (tmp_path / "source.txt").read_text()

    with pytest.raises(FileNotFoundError, match=r"source\.txt"):
        read_another()
    assert left(tmp_path) == []


def test_a_folder_that_is_gone_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(WorkError, match=r"cannot write .*gone/a\.txt: No such file"):
        write_text(tmp_path / "gone/a.txt", "new")


def test_a_read_only_file_system_is_said_and_made_folders_go_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(UserError, match=r"cannot write to the folder .*runs/new: Read-only file system") as caught:
        writable(tmp_path / "runs/new")
    assert "the file system is read-only: choose another folder" in str(caught.value)
    assert caught.value.exit_code == 2 and left(tmp_path) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir(mode=0o555)
    with pytest.raises(UserError, match="Permission denied"):
        writable(tmp_path / "theirs/runs")
    with pytest.raises(WorkError, match="Permission denied"):
        write_text(tmp_path / "theirs/a.txt", "new")


def test_a_full_folder_for_temporary_files_is_named(tmp_path: Path) -> None:
    """Some writers go through /tmp: what cannot be written is said first, then where."""

    def run_full() -> None:
        with atomic(tmp_path / "a.ckpt"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/tmpx")

    with pytest.raises(WorkError, match=r"cannot write .*a\.ckpt: No space left on device \(/tmp/tmpx\)"):
        run_full()


def test_a_copy_that_fails_for_want_of_space_is_a_failed_write(tmp_path: Path) -> None:
    """`shutil` names the source first, and ours second."""

    def run_full() -> None:
        with atomic(tmp_path / "a.ckpt") as temporary:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/tmpx", None, str(temporary))

    with pytest.raises(WorkError, match=r"cannot write .*a\.ckpt: No space left on device\n"):
        run_full()


def test_the_cache_has_an_advice_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSSL_CACHE", str(tmp_path / "cache"))
    for folder, told in (("cache/features", "set VSSL_CACHE to another folder"), ("runs", "run.out=")):
        with pytest.raises(WorkError, match=told):
            write_text(tmp_path / folder / "a.txt", "new")


def test_what_another_process_makes_and_removes_meanwhile_stands_in_nobody_s_way(tmp_path: Path) -> None:
    """Several processes ask for the same new folder at once."""
    asked = "import sys; from pathlib import Path; from vssl.records.atomic import writable\n"
    asked += "for _ in range(150): writable(Path(sys.argv[1]), keep=False)"
    both = [subprocess.Popen([sys.executable, "-c", asked, str(tmp_path / "a/b")]) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert left(tmp_path) in ([], ["a"])  # the one that made it found the other's folder in it


def test_bytes_have_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a.bin", b"new")
    write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.bin").stat().st_mode == (tmp_path / "a.txt").stat().st_mode
    assert (tmp_path / "a.bin").read_bytes() == b"new"
