"""A journal holds what was written in whole lines, for the same settings and unchanged files."""

import os
from pathlib import Path

import pytest

from vssl.config.errors import UserError
from vssl.video.upkeep.journal import Journal, stamp

SETTINGS = {"gop": 8}
ODD = os.fsdecode(b"caf\xe9 \n.mp4")


def test_facts_come_back(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", SETTINGS) as journal:
        journal.add(ODD, [3, 4], {"frames": 7})
        journal.add(ODD, [3, 5], {"frames": 8})  # the later line counts
    with Journal(tmp_path / "j", SETTINGS) as journal:
        assert journal.get(ODD, [3, 5]) == {"frames": 8}
        assert journal.get(ODD, [3, 4]) is None
        assert journal.get("other", [3, 5]) is None


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_line_cut_short_is_dropped_and_the_next_one_is_whole(tmp_path: Path, cut: int) -> None:
    with Journal(tmp_path / "j", SETTINGS) as journal:
        journal.add("a", [1], {"n": 1})
        journal.add("b", [1], {"n": 2})
    content = (tmp_path / "j").read_bytes()
    (tmp_path / "j").write_bytes(content[:-cut])
    with Journal(tmp_path / "j", SETTINGS) as journal:
        assert (journal.get("a", [1]), journal.get("b", [1])) == ({"n": 1}, None)
        journal.add("b", [1], {"n": 2})
    assert (tmp_path / "j").read_bytes() == content


@pytest.mark.parametrize("other", [({"gop": 9}, False), (SETTINGS, True)])
def test_other_settings_or_fresh_forget(tmp_path: Path, other: tuple[dict[str, int], bool]) -> None:
    with Journal(tmp_path / "j", SETTINGS) as journal:
        journal.add("a", [1], {"n": 1})
    with Journal(tmp_path / "j", *other) as journal:
        assert journal.get("a", [1]) is None
        journal.add("a", [1], {"n": 2})
    with Journal(tmp_path / "j", other[0]) as journal:
        assert journal.get("a", [1]) == {"n": 2}


def test_garbage_is_emptied(tmp_path: Path) -> None:
    (tmp_path / "j").write_bytes(b"\xff\x00 no json\n[1]\n")
    with Journal(tmp_path / "j", SETTINGS) as journal:
        journal.add("a", [1], {"n": 1})
    assert (tmp_path / "j").read_text().count("\n") == 2


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", SETTINGS), pytest.raises(UserError, match="another process is writing .*j"):
        Journal(tmp_path / "j", SETTINGS)


def test_without_facts_no_file_stays(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", SETTINGS):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_stamp_tells_change_and_absence(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("one")
    before = stamp(str(file), "x")
    os.utime(file, ns=(1, 1))
    assert stamp(str(file), "x") != before
    assert stamp(str(file), "x") == [3, 1, "x"]
    assert stamp(str(tmp_path / "absent")) == [None, None]
    with Journal(tmp_path / "j", SETTINGS) as journal:
        journal.add("absent", [None, None], {"n": 1})
        assert journal.get("absent", [None, None]) is None
