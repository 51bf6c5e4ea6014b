"""`data=mmaction2`: lists of videos and of frame folders."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from datamodules.mmaction2 import MMAction2
from vssl.config.errors import UserError

Files = Callable[..., Path]


def listed(root: Path, train: str, test: str = "t.mp4 0\n", **settings: object) -> MMAction2:
    (root / "train.txt").write_text(train)
    (root / "val.txt").write_text(test)
    return MMAction2(str(root), **{"train_list": "train.txt", "test_list": "val.txt", **settings})  # type: ignore[arg-type]


def test_videos_of_a_tree(videos: Files) -> None:
    root = videos(*[f"wave hands/{i}.mp4" for i in range(8)], "t.mp4")
    data = listed(root, "".join(f"wave hands/{i}.mp4 {i % 3}\n" for i in range(8)))
    assert data.samples("train").id.tolist() == [f"wave hands/{i}.mp4" for i in range(8)]
    assert data.samples("train").labels["label"].tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert data.samples("test").path.tolist() == [str(root / "t.mp4")]
    assert data.classes == {"label": ("0", "1", "2")}
    assert data.split_rule == "by list: train.txt trains, val.txt is tested"
    with data.reader.open(data.samples("train").path[3]) as video:
        assert video.frames(np.arange(12)).shape == (12, 32, 32, 3)
    (root / "label_map.txt").write_text("a\nb\nc\nd\n")
    data = listed(root, "".join(f"wave hands/{i}.mp4 {i % 3}\n" for i in range(8)))
    assert data.classes == {"label": ("a", "b", "c", "d")}


def test_lists_are_looked_for_beside_the_videos_and_by_their_own_paths(touched: Files, tmp_path: Path) -> None:
    root = touched("a.mp4", "b.mp4")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "few.txt").write_text("a.mp4 0\nb.mp4 1\n")
    for settings in (
        {"train_list": str(tmp_path / "lists" / "few.txt")},
        {"train_list": "few.txt", "annotations": str(tmp_path / "lists")},
    ):
        data = MMAction2(str(root), **settings)  # type: ignore[arg-type]
        assert (len(data.samples("train")), len(data.samples("test"))) == (2, 0)
        assert data.split_rule == "by list: few.txt trains, nothing is tested"
    with pytest.raises(UserError, match=r"data.train_list: there is no file fw.txt, .*; did you mean 'few.txt'\?"):
        MMAction2(str(root), "fw.txt", annotations=str(tmp_path / "lists")).samples("train")
    with pytest.raises(ValueError, match="train_list must be given"):
        MMAction2(str(root))


def test_folders_of_frames(touched: Files) -> None:
    """Their pixels are read in tests/video/decoding/test_frame_folder.py."""
    root = touched("k400/a/img_00001.jpg", "k400/b/img_00001.jpg", "k400/b/img_00002.jpg", "c/img_00001.jpg", "d")
    data = listed(root, "k400/a 1 1\nk400/b 2 0\n", "c 1 1\n", form="frames", decoder="frames")
    assert data.samples("train").path.tolist() == [str(root / "k400/a"), str(root / "k400/b")]
    assert data.samples("train").id.tolist() == ["k400/a#0+1", "k400/b#0+2"]
    assert data.samples("train").labels["label"].tolist() == [1, 0]
    assert data.samples("train").start_s.tolist() == [0.0, 0.0]
    assert data.samples("train").end_s.tolist() == [1 / 25, 2 / 25]
    with pytest.raises(UserError, match="1 of 1 test videos are missing .*; the first is d of"):  # it is a file
        listed(root, "k400/a 1 1\n", "d 3 1\n", form="frames", decoder="frames").samples("train")
    with pytest.raises(UserError, match="data.form=frames does not go with data.decoder=pyav"):
        listed(root, "k400/a 5 1\n", "c 3 1\n", form="frames").samples("train")
    with pytest.raises(UserError, match="data.form=videos does not go with data.decoder=frames"):
        listed(root, "k400/a 1\n", "c 1\n", decoder="frames").samples("train")


def test_a_folder_is_one_video(touched: Files) -> None:
    root = touched("a/img_00001.jpg", "a/img_00002.jpg")
    with pytest.raises(UserError, match="train.txt, line 2: 'a' is already in .*train.txt, line 1"):
        listed(root, "a 1 1\na 2 0\n", "a 1 1\n", form="frames", decoder="frames").samples("train")
    with pytest.raises(UserError, match="val.txt, line 1: 'a' is already in .*train.txt, line 1"):
        listed(root, "a 1 1\n", "a 2 1\n", form="frames", decoder="frames").samples("train")


def test_parts_of_folders(touched: Files) -> None:
    root = touched(*[f"a/img_{i:05}.jpg" for i in range(1, 16)])
    settings = {"form": "frames_with_offset", "decoder": "frames"}
    data = listed(root, "a 2 5 1\na 7 5 0\n", "a 12 3 1\n", **settings)
    entries = data.lists(root).train
    assert [(entry.id, entry.path, entry.frames) for entry in entries] == [
        ("a#2+5", "a", (2, 5)),
        ("a#7+5", "a", (7, 5)),
    ]
    train, test = data.samples("train"), data.samples("test")
    assert (train.start_s.tolist(), train.end_s.tolist()) == ([2 / 25, 7 / 25], [7 / 25, 12 / 25])
    assert (test.start_s.tolist(), test.end_s.tolist()) == ([12 / 25], [15 / 25])
    with pytest.raises(UserError, match=r"1 of 1 test videos .* is a \(15 images, and 16 are needed\) of "):
        listed(root, "a 2 5 1\na 7 5 0\n", "a 12 4 1\n", **settings).samples("train")
    with pytest.raises(UserError, match="train.txt, line 2: -1 5 are no frames"):
        listed(root, "a 2 5 1\na -1 5 0\n", "a 12 3 1\n", **settings).samples("train")


@pytest.mark.parametrize(
    ("form", "name", "label"),
    [
        ("videos", "video_test_list.txt", 0),
        ("frames", "rawframe_test_list.txt", 127),
        ("frames_with_offset", "rawframe_test_list_with_offset.txt", 127),
    ],
)
def test_mmaction2s_own_examples(shared_data: Path, tmp_path: Path, form: str, name: str, label: int) -> None:
    """Each holds the same row twice, for its own tests."""
    folder = shared_data / "annotations" / "mmaction2"
    decoder = "pyav" if form == "videos" else "frames"
    (tmp_path / "imgs").mkdir()
    (tmp_path / "test.mp4").touch()
    data = MMAction2(str(tmp_path), name, annotations=str(folder), form=form, decoder=decoder)  # type: ignore[arg-type]
    assert [entry.label for entry in data._entries(folder / name)] == [label] * 2
    with pytest.raises(UserError, match=rf"{name}, line 2: '.*' is already in .*{name}, line 1"):
        data.samples("train")


@pytest.mark.parametrize(
    ("form", "name", "told"),
    [
        ("videos", "video_test_list_multi_label.txt", "line 1: 'test.mp4 0 3' has more numbers .*\n.*several labels"),
        ("videos", "rawframe_test_list.txt", "line 1: 'imgs 5 127' has more numbers .*\n.*reads 'folder frames label'"),
        ("frames", "video_test_list.txt", "line 1: 'test.mp4 0' is not in the form 'folder frames label'"),
        ("frames", "rawframe_test_list_multi_label.txt", "line 2: 'imgs 5 3 5' has more numbers"),
        ("frames", "rawframe_test_list_with_offset.txt", "line 1: 'imgs 2 5 127' has more numbers"),
        ("frames", "proposal_test_list.txt", "line 1: '# 0' is not in the form"),
        ("videos", "video_text_test_list.json", "line 1: .* is not in the form 'path label'"),
        ("videos", "label_map_jester.txt", "line 1: 'Swiping Left' is not in the form"),
    ],
)  # fmt: skip
def test_other_forms_are_refused(shared_data: Path, tmp_path: Path, form: str, name: str, told: str) -> None:
    folder = shared_data / "annotations" / "mmaction2"
    decoder = "pyav" if form == "videos" else "frames"
    data = MMAction2(str(tmp_path), name, annotations=str(folder), form=form, decoder=decoder)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=told):
        data.samples("train")


@pytest.mark.parametrize(
    ("train", "told"),
    [
        ("a.mp4 0\nb.mp4 -1\n", r"train.txt, line 2: label -1 is outside 0\.\.0"),
        ("a.mp4 0\nb.mp4 one\n", "train.txt, line 2: 'b.mp4 one' is not in the form"),
        ("a.mp4 0\n3\n", "train.txt, line 2: '3' is not in the form"),
        ("a.mp4 0\n./a.mp4 1\n", "train.txt, line 2: 'a.mp4' is already in"),
        ("a.mp4 0\n../../b.mp4 1\n", r"train.txt, line 2: path '\.\./\.\./b.mp4' leads out of data.root"),
        ("\n", "train.txt: the list is empty"),
        ("a.mp4 0\nt.mp4 1\n", r"val.txt, line 1: 't.mp4' is already in .*train.txt, line 2"),
        ("a.mp4 0\nlost.mp4 1\n", "1 of 2 training videos are missing .*is lost.mp4 of .*train.txt, line 2"),
    ],
)  # fmt: skip
def test_wrong_lists_name_file_and_line(touched: Files, train: str, told: str) -> None:
    root = touched("a.mp4", "b.mp4", "t.mp4")
    with pytest.raises(UserError, match=told):
        listed(root, train).samples("train")


def test_a_label_map_that_is_too_short(touched: Files) -> None:
    root = touched("a.mp4", "b.mp4", "t.mp4")
    (root / "names.txt").write_text("x\n")
    with pytest.raises(UserError, match=r"train.txt, line 2: label 1 is outside 0\.\.0\n.*there are 1 classes"):
        listed(root, "a.mp4 0\nb.mp4 1\n", label_map="names.txt").samples("train")


def test_bytes_that_are_no_text(touched: Files) -> None:
    root = touched("a.mp4")
    data = listed(root, "")
    (root / "train.txt").write_bytes(b"a.mp4 0\nb\xff.mp4 1\n")
    with pytest.raises(UserError, match="train.txt, line 2: byte 0xff is not UTF-8"):
        data.samples("train")


def test_several_labels_a_video_are_read_when_told(touched: Files) -> None:
    root = touched("a b.mp4", "b.mp4", "t.mp4")
    (root / "train.txt").write_text("a b.mp4 0 2\nb.mp4 1\n")
    (root / "val.txt").write_text("t.mp4 2 0 2\n")
    with pytest.raises(UserError, match="data.multi_label=true reads several labels"):
        MMAction2(str(root), "train.txt", "val.txt", annotations=str(root)).samples("train")
    data = MMAction2(str(root), "train.txt", "val.txt", annotations=str(root), multi_label=True)
    assert data.samples("train").multi["label"].tolist() == [[True, False, True], [False, True, False]]
    assert data.samples("test").multi["label"].tolist() == [[True, False, True]]
    assert data.classes == {"label": ("0", "1", "2")} and data.samples("train").labels["label"].tolist() == [0, 0]
    (root / "names.txt").write_text("x\ny\n")
    short = MMAction2(str(root), "train.txt", annotations=str(root), multi_label=True, label_map="names.txt")
    with pytest.raises(UserError, match=r"line 1: label 2 is outside 0\.\.1"):
        short.samples("train")
