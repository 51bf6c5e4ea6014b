"""`data=video_list`: the manifest is found, its splits and classes reach the framework, and clips come out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from datamodules.video_list import VideoList
from vssl.config.errors import UserError

MakeVideo = Callable[..., Path]


@pytest.fixture
def root(tmp_path: Path, make_video: MakeVideo) -> Path:
    for i in range(6):
        make_video(tmp_path / "data" / f"{i}.mp4", frames=12)
    rows = ["0,wave,train", "1,clap,train", "2,wave,test", "3,clap,test", "4,,", "5,wave,train"]
    text = "path,label,split\n" + "".join(row.replace(",", ".mp4,", 1) + "\n" for row in rows)
    (tmp_path / "data" / "clips.csv").write_text(text)
    return tmp_path / "data"


@pytest.mark.parametrize("decoder", ["pyav", "prepared"])
def test_splits_classes_and_reader(root: Path, cache: Path, decoder: str) -> None:
    data = VideoList(str(root), manifest="clips.csv", decoder=decoder)
    ids = {split: data.samples(split).id.tolist() for split in ("train", "test", "unlabelled")}
    assert ids == {"train": ["0.mp4", "1.mp4", "5.mp4"], "test": ["2.mp4", "3.mp4"], "unlabelled": ["4.mp4"]}
    assert data.classes == {"label": ("clap", "wave")}
    assert data.labels() == ("label",)
    assert data.split_rule == "the list's own split"
    assert data.pretraining().id.tolist() == ["0.mp4", "1.mp4", "5.mp4", "4.mp4"]
    assert not data.flip_safe
    assert not data.reverse_safe
    with data.reader.open(data.samples("test").path[1]) as video:
        assert video.frames(np.arange(0, 12, 3)).shape == (4, 48, 64, 3)


def test_manifest_is_looked_for_below_the_root_and_then_by_its_own_path(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lists").mkdir()
    own = tmp_path / "lists" / "few.csv"
    own.write_text("path\n0.mp4\n")
    monkeypatch.chdir(tmp_path)
    for manifest in (str(own), "lists/few.csv"):
        assert VideoList(str(root), manifest=manifest).samples("unlabelled").id.tolist() == ["0.mp4"]
    with pytest.raises(UserError, match=r"no file clip.csv, .*holds clips.csv; did you mean 'clips.csv'\?"):
        VideoList(str(root), manifest="clip.csv").samples("train")


def test_folders_without_a_manifest(tmp_path: Path, make_video: MakeVideo) -> None:
    for label in ("clap", "wave"):
        for i in range(5):
            make_video(tmp_path / label / f"{i}.mp4", frames=2)
    data = VideoList(str(tmp_path))
    assert (len(data.samples("train")), len(data.samples("test")), len(data.samples("unlabelled"))) == (8, 2, 0)
    assert data.split_rule.startswith("our split")


def test_content_hash_depends_on_the_list_and_not_on_where_it_lies(root: Path) -> None:
    here = VideoList(str(root), manifest="clips.csv").content_hash()
    moved = root.rename(root.with_name("moved"))
    assert VideoList(str(moved), manifest="clips.csv").content_hash() == here
    (moved / "clips.csv").write_text((moved / "clips.csv").read_text().replace("5.mp4,wave", "5.mp4,clap"))
    assert VideoList(str(moved), manifest="clips.csv").content_hash() != here


def test_negative_fold_is_refused() -> None:
    with pytest.raises(ValueError, match="test_fold is counted from 0; got -1"):
        VideoList("anywhere", test_fold=-1)


def test_num_videos_takes_a_few_of_every_split(shared_data: Path) -> None:
    root = str(shared_data / "egogestar10")
    every, data = (VideoList(root, manifest="clips.csv", num_videos=n) for n in (None, 48))
    train, test = data.samples("train"), data.samples("test")
    assert (len(train), len(test)) == (48, 9)
    assert set(train.id) < set(every.samples("train").id)
    assert set(test.id) < set(every.samples("test").id)
    assert set(np.bincount(train.labels["label"])) == {4, 5}
    assert data.classes == every.classes
    assert data.split_rule == "fold 0 is the test split; at most 48 training videos"
    less = VideoList(root, manifest="clips.csv", num_videos=16)
    counts = np.bincount(less.samples("train").labels["label"], minlength=10)
    assert sorted(counts)[-4:] == [4, 4, 4, 4]  # four classes that can be learned, not ten of which none can
    assert set(less.samples("test").labels["label"]) <= set(np.flatnonzero(counts))
    with pytest.raises(ValueError, match="num_videos must be at least 8; got 5"):
        VideoList(root, num_videos=5)


def test_paths_lead_out_of_the_root_only_where_that_is_allowed(root: Path) -> None:
    (root.parent / "out.mp4").touch()
    text = f"path\n0.mp4\n../out.mp4\n{root}/1.mp4\n"
    (root / "clips.csv").write_text(text)
    with pytest.raises(UserError, match=r"line 3: path '\.\./out.mp4' leads out of .*\n.*data.outside_root=true"):
        VideoList(str(root), manifest="clips.csv").samples("unlabelled")
    samples = VideoList(str(root), manifest="clips.csv", outside_root=True).samples("unlabelled")
    assert samples.id.tolist() == ["0.mp4", "../out.mp4", "1.mp4"]
    assert [Path(path).resolve() for path in samples.path] == [root / "0.mp4", root.parent / "out.mp4", root / "1.mp4"]
    (root / "clips.csv").write_text(f"{text}{root.parent}/./out.mp4\n")
    with pytest.raises(UserError, match=r"line 5: '\.\./out.mp4' is already in line 3"):
        VideoList(str(root), manifest="clips.csv", outside_root=True).samples("unlabelled")
