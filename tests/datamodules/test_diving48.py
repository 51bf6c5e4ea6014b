"""`data=diving48`: the official lists of V2 and their vocabulary."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from datamodules.diving48 import Diving48
from vssl.config.errors import UserError

Official = Callable[[str], Path]
Files = Callable[..., Path]


def test_the_official_lists(official: Official, shared_data: Path) -> None:
    """Of the train list the first 300 rows are at hand."""
    folder = official("diving48")
    (folder / "Diving48_V2_train_first300.json").rename(folder / "Diving48_V2_train.json")
    lists = Diving48(str(folder)).lists(folder)
    assert (len(lists.classes), len(lists.train), len(lists.test)) == (48, 300, 1970)
    named = (shared_data / "annotations/diving48/label_map_mmaction2.txt").read_text().splitlines()
    assert list(lists.classes) == named
    first = lists.train[0]
    assert (first.id, first.label, first.group) == ("-mmq0PT-u8k_00155", 0, "-mmq0PT-u8k")
    assert (
        lists.test[-1].id == "ovWCmIMMkRI_00052" and lists.classes[lists.test[-1].label] == "Reverse+Dive+NoTwis+TUCK"
    )
    assert len({entry.group for entry in lists.test}) == 26  # recordings
    assert len({entry.label for entry in lists.test}) == 47  # one class has no test video


def test_videos_of_a_tree(videos: Files, official: Official) -> None:
    folder = official("diving48")
    rows = json.loads((folder / "Diving48_V2_train_first300.json").read_text())
    (folder / "Diving48_V2_train.json").write_text(json.dumps(rows[:8]))
    (folder / "Diving48_V2_test.json").write_text(json.dumps(rows[8:12]))
    root = videos(*[f"rgb/{row['vid_name']}.mp4" for row in rows[:12]])
    data = Diving48(str(root), annotations=str(folder))
    assert data.samples("train").id.tolist() == [row["vid_name"] for row in rows[:8]]
    assert data.samples("test").labels["label"].tolist() == [row["label"] for row in rows[8:12]]
    with data.reader.open(data.samples("train").path[3]) as video:
        assert video.frames(np.arange(12)).shape == (12, 32, 32, 3)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"vid_name": "a_00001", "label": 48}, r"Diving48_V2_train.json, line 1: label 48 is outside 0\.\.47"),
        ({"vid_name": "a_00001", "label": -1}, r"line 1: label -1 is outside 0\.\.47"),
        ({"vid_name": "a_00001", "label": "3"}, "line 1: 'label' has to be a whole number"),
        ({"vid_name": "a_00001", "label": True}, "line 1: 'label' has to be a whole number; it is true"),
        ({"label": 3}, "line 1: 'vid_name' has to be text; it has label"),
    ],
)
def test_wrong_rows_name_file_and_line(official: Official, row: dict[str, object], told: str) -> None:
    folder = official("diving48")
    (folder / "Diving48_V2_train.json").write_text(json.dumps([row]))
    with pytest.raises(UserError, match=told):
        Diving48(str(folder)).lists(folder)


def test_another_vocabulary(official: Official) -> None:
    folder = official("diving48")
    (folder / "Diving48_V2_train_first300.json").rename(folder / "Diving48_V2_train.json")
    (folder / "Diving48_vocab.json").write_text('[["Back", "Dive"], ["Forward", "Dive"]]')
    with pytest.raises(
        UserError, match=r"is outside 0\.\.1\n.* rows have such a label; Diving48_vocab.json has 2 classes"
    ):
        Diving48(str(folder)).lists(folder)
    (folder / "Diving48_vocab.json").write_text('["Back", "Forward"]')
    with pytest.raises(UserError, match=r"Diving48_vocab.json: expected is an array that holds an array"):
        Diving48(str(folder)).lists(folder)
