"""Manifests and folder trees: what they mean, and what a wrong one says."""

import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from vssl.config.errors import UserError
from vssl.video.lists.samples import (
    Listing,
    Samples,
    list_content_hash,
    read_class_folders,
    read_manifest,
    select_split,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Ten files, which lists never open."""
    for name in "abcdefghij":
        (tmp_path / f"{name}.mp4").write_bytes(b"x" * (1 + ord(name) % 7))
    return tmp_path


def read(root: Path, text: str | bytes, **settings: object) -> Listing:
    manifest = root / "clips.csv"
    manifest.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_manifest(manifest, root, **settings)  # type: ignore[arg-type]


def of_split(listing: Listing, split: str) -> list[str]:
    return listing.samples.id[listing.split == split].tolist()


def test_a_row_becomes_a_sample(root: Path) -> None:
    listing = read(
        root,
        "\ufeffpath,label,split,group,start_s,end_s,colour\r\n"
        "a.mp4,wave,train,anna,,,red\r\n"
        '"b.mp4",clap,train,bert,1.5,3,blue\r\n'
        "\r\n"
        "b.mp4,clap,test,,3,,green\r\n"
        "./c.mp4,,train,,,,\r\n",
    )
    samples = listing.samples
    assert samples.id.tolist() == ["a.mp4", "b.mp4#1.5-3.0", "b.mp4#3.0-", "c.mp4"]
    assert samples.path.tolist() == [str(root / name) for name in ("a.mp4", "b.mp4", "b.mp4", "c.mp4")]
    np.testing.assert_array_equal(samples.start_s, [np.nan, 1.5, 3, np.nan])
    np.testing.assert_array_equal(samples.end_s, [np.nan, 3, np.nan, np.nan])
    assert samples.labels["label"].tolist() == [1, 0, 0, -1]
    assert samples.group.tolist() == ["anna", "bert", "b.mp4", "c.mp4"]
    assert samples.fold.tolist() == [-1] * 4
    assert listing.split.tolist() == ["train", "train", "test", "unlabelled"]
    assert listing.classes == {"label": ("clap", "wave")}
    assert listing.rule == "the list's own split"


def test_fold_gives_the_split_where_there_is_none(root: Path) -> None:
    text = "path,label,fold\na.mp4,x,0\nb.mp4,y,0\nc.mp4,x,1\nd.mp4,y,2\ne.mp4,,\n"
    assert of_split(read(root, text), "test") == ["a.mp4", "b.mp4"]
    listing = read(root, text.replace("c.mp4,x", "c.mp4,y").replace("a.mp4,x", "a.mp4,y") + "f.mp4,x,0\n", test_fold=1)
    assert (of_split(listing, "test"), of_split(listing, "unlabelled")) == (["c.mp4"], ["e.mp4"])
    assert listing.rule == "fold 1 is the test split"


def test_our_split_holds_out_a_fifth_of_each_class_whatever_the_order(root: Path) -> None:
    rows = [f"v{i}.mp4,{'xyz'[i % 3]}\n" for i in range(150)]
    for i in range(150):
        (root / f"v{i}.mp4").touch()
    listing = read(root, "path,label\n" + "".join(rows))
    tested = listing.split == "test"
    assert Counter(listing.samples.labels["label"][tested].tolist()) == {0: 10, 1: 10, 2: 10}
    assert listing.rule == "our split: a fifth of the videos, by a hash of their path and stratified, is the test split"
    backwards = read(root, "path,label\n" + "".join(reversed(rows)))
    assert set(of_split(backwards, "test")) == set(of_split(listing, "test"))


def test_our_split_never_divides_a_group(root: Path) -> None:
    for i in range(200):
        (root / f"v{i}.mp4").touch()
    rows = "".join(f"v{i}.mp4,{'xy'[i % 2]},g{i // 7}\n" for i in range(200))
    listing = read(root, "path,label,group\n" + rows)
    tested = listing.split == "test"
    assert not set(listing.samples.group[tested]) & set(listing.samples.group[~tested])
    assert 30 <= tested.sum() <= 50
    assert "hash of their group" in listing.rule


def test_segments_of_one_video_stay_together(root: Path) -> None:
    rows = "".join(f"{name}.mp4,{'xy'[ord(name) % 2]},{k},{k + 1}\n" for name in "abcdefghij" for k in range(4))
    listing = read(root, "path,label,start_s,end_s\n" + rows)
    tested = listing.split == "test"
    assert tested.sum() == 8
    assert not set(listing.samples.path[tested]) & set(listing.samples.path[~tested])


def test_class_order(root: Path) -> None:
    text = "path,label,split\na.mp4,x,train\nb.mp4,y,train\n"
    assert read(root, text).samples.labels["label"].tolist() == [0, 1]
    (root / "classes.txt").write_text("\ufeffz\ny\n\nx\n", encoding="utf-8")
    listing = read(root, text)
    assert listing.classes == {"label": ("z", "y", "x")}
    assert listing.samples.labels["label"].tolist() == [2, 1]
    assert read(root, text, classes=["y", "x"]).samples.labels["label"].tolist() == [1, 0]


def test_integer_labels_stay_as_they_are(root: Path) -> None:
    text = "path,label,split\na.mp4,0,train\nb.mp4,10,train\nc.mp4,2,train\n"
    listing = read(root, text)
    assert listing.samples.labels["label"].tolist() == [0, 10, 2]  # not 0, 1, 2 as sorted text would have it
    assert len(listing.classes["label"]) == 11
    named = read(root, text, classes=[f"class {i}" for i in range(12)])
    assert named.samples.labels["label"].tolist() == [0, 10, 2]
    by_name = read(root, text, classes=["2", "10", "0"])
    assert by_name.samples.labels["label"].tolist() == [2, 1, 0]


def test_a_list_without_labels_is_for_pretraining(root: Path) -> None:
    listing = read(root, "path\na.mp4\nb.mp4\n")
    assert (listing.split.tolist(), listing.classes, listing.samples.labels) == (["unlabelled"] * 2, {}, {})


def test_labels_of_the_unlabelled_split_are_not_handed_over(root: Path) -> None:
    listing = read(root, "path,label,split\na.mp4,x,train\nb.mp4,y,train\nc.mp4,x,unlabelled\n")
    assert listing.samples.labels["label"].tolist() == [0, 1, -1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,lable\na.mp4,x\n", r"clips.csv, line 1: unknown column 'lable'; did you mean 'label'\?"),
        ("Path,label\na.mp4,x\n", r"line 1: unknown column 'Path'; did you mean 'path'\?"),
        ("path,start,end\na.mp4,0,1\n", r"line 1: unknown column 'start'; did you mean 'start_s'\?"),
        ("path,label,path\na.mp4,x,b.mp4\n", "line 1: column 'path' stands there twice"),
        ("file,label\na.mp4,x\n", "line 1: there is no column 'path'; the header has 'file', 'label'\n.*hint: .*path,"),
        ("path;label\na.mp4;x\n", "line 1: columns are separated by ';' instead of a comma"),
        ("a.mp4 412\n", "line 1: columns are separated by ' ' instead of a comma"),
        ("", "line 1: there is no column 'path'; the header has nothing"),
        ("path,label\n\n", "clips.csv: there is no row under the header"),
        (b"path,label\na.mp4,x\nb\xe9.mp4,y\n", "line 3: byte 0xe9 is not UTF-8\n.*save the file as UTF-8"),
        ('path,label\na.mp4,"x\n', "line 2: this is no CSV"),
        ("path,label\na.mp4,x,y\n", r"line 2: 3 values for 2 columns \(path, label\)\n.*double quotes"),
        ("path,label\n,x\n", "line 2: the path is empty"),
        ("path,label\n../up.mp4,x\n", "line 2: path '../up.mp4' leads out of data.root"),
        ("path,label\n/etc/passwd,x\n", "line 2: path '/etc/passwd' leads out of data.root"),
        ("path,label\na.mp4,x\nb.mp4,y\n./a.mp4,x\n", "line 4: 'a.mp4' is already in line 2"),
        ("path,label\na.mp4,x\nq.mp4,y\nr.mp4,y\n", "2 of 3 files are missing below .*; the first .* line 3: .*q.mp4"),
        ("path,start_s\na.mp4,soon\n", "line 2: start_s 'soon' is no number of seconds"),
        ("path,end_s\na.mp4,inf\n", "line 2: end_s 'inf' is no number of seconds"),
        ("path,start_s,end_s\na.mp4,3,3\n", "line 2: start_s 3 is not before end_s 3"),
        ("path,label,fold\na.mp4,x,-1\n", "line 2: fold '-1' is no whole number from 0 on"),
        ("path,label,fold\na.mp4,x,\nb.mp4,y,0\n", "line 2: a video with a label needs a fold"),
        ("path,label,fold\na.mp4,x,1\nb.mp4,y,3\n", "data.test_fold: .*clips.csv has no fold 0; it has 1, 3"),
        ("path,label,fold\na.mp4,x,0\nb.mp4,y,0\n", "no video is in the training split"),
        ("path,label,split\na.mp4,x,tset\n", r"line 2: split 'tset' is none of .*; did you mean 'test'\?"),
        ("path,label,split\na.mp4,x,validation\n", "hint: the split that results are read from is called 'test'"),
        ("path,label,split\na.mp4,x,\nb.mp4,y,train\n", "line 2: a video with a label needs a split"),
        ("path,label,split\na.mp4,x,train\nb.mp4,y,train\nc.mp4,,test\n", "line 4: a test video needs a label"),
        ("path,label,split\na.mp4,x,train\nb.mp4,y,test\n", "line 3: class 'y' is in the test split and not"),
        ("path,label\na.mp4,x\nb.mp4,x\n", "clips.csv: there is one class, 'x', and a comparison needs two"),
        ("path,label\na.mp4,\nb.mp4,\n", "there is no class: the column 'label' is empty in all 2 rows"),
        ("path,label\na.mp4,1\nb.mp4,123456789\n", r"line 3: label 123456789 is outside 0..99999\n.*classes.txt"),
    ],
)  # fmt: skip
def test_a_wrong_manifest_says_where_and_what(root: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(UserError, match=f"(?s){message}"):
        read(root, text)


def test_labels_outside_the_given_classes(root: Path) -> None:
    with pytest.raises(UserError, match=r"line 3: label 'calp' is none of the 2 classes; did you mean 'clap'\?\n.*1 "):
        read(root, "path,label\na.mp4,wave\nb.mp4,calp\n", classes=["wave", "clap"])
    with pytest.raises(UserError, match=r"line 2: label 2 is outside 0..1\n.*1 of 2 rows"):
        read(root, "path,label\na.mp4,2\nb.mp4,0\n", classes=["wave", "clap"])
    with pytest.raises(UserError, match=r"data.classes: the class 'x' stands there twice"):
        read(root, "path,label\na.mp4,x\nb.mp4,y\n", classes=["x", "y", "x"])


def test_the_advice_of_a_message_works(root: Path) -> None:
    text = "path,lable\na.mp4,x\nb.mp4,y\n"
    with pytest.raises(UserError, match="'label'"):
        read(root, text)
    assert len(read(root, text.replace("lable", "label")).classes["label"]) == 2


def test_a_column_that_only_resembles_a_known_one_is_left_alone(root: Path) -> None:
    assert read(root, "path,label,fold,folder,labelling\na.mp4,x,0,f,1\nb.mp4,y,1,f,1\nc.mp4,x,1,f,1\nd.mp4,y,0,f,1\n")


def test_missing_root_and_manifest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data.root: there is no folder"):
        read_manifest(tmp_path / "clips.csv", tmp_path / "absent")
    with pytest.raises(UserError, match=r"the manifest .*clips.csv cannot be read: No such file"):
        read_manifest(tmp_path / "clips.csv", tmp_path)


def touch(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")
    return root


def test_class_folders(tmp_path: Path) -> None:
    names = [f"{label}/{i}.MP4" for label in ("wave", "clap") for i in range(5)]
    touch(tmp_path, *names, "wave/deep/er.avi", "wave/notes.txt", ".git/x.mp4", "unlabelled/u.webm")
    listing = read_class_folders(tmp_path)
    assert listing.classes == {"label": ("clap", "wave")}
    assert set(listing.samples.id) == {*names, "wave/deep/er.avi", "unlabelled/u.webm"}
    assert of_split(listing, "unlabelled") == ["unlabelled/u.webm"]
    assert Counter(listing.split.tolist()) == {"train": 9, "test": 2, "unlabelled": 1}
    assert listing.rule.startswith("our split")


def test_class_folders_under_train_and_test(tmp_path: Path) -> None:
    touch(tmp_path, "train/x/1.mp4", "train/y/1.mp4", "test/x/1.mp4", "test/y/1.mp4", "unlabelled/deep/1.mp4")
    listing = read_class_folders(tmp_path)
    assert of_split(listing, "test") == ["test/x/1.mp4", "test/y/1.mp4"]
    assert of_split(listing, "unlabelled") == ["unlabelled/deep/1.mp4"]
    assert listing.samples.labels["label"].tolist() == [0, 1, 0, 1, -1]


def test_a_folder_of_videos_is_for_pretraining(tmp_path: Path) -> None:
    listing = read_class_folders(touch(tmp_path, "1.mp4", "2.mp4"))
    assert (listing.split.tolist(), listing.classes) == (["unlabelled"] * 2, {})


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["notes.txt"], r"there are no videos in the folders of .*\n  hint: .*wave/clip_01.mp4"),
        (["x/1.mp4", "y/1.mp4", "loose.mp4"], r"loose.mp4' lies beside the class folders"),
        (["train/x/1.mp4", "val/x/1.mp4"], r"beside 'train', .* has the folder 'val', which is no split"),
        (["train/x/1.mp4", "train/y/1.mp4", "test/z/1.mp4"], r"test/z/1.mp4: class 'z' is in the test split and not"),
        (["x/1.mp4"], r"there is one class, 'x'"),
    ],
)
def test_a_wrong_tree_says_what_is_expected(tmp_path: Path, paths: list[str], message: str) -> None:
    with pytest.raises(UserError, match=f"(?s){message}"):
        read_class_folders(touch(tmp_path, *paths))


def made(labels: list[int], group: list[str] | None = None, fold: list[int] | None = None) -> Samples:
    n = len(labels)
    ids = np.array([f"v{i}" for i in range(n)])
    return Samples(
        id=ids, path=ids, start_s=np.full(n, np.nan), end_s=np.full(n, np.nan), labels={"label": np.array(labels)},
        group=np.array(group) if group else ids, fold=np.array(fold if fold else [-1] * n),
    )  # fmt: skip


def test_settings_are_selected_on_the_lowest_training_fold() -> None:
    fit, select, rule = select_split(made([0, 1] * 6, fold=[3, 3, 3, 3, 1, 1, 1, 1, 4, 4, 4, 4]))
    assert select.tolist() == [4, 5, 6, 7]
    assert fit.tolist() == [0, 1, 2, 3, 8, 9, 10, 11]
    assert rule == "fold 1 selects settings"


@pytest.mark.parametrize("fold", [None, [2] * 120])  # without folds, and with one left
def test_settings_are_selected_by_group_without_folds(fold: list[int] | None) -> None:
    samples = made([i % 3 for i in range(120)], group=[f"g{i // 4}" for i in range(120)], fold=fold)
    fit, select, rule = select_split(samples)
    assert sorted([*fit, *select]) == list(range(120))
    assert not set(samples.group[fit]) & set(samples.group[select])
    assert 18 <= len(select) <= 30
    assert set(samples.labels["label"][select]) == {0, 1, 2}
    assert "hash of their group" in rule


def test_a_list_too_small_to_select_settings_is_refused() -> None:
    with pytest.raises(UserError, match="2 training videos cannot be divided"):
        select_split(made([0, 1]))


def test_take_and_concatenate() -> None:
    one, two = made([0, 1, 2]), Samples(**{**vars(made([5])), "labels": {"shape": np.array([7])}})
    assert one.take(np.array([2, 0])).id.tolist() == ["v2", "v0"]
    assert one.take(np.array([False, True, False])).labels["label"].tolist() == [1]
    both = Samples.concatenate([one, two])
    assert len(both) == 4
    assert both.labels["label"].tolist() == [0, 1, 2, -1]
    assert both.labels["shape"].tolist() == [-1, -1, -1, 7]
    copy = pickle.loads(pickle.dumps(both))
    assert copy.list_hash() == both.list_hash()


def test_list_hash_is_of_ids_and_labels_in_their_order() -> None:
    samples = made([0, 1, 2])
    assert samples.list_hash() == Samples(**{**vars(samples), "path": np.array(["p", "q", "r"])}).list_hash()
    others = [samples.take(np.array([1, 0, 2])), made([0, 1, 1]), samples.take(np.arange(2))]
    others.append(Samples(**{**vars(samples), "labels": {"shape": samples.labels["label"]}}))
    assert len({samples.list_hash(), *(other.list_hash() for other in others)}) == 5


def test_content_hash_sees_file_sizes_and_not_the_root(tmp_path: Path) -> None:
    hashes = []
    for folder, size in (("here", 3), ("there", 3), ("changed", 4)):
        touch(tmp_path / folder, "a.mp4", "b.mp4")
        (tmp_path / folder / "b.mp4").write_bytes(b"y" * size)
        samples = read(tmp_path / folder, "path\na.mp4\nb.mp4\n").samples
        hashes.append(list_content_hash([samples.take(np.array([0])), samples.take(np.array([1]))]))
    assert hashes[0] == hashes[1] != hashes[2]


def test_real_list(shared_data: Path) -> None:
    root = shared_data / "egogestar10"
    listing = read_manifest(root / "clips.csv", root)
    assert Counter(listing.split.tolist()) == {"train": 164, "test": 53}
    assert listing.classes["label"][:3] == ("carret", "circlecc", "del")
    fit, select, _ = select_split(listing.samples.take(listing.split == "train"))
    assert (len(fit), len(select)) == (116, 48)
    info = read_manifest(root / "clips_info.csv", root, test_fold=3)
    assert Counter(info.split.tolist()) == {"train": 177, "test": 40, "unlabelled": 20}
