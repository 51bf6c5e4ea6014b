"""Sets with a published list: what is missing on disk is counted, reported and bounded; where lists are looked for."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from vssl.config.errors import UserError
from vssl.listed import Counted, Lists, OfficialVideos, lists_of, missing_of
from vssl.records.hashes import part_hashes
from vssl.video.lists.entries import Entry
from vssl.video.lists.locate import locate


class Numbers(OfficialVideos):
    """Twenty videos of two classes, called by numbers; the last five are tested."""

    unpacked = ("numbers-v1",)

    def __init__(self, root: str, **shared) -> None:  # type: ignore[no-untyped-def]
        super().__init__(root=root, **shared)
        self.folder: Path | None = None

    def lists(self, folder: Path) -> Lists:
        self.folder = folder
        entries = [Entry(f"list, line {i + 1}", f"v{i}", i % 2, f"g{i // 2}", (f"v{i}",)) for i in range(20)]
        return Lists(("even", "odd"), entries[:15], entries[15:], "official")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for i in range(20):
        if i not in (3, 16):
            (tmp_path / "clips").mkdir(exist_ok=True)
            (tmp_path / "clips" / f"v{i}.mp4").touch()
    return tmp_path


def test_missing_videos_are_counted_in_rule_and_record(root: Path) -> None:
    data = Numbers(str(root), max_missing_fraction=0.2)
    assert (len(data.samples("train")), len(data.samples("test"))) == (14, 4)
    assert "v3" not in data.samples("train").id
    told = "1 of 15 listed training videos are missing"
    assert data.split_rule == f"official; {told}; 1 of 5 listed test videos are missing"
    assert missing_of(data) == f"{told} and 1 of 5 listed test videos are missing"
    record = lists_of(data)
    assert record["train"] == {
        "videos": 14, "hash": data.samples("train").list_hash(), "listed": 15, "found": 14, "missing": ["v3"],
    }  # fmt: skip
    assert (record["test"]["found"], record["test"]["missing"]) == (4, ["v16"])
    assert "unlabelled" not in record


def test_more_missing_than_allowed_is_refused_for_each_split_by_itself(root: Path) -> None:
    with pytest.raises(
        UserError, match=r"1 of 15 training videos are missing below .*=0 allows; the first is v3 of list, line 4"
    ):
        Numbers(str(root)).samples("train")
    # 1 of 15 would do, 1 of 5 does not; the message's advice works.
    with pytest.raises(
        UserError, match=r"1 of 5 test videos .*the first is v16 of list, line 17\n.*max_missing_fraction=0.2 goes"
    ):
        Numbers(str(root), max_missing_fraction=0.1).samples("train")
    assert len(Numbers(str(root), max_missing_fraction=0.2).samples("test")) == 4
    with pytest.raises(ValueError, match=r"max_missing_fraction=1.5 must lie in \[0, 1\]"):
        Numbers(str(root), max_missing_fraction=1.5)


def test_a_wrong_root_is_refused_whatever_is_allowed(root: Path) -> None:
    (root / "empty").mkdir()
    with pytest.raises(
        UserError, match="15 of 15 training videos are missing .*\n  hint: is data.root the folder of the videos"
    ):
        Numbers(str(root / "empty"), max_missing_fraction=1.0).samples("train")
    with pytest.raises(UserError, match="data.root: there is no folder"):
        Numbers(str(root / "none")).samples("train")


def test_training_alone_needs_no_test_videos(root: Path) -> None:
    for i in range(15, 20):
        (root / "clips" / f"v{i}.mp4").unlink(missing_ok=True)
    data = Numbers(str(root), max_missing_fraction=1.0)
    assert (len(data.samples("train")), len(data.samples("test"))) == (14, 0)
    assert lists_of(data)["test"] == {"videos": 0, "listed": 5, "found": 0, "missing": [f"v{i}" for i in range(15, 20)]}


def test_where_the_lists_are_looked_for(root: Path) -> None:
    def found(**settings: str) -> Path | None:
        data = Numbers(str(root), max_missing_fraction=0.2, **settings)
        assert len(data.samples("train")) == 14
        return data.folder

    assert found() == root
    (root / "numbers-v1").mkdir()
    assert found() == root / "numbers-v1"
    (root / "annotations").mkdir()
    assert found() == root / "annotations"
    assert found(annotations=str(root / "clips")) == root / "clips"
    with pytest.raises(UserError, match="data.annotations: there is no folder nowhere"):
        found(annotations="nowhere")


def test_a_few_videos(root: Path) -> None:
    data = Numbers(str(root), max_missing_fraction=0.2, num_videos=10)
    assert (len(data.samples("train")), len(data.samples("test"))) == (10, 2)
    assert data.split_rule.endswith("; at most 10 training videos")
    assert lists_of(data)["train"]["videos"] == 10 and lists_of(data)["train"]["found"] == 14


def test_counted() -> None:
    assert Counted(5, (Entry("", "a", 0, "a"),)).found == 4


def entries(*names: str) -> list[Entry]:
    return [Entry(f"list, line {i}", name, 0, name, (name,)) for i, name in enumerate(names, 1)]


def test_links_are_followed_once(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.mp4").touch()
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "linked").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "back").symlink_to(tmp_path / "root")  # a circle
    found = locate(tmp_path / "root", entries("a", "b"))
    assert found == [str(tmp_path / "root" / "linked" / "a.mp4"), None]


def test_what_is_no_video_is_passed_over(tmp_path: Path) -> None:
    for name in ("a.txt", "b", "c.mp4.part", ".d.mp4", "e.MKV", "f.g.avi"):
        (tmp_path / name).touch()
    found = locate(tmp_path, entries("a", "b", "c", ".d", "e", "f.g"))
    assert [path and Path(path).name for path in found] == [None, None, None, None, "e.MKV", "f.g.avi"]


def test_folders_of_frames_are_found_and_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x" / "a").mkdir(parents=True)
    (tmp_path / "x" / "b.mp4").touch()
    (tmp_path / "x" / "a" / "b").mkdir()
    found = locate(tmp_path, entries("a", "b"), folders=True)
    assert found == [str(tmp_path / "x" / "a"), None]  # b lies inside a, which is one video


def test_a_folder_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: str) -> None:
        raise PermissionError(13, "Permission denied", folder)

    monkeypatch.setattr("vssl.video.lists.locate.os.scandir", refuse)
    with pytest.raises(UserError, match="data.root: .* cannot be read: Permission denied"):
        locate(tmp_path, entries("a"))


def test_each_folder_is_read_once_and_no_file_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(100):
        (tmp_path / str(i % 4)).mkdir(exist_ok=True)
        (tmp_path / str(i % 4) / f"{i}.mp4").touch()
    calls: list[str] = []
    for name in ("scandir", "stat"):
        real: Callable[..., object] = getattr(os, name)
        monkeypatch.setattr(
            f"vssl.video.lists.locate.os.{name}", lambda path, real=real: (calls.append(path), real(path))[1]
        )
    listed = [Entry("", f"{i % 4}/{i}.mp4", 0, "", path=f"{i % 4}/{i}.mp4") for i in range(100)]
    assert None not in locate(tmp_path, listed)
    assert len(calls) <= 3 * 4
    calls.clear()
    assert None not in locate(tmp_path, entries(*map(str, range(100))))
    assert len(calls) == 2 * 5


def test_where_the_lists_lie_is_in_no_hash_and_the_split_is() -> None:
    def hashed(**settings: object) -> str:
        return part_hashes({"data": {"split": 1, "annotations": "a", **settings}}, "content")["data"]

    elsewhere = {"annotations": "b", "train_list": "x", "test_list": "y", "label_map": "z", "outside_root": True}
    assert hashed(**elsewhere, max_missing_fraction=0.5) == hashed()
    assert hashed(split=2) != hashed()
