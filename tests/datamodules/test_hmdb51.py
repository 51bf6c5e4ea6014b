"""`data=hmdb51`: the official splits, codes, and names in any encoding."""

import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from datamodules.hmdb51 import HMDB51
from vssl.config.errors import UserError

Official = Callable[[str], Path]
Files = Callable[..., Path]


@pytest.mark.parametrize("split", [1, 2, 3])
def test_the_official_lists(official: Official, shared_data: Path, split: int) -> None:
    folder = official("hmdb51")
    lists = HMDB51(str(folder), split=split).lists(folder)  # type: ignore[arg-type]
    assert Counter(entry.label for entry in lists.train) == dict.fromkeys(range(51), 70)
    assert Counter(entry.label for entry in lists.test) == dict.fromkeys(range(51), 30)
    assert len({entry.id for entry in (*lists.train, *lists.test)}) == 5100
    named = (shared_data / "annotations/mmaction2/label_map_hmdb51.txt").read_text().splitlines()
    assert list(lists.classes) == named
    assert lists.rule == f"official split {split} of 3"


def test_rows_of_the_official_lists(official: Official) -> None:
    folder = official("hmdb51")
    lists = HMDB51(str(folder)).lists(folder)
    by_id = {entry.id: entry for entry in (*lists.train, *lists.test)}
    tested = by_id["20060723sfjffbartsinger_wave_f_cm_np1_ba_med_0"]
    assert tested in lists.test and tested.group == "20060723sfjffbartsinger"
    assert tested.where == f"{folder / 'wave_test_split1.txt'}, line 1"
    trained = by_id["metacafe_coolsoccer_run_f_cm_np10_le_bad_2"]  # ten people
    assert trained.group == "metacafe_coolsoccer" and lists.classes[trained.label] == "run"
    assert all(entry.group != entry.id for entry in by_id.values())
    # A class's clips of one film are on one side.
    sides = {(entry.group, entry.label) for entry in lists.train} & {(entry.group, entry.label) for entry in lists.test}
    assert not sides


def small(folder: Path, split: int = 1, encoding: str = "utf-8") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("clap", "wave"):
        rows = [f"Amélie_{name}_u_nm_np1_fr_med_{i}.avi {1 if i < 5 else 2 if i < 8 else 0} \n" for i in range(9)]
        (folder / f"{name}_test_split{split}.txt").write_bytes("".join(rows).encode(encoding))
    return folder


def names() -> list[str]:
    return [f"{name}/Amélie_{name}_u_nm_np1_fr_med_{i}.avi" for name in ("clap", "wave") for i in range(9)]


@pytest.mark.parametrize("in_list", ["utf-8", "latin-1"])
@pytest.mark.parametrize("on_disk", ["utf-8", "latin-1", "decomposed"])
def test_names_are_the_same_in_any_encoding(tmp_path: Path, make_video: Files, in_list: str, on_disk: str) -> None:
    root = tmp_path / "root"
    for name in names():
        make_video(root / name, frames=2, size=(32, 32))
        stored = name.replace("é", "e\u0301").encode() if on_disk == "decomposed" else name.encode(on_disk)
        os.rename(root / name, os.path.join(os.fsencode(root), stored))
    small(root / "testTrainMulti_7030_splits", encoding=in_list)
    data = HMDB51(str(root))
    train = data.samples("train")
    assert (len(train), len(data.samples("test"))) == (10, 6)  # and two are left out
    assert train.id[0] == "Amélie_clap_u_nm_np1_fr_med_0"
    assert set(train.group) == {"Amélie"}
    with data.reader.open(train.path[0]) as video:
        assert video.frames(np.arange(2)).shape == (2, 32, 32, 3)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("clip.avi 3\n", "clap_test_split1.txt, line 1: expected is 'clip.avi 1', with 1 to train, 2 to test"),
        ("\nclip.avi\n", "line 2: expected is"),
        ("../clip.avi 1\n", "line 1: expected is"),
        ("a.avi 1\na.avi 1\n", "clap_test_split1.txt, line 2: 'a' is already in .*clap_test_split1.txt, line 1"),
    ],
)
def test_wrong_rows_name_file_and_line(touched: Files, row: str, told: str) -> None:
    root = touched(*names())
    (small(root / "annotations") / "clap_test_split1.txt").write_text(row)
    with pytest.raises(UserError, match=told):
        HMDB51(str(root)).samples("train")


def test_a_class_that_lacks_its_list(official: Official, touched: Files, shared_data: Path) -> None:
    root = touched(*names())
    folder = small(root / "annotations")
    (folder / "run_test_split2.txt").write_text("x_run_f_cm_np1_le_bad_2.avi 1\n")
    with pytest.raises(UserError, match=r"has no file run_test_split1.txt"):
        HMDB51(str(root)).samples("train")
    (folder / "run_test_split2.txt").unlink()
    (folder / "classes.txt").write_text("wave\nclap\n")
    assert HMDB51(str(root)).classes == {"label": ("wave", "clap")}
    (folder / "classes.txt").write_text("wave\nclap\nrun\n")
    with pytest.raises(UserError, match="class 'run' is in the class list and has no split lists"):
        HMDB51(str(root)).samples("train")
    (folder / "classes.txt").write_text("wave\n")
    with pytest.raises(UserError, match="class 'clap' is not in the class list"):
        HMDB51(str(root)).samples("train")
    sample = shared_data / "annotations/hmdb51/testTrainMulti_7030_splits_sample"  # some classes of some splits
    with pytest.raises(UserError, match=re.escape("_test_split1.txt")):
        HMDB51(str(root), annotations=str(sample)).samples("train")
