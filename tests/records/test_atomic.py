"""Files are whole or absent."""

import errno
import json
from pathlib import Path

import pytest

from vssl.config.errors import UserError, WorkError
from vssl.records.atomic import atomic, writable, write_json, write_text


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
