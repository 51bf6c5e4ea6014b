"""`data=ssv2`: the official labels and validation list; templates lose their brackets."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from datamodules.ssv2 import SomethingV2
from vssl.config.errors import UserError

Official = Callable[[str], Path]
Files = Callable[..., Path]


def test_the_official_lists(official: Official, shared_data: Path) -> None:
    """The official train list is not at hand; its fields are those of the validation list."""
    folder = official("ssv2")
    (folder / "something-something-v2-validation_first300.json").rename(folder / "train.json")
    lists = SomethingV2(str(folder)).lists(folder)
    assert (len(lists.classes), len(lists.train), len(lists.test)) == (174, 300, 24777)
    named = (shared_data / "annotations/ssv2/label_map_mmaction2.txt").read_text().splitlines()
    assert list(lists.classes) == named
    assert {entry.label for entry in lists.test} == set(range(174))
    first, last = lists.test[0], lists.test[-1]
    assert (first.id, lists.classes[first.label]) == ("74225", "Spinning something that quickly stops spinning")
    assert first.where == f"{folder / 'something-something-v2-validation.json'}, line 2"
    # Another project's list of the same videos: id, first frame, last frame, class.
    theirs = (shared_data / "annotations/ssv2/validation_processed_first300.txt").read_text().split("\n")[:300]
    ours = {entry.id: entry.label for entry in lists.test}
    assert [ours[row.split()[0]] for row in theirs] == [int(row.split()[3]) for row in theirs]
    assert last.id == "36585"


LABELS = {"Closing something": "1", "Opening something": "0"}


def small(folder: Path, **changed: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"id": str(i), "template": f"{'Closing' if i % 2 else 'Opening'} [something]"} for i in range(20)]
    content = {"labels": LABELS, "train": rows[:14], "validation": rows[14:], **changed}
    for name, value in content.items():
        (folder / f"{name}.json").write_text(value if isinstance(value, str) else json.dumps(value, indent=1))
    return folder


def test_videos_of_a_tree(videos: Files) -> None:
    root = videos(*[f"20bn-something-something-v2/{i}.mp4" for i in range(20)])
    small(root / "labels")
    data = SomethingV2(str(root))
    assert data.samples("test").id.tolist() == [str(i) for i in range(14, 20)]
    assert data.samples("test").labels["label"].tolist() == [0, 1] * 3
    assert data.classes == {"label": ("Opening something", "Closing something")}
    assert not data.flip_safe
    with data.reader.open(data.samples("train").path[3]) as video:
        assert video.frames(np.arange(12)).shape == (12, 32, 32, 3)


ROW = '{"id": "1", "template": "Opening [something]"}'


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"train": '[{"id": "1", "template": "Opning [something]"}]'}, "line 1: .*mean 'Opening something'"),
        ({"train": f'[\n{ROW},\n{{"id": 2, "template": ""}}]'}, "train.json, line 3: 'id' has to be text; it is 2"),
        ({"train": f'[\n{ROW},\n\n{{"id": "2"}}]'}, "train.json, line 4: 'template' has to be text; it has id"),
        ({"train": f"[\n{ROW},\n7]"}, "train.json, line 3: an object is expected, found 7"),
        ({"train": f"[\n{ROW}\n{ROW}]"}, "train.json, line 2: this is no JSON: ',' or ']' is missing"),
        ({"train": f"[\n{ROW},\n{{broken}}]"}, "train.json, line 3: this is no JSON"),
        ({"train": f"[\n{ROW},\n{ROW}]"}, "train.json, line 3: '1' is already in .*train.json, line 2"),
        ({"train": "id;label\n"}, "train.json, line 1: this is no JSON array"),
        ({"train": "[]"}, "is empty"),
        ({"labels": {"Opening something": "1", "Closing something": "2"}}, "labels.json: .*'0' to '1'; 0 is none"),
        ({"labels": "[1]"}, "labels.json: an object of JSON is expected"),
        ({"labels": "{\n'a': 1}"}, "labels.json, line 2: this is no JSON"),
    ],
)  # fmt: skip
def test_wrong_lists_name_file_and_line(touched: Files, changed: dict[str, object], told: str) -> None:
    root = touched(*[f"{i}.webm" for i in range(20)])
    small(root / "annotations", **changed)
    with pytest.raises(UserError, match=told):
        SomethingV2(str(root)).samples("train")


def test_the_test_list_has_no_labels(official: Official) -> None:
    folder = official("ssv2")
    (folder / "something-something-v2-test.json").rename(folder / "train.json")
    with pytest.raises(UserError, match="train.json, line 2: 'template' has to be text; it has id"):
        SomethingV2(str(folder)).lists(folder)
