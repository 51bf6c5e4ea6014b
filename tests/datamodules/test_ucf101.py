"""`data=ucf101`: the official splits, and a run from a tree of files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from datamodules.ucf101 import UCF101
from vssl.cli.main import main
from vssl.config.bind import bind
from vssl.config.compose import compose
from vssl.config.errors import UserError
from vssl.records.record import read_record
from vssl.training.run import pretrain

Official = Callable[[str], Path]
Files = Callable[..., Path]


@pytest.mark.parametrize(("split", "train", "test"), [(1, 9537, 3783), (2, 9586, 3734), (3, 9624, 3696)])
def test_the_official_lists(official: Official, split: int, train: int, test: int) -> None:
    folder = official("ucf101")
    lists = UCF101(str(folder), split=split).lists(folder)  # type: ignore[arg-type]
    assert (len(lists.train), len(lists.test)) == (train, test)
    assert len({entry.id for entry in (*lists.train, *lists.test)}) == 13320
    assert (lists.classes[0], lists.classes[99], lists.classes[100]) == ("ApplyEyeMakeup", "WritingOnBoard", "YoYo")
    assert len(lists.classes) == 101
    assert lists.rule == f"official split {split} of 3"
    assert not {entry.group for entry in lists.train} & {entry.group for entry in lists.test}
    assert {entry.label for entry in lists.train} == set(range(101))


def test_rows_of_the_official_lists(official: Official) -> None:
    folder = official("ucf101")
    lists = UCF101(str(folder)).lists(folder)
    first, last = lists.train[0], lists.test[-1]
    assert (first.id, first.label, first.group) == ("v_ApplyEyeMakeup_g08_c01", 0, "v_ApplyEyeMakeup_g08")
    assert (last.id, last.label, last.where) == ("v_YoYo_g07_c04", 100, f"{folder / 'testlist01.txt'}, line 3783")
    # The folder and the files of this class differ in one letter.
    (odd,) = [entry for entry in lists.test if entry.id == "v_HandStandPushups_g01_c01"]
    assert lists.classes[odd.label] == "HandstandPushups"


ROWS = [(name, group, clip) for name in ("Archery", "YoYo") for group in range(1, 7) for clip in (1, 2)]


def small(folder: Path, classes: str = "1 Archery\r\n2 YoYo\r\n", **lists: str) -> Path:
    """Lists of split 1 with two classes in the official form: two groups to test, four to train."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {
        part: [f"{name}/v_{name}_g{group:02d}_c{clip:02d}.avi" for name, group, clip in ROWS if (group < 3) == is_test]
        for part, is_test in (("train", False), ("test", True))
    }
    train = "\r\n".join(f"{path} {1 if 'Archery' in path else 2}" for path in names["train"]) + "\r\n"
    (folder / "classInd.txt").write_bytes(classes.encode())
    (folder / "trainlist01.txt").write_bytes(lists.get("train", train).encode())
    (folder / "testlist01.txt").write_bytes(lists.get("test", "\r\n".join(names["test"]) + "\r\n").encode())
    return folder


def paths(suffix: str = ".avi") -> list[str]:
    return [f"UCF-101/{name}/v_{name}_g{group:02d}_c{clip:02d}{suffix}" for name, group, clip in ROWS]


def test_samples_of_a_tree(touched: Files) -> None:
    root = touched(*paths(".MP4"))  # transcoded
    small(root / "ucfTrainTestlist")
    data = UCF101(str(root))
    train, test = data.samples("train"), data.samples("test")
    assert (len(train), len(test), len(data.samples("unlabelled"))) == (16, 8, 0)
    assert train.id[0] == "v_Archery_g03_c01"
    assert train.path[0] == str(root / "UCF-101/Archery/v_Archery_g03_c01.MP4")
    assert test.labels["label"].tolist() == [0] * 4 + [1] * 4
    assert data.classes == {"label": ("Archery", "YoYo")}
    assert np.isnan(train.start_s).all() and set(test.fold) == {-1}
    assert data.split_rule == "official split 1 of 3"


def test_a_run(videos: Files, tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    root = videos(*paths(".mp4")[:-1])  # the last one, of the training videos, is missing
    small(root / "annotations")
    words = [*tiny, "data=ucf101", "data.max_missing_fraction=0.2", "budget.steps=1", "run.name=ucf", "run.workers=0"]
    composed = compose(words, paths={"data.root": str(root)})
    folder = pretrain(composed, bind(composed.tree))
    record = read_record(folder)
    assert record["identity"]["split"] == (
        "official split 1 of 3; 1 of 16 listed training videos are missing; at most 48 training videos"
    )
    assert record["lists"]["train"] == {
        "videos": 15, "hash": UCF101(str(root), max_missing_fraction=0.2).samples("train").list_hash(),
        "listed": 16, "found": 15, "missing": ["v_YoYo_g06_c02"],
    }  # fmt: skip
    assert (record["lists"]["test"]["listed"], record["lists"]["test"]["found"]) == (8, 8)
    assert "1 of 16 listed training videos are missing" in (folder / "log.txt").read_text()
    words = ["data=ucf101", f"data.root={root}", "data.max_missing_fraction=0.2", "eval=knn", "run.workers=0", *tiny]
    assert main(["evaluate", str(folder), *words]) == 0
    assert main(["table", "runs"]) == 0
    assert "Split: official split 1 of 3; 1 of 16 listed training videos are missing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"classes": "0 Archery\n1 YoYo\n"}, "classInd.txt, line 1: expected is '1 Class'"),
        ({"classes": "1 Archery\n2 Archery\n"}, "classInd.txt, line 2: expected is '2 Class'"),
        ({"train": "Archery/v_Archery_g03_c01.avi 2\n"}, "line 1: class 2 is given for Archery, which is 1"),
        ({"train": "\nArchry/v_Archry_g03_c01.avi 1\n"}, "list01.txt, line 2: class 'Archry' .*did you mean 'Archery'"),
        ({"train": "v_Archery_g03_c01.avi 1\n"}, "trainlist01.txt, line 1: expected is 'Class/video.avi'"),
        ({"train": "Archery/../v.avi 1\n"}, "trainlist01.txt, line 1: expected is 'Class/video.avi'"),
        ({"train": ""}, "the list of training videos in .* is empty"),
        ({"train": "YoYo/v_YoYo_g01_c01.avi 2\n"}, "testlist01.txt, line 5: .* is already in .*list01.txt, line 1"),
        ({"test": "YoYo/v_YoYo_g01_c01.avi\nYoYo/v_YoYo_g01_c01.avi\n"}, "testlist01.txt, line 2: .* is already in"),
    ],
)  # fmt: skip
def test_wrong_lists_name_file_and_line(touched: Files, change: dict[str, str], told: str) -> None:
    root = touched(*paths())
    small(root / "annotations", **change)
    with pytest.raises(UserError, match=told) as caught:
        UCF101(str(root)).samples("train")
    assert caught.value.exit_code == 2


def test_a_list_that_is_not_there(touched: Files) -> None:
    root = touched(*paths())
    (small(root / "annotations") / "trainlist01.txt").rename(root / "annotations" / "trainlist1.txt")
    with pytest.raises(UserError, match=r"has no file trainlist01.txt; did you mean 'trainlist1.txt'\?"):
        UCF101(str(root)).samples("train")
