"""Which files are looked at."""

import os
from pathlib import Path

import pytest

from vssl.config.errors import UserError
from vssl.video.upkeep.check_list import files_to_check


def test_a_folder_is_searched_to_any_depth(tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9.mp4")
    names = ["b.MP4", "a/c.h264", "a/b/视频 (a=b), c.webm", f"a/{odd}", "a\nb.ts", "x.mp4/inner.gif", "mistake.mp3"]
    for name in [*names, "notes.txt", ".hidden.mp4", ".git/a.mp4", "a/check.csv"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / "pipe.avi")
    (tmp_path / "dead.mkv").symlink_to("nowhere")
    found = files_to_check(tmp_path)
    assert list(found) == sorted([*names, "pipe.avi", "dead.mkv"])
    assert all(path == str(tmp_path / name) for name, path in found.items())


def test_linked_folders_are_searched_once_on_every_way(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "a.mp4").touch()
    (tmp_path / "clips" / "deep").mkdir(parents=True)
    (tmp_path / "clips" / "near").symlink_to(tmp_path / "far")
    (tmp_path / "clips" / "deep" / "round").symlink_to(tmp_path / "clips")
    assert list(files_to_check(tmp_path / "clips")) == ["near/a.mp4"]


def test_a_manifest_names_files_whatever_they_are_called(tmp_path: Path) -> None:
    text = 'path,label,start_s,end_s\na.mp4,x,0,1\na.mp4,x,1,2\n"b, c",y,,\nabsent.mp4,y,,\n'
    (tmp_path / "clips.csv").write_text(text)
    (tmp_path / "root").mkdir()
    names = ["a.mp4", "absent.mp4", "b, c"]  # a file once, however many segments it has
    assert files_to_check(tmp_path / "clips.csv") == {name: str(tmp_path / name) for name in names}
    found = files_to_check(tmp_path / "clips.csv", tmp_path / "root")
    assert found == {name: str(tmp_path / "root" / name) for name in names}


def test_one_video(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    assert files_to_check(tmp_path / "a.mp4") == {"a.mp4": str(tmp_path / "a.mp4")}


def test_every_odd_file_is_found(shared_data: Path) -> None:
    assert len(files_to_check(shared_data / "odd")) == 52


def test_wrong_requests(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no folder or manifest .*absent"):
        files_to_check(tmp_path / "absent")
    with pytest.raises(UserError, match=r"there are no videos in .*\n  hint: .* \.mp4 "):
        files_to_check(tmp_path)
    with pytest.raises(UserError, match="data.root: .* is no manifest"):
        files_to_check(tmp_path, tmp_path)
    (tmp_path / "clips.csv").write_text("file\na.mp4\n")
    with pytest.raises(UserError, match="data.root: there is no folder .*absent"):
        files_to_check(tmp_path / "clips.csv", tmp_path / "absent")
    with pytest.raises(UserError, match="there is no column 'path'"):
        files_to_check(tmp_path / "clips.csv")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    (tmp_path / "closed").mkdir(mode=0)
    with pytest.raises(UserError, match="closed cannot be read: Permission denied"):
        files_to_check(tmp_path)
