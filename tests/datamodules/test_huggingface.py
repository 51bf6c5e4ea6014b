"""`data=huggingface`: tables give the clips of the plain files; what is wrong in one is told with file and row."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datamodules.huggingface import HuggingFace
from datamodules.video_list import VideoList
from tests.conftest import write_grey_video
from tests.datamodules.packing import clips, same
from vssl.cli.main import main
from vssl.config.errors import ConfigError, UserError
from vssl.video.decoding import addresses
from vssl.video.decoding.addresses import Row, Span
from vssl.video.lists import tables

CLASSES = ("wave", "clap")  # not in the order of the alphabet, as the notes of a column may have it
NOTED = {"info": {"features": {"label": {"names": list(CLASSES), "_type": "ClassLabel"}, "video": {"_type": "Video"}}}}
STRUCT = pa.struct({"bytes": pa.binary(), "path": pa.string()})


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("plain")
    for i in range(14):
        part = "train" if i < 10 else "test"
        write_grey_video(root / part / CLASSES[i % 2] / f"{i:02d}.mp4", frames=12 + i, size=(32, 48), gop=5)
    (root / "classes.txt").write_text("\n".join(CLASSES))
    return root


def table(files: Sequence[Path], kind: pa.DataType = STRUCT, names: Sequence[str] | None = CLASSES) -> pa.Table:
    """Videos of files as a column of this kind, and their class, as a number if there are `names`."""
    given = [file.read_bytes() for file in files]
    if pa.types.is_struct(kind):
        videos: list[Any] = [{"bytes": content, "path": file.name} for content, file in zip(given, files, strict=True)]
    else:
        videos = given
    labels = [file.parent.name for file in files]
    column = labels if names is None else [names.index(label) for label in labels]
    found = pa.table({"label": column, "video": pa.array(videos, kind)})
    return found if names is None else found.replace_schema_metadata({"huggingface": json.dumps(NOTED)})


def split(root: Path, part: str) -> list[Path]:
    return sorted((root / part).rglob("*.mp4"))


def as_parquet(plain: Path, root: Path, **how: Any) -> Path:
    (root / "data").mkdir(parents=True)
    train = split(plain, "train")
    for number, files in enumerate((train[:4], train[4:])):
        pq.write_table(table(files), root / "data" / f"train-{number:05d}-of-00002.parquet", row_group_size=3, **how)
    pq.write_table(table(split(plain, "test")), root / "data" / "test-00000-of-00001.parquet")
    return root


def write_arrow(file: Path, content: pa.Table, rows: int, options: pa.ipc.IpcWriteOptions | None = None) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, content.schema, options=options) as writer:
        writer.write_table(content, max_chunksize=rows)
    return file


def as_saved(plain: Path, root: Path, kind: pa.DataType = STRUCT) -> Path:
    """What `DatasetDict.save_to_disk` writes."""
    for part in ("train", "test"):
        write_arrow(root / part / "data-00000-of-00001.arrow", table(split(plain, part), kind), rows=4)
        state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_split": part}
        (root / part / "state.json").write_text(json.dumps(state))
    (root / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    return root


FORMS: dict[str, tuple[Callable[..., Path], dict[str, Any], type]] = {
    "parquet": (as_parquet, {}, Row),
    "compressed parquet": (as_parquet, {"compression": "zstd"}, Row),
    "saved": (as_saved, {}, Span),
    "saved large": (as_saved, {"kind": pa.struct({"path": pa.string(), "bytes": pa.large_binary()})}, Span),
    "saved bytes": (as_saved, {"kind": pa.binary()}, Span),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_clips_are_those_of_the_plain_files(plain: Path, tmp_path: Path, cache: Path, form: str) -> None:
    make, how, kind = FORMS[form]
    root = make(plain, tmp_path / "made", **how)
    files, rows = VideoList(str(plain)), HuggingFace(str(root))
    assert rows.classes == files.classes == {"label": CLASSES}
    assert rows.split_rule == "split train trains, split test is tested"
    for part in ("train", "test"):
        ours, theirs = rows.samples(part), files.samples(part)  # type: ignore[arg-type]
        assert ours.id.tolist() == [f"{part}/{i}" for i in range(len(theirs))]
        assert {type(addresses.parsed(path)) for path in ours.path.tolist()} == {kind}
        pairs = list(zip(clips(rows, ours), clips(files, theirs), strict=True))
        assert [same(one, other) for one, other in pairs] == [True] * len(pairs)
    prepared = HuggingFace(str(root), decoder="prepared")
    assert all(same(a, b) for a, b in zip(clips(prepared, ours), clips(files, theirs), strict=True))
    assert HuggingFace(str(shutil.move(root, tmp_path / "moved"))).content_hash() == rows.content_hash()


def test_rows_are_found_in_every_batch_and_group(plain: Path, tmp_path: Path) -> None:
    files = split(plain, "train")
    content = [file.read_bytes() for file in files]
    pq.write_table(table(files), tmp_path / "train.parquet", row_group_size=4)
    write_arrow(tmp_path / "train.arrow", table(files), rows=3)
    for name in ("train.parquet", "train.arrow"):
        paths = HuggingFace(str(tmp_path / name)).listing.samples.path.tolist()
        assert [addresses.read_bytes(path) for path in paths] == content
        assert [addresses.name(path).rpartition(", ")[2] for path in paths] == [f"row {i}" for i in range(len(files))]


def test_rows_that_hold_paths(plain: Path, tmp_path: Path) -> None:
    files = split(plain, "train")
    relative = [{"bytes": None, "path": str(file.relative_to(plain))} for file in files]
    mixed = [one if i % 2 else {"bytes": files[i].read_bytes(), "path": None} for i, one in enumerate(relative)]
    for videos in (relative, mixed, [one["path"] for one in relative]):
        root = tmp_path / str(len(list(tmp_path.iterdir())))
        shutil.copytree(plain, root)
        labels = [CLASSES.index(file.parent.name) for file in files]
        pq.write_table(pa.table({"video": videos, "label": labels}), root / "train.parquet", row_group_size=3)
        paths = HuggingFace(str(root)).listing.samples.path.tolist()
        assert [addresses.read_bytes(path) for path in paths] == [file.read_bytes() for file in files]
    videos = [{"bytes": None, "path": str(file)} for file in files]
    pq.write_table(pa.table({"video": videos, "label": labels}), root / "train.parquet")
    with pytest.raises(UserError, match=r"train\.parquet, row 0: path '/.*' leads out of data\.root"):
        HuggingFace(str(root)).samples("train")
    outside = HuggingFace(str(root), outside_root=True).listing.samples.path.tolist()
    assert [Path(path).resolve() for path in outside] == files


@pytest.mark.parametrize(
    ("labels", "classes", "expected"),
    [
        ([0, 1], None, ("0", "1")),
        (["wave", "clap"], None, ("clap", "wave")),
        ([1, 0], ["a", "b"], ("a", "b")),
        (["b", "a"], ["b", "a"], ("b", "a")),
    ],
)
def test_labels_are_numbers_or_text(
    tmp_path: Path, labels: list[Any], classes: list[str] | None, expected: tuple[str, ...]
) -> None:
    videos = [b"video"] * 12
    pq.write_table(pa.table({"video": videos, "label": labels * 6}), tmp_path / "train.parquet")
    data = HuggingFace(str(tmp_path), classes=classes)
    assert data.classes == {"label": expected}
    value = {f"train/{i}": labels[i % 2] for i in range(12)}
    for part in ("train", "test"):
        samples = data.samples(part)  # type: ignore[arg-type]
        assert len(samples) > 0
        for identity, index in zip(samples.id.tolist(), samples.labels["label"].tolist(), strict=True):
            assert index == value[identity] or expected[index] == value[identity]


def test_splits_by_the_names_of_files_and_by_choice(tmp_path: Path) -> None:
    def ids(**settings: Any) -> dict[str, set[str]]:
        data = HuggingFace(str(tmp_path), **settings)
        return {part: {one.split("/")[0] for one in data.samples(part).id} for part in ("train", "test", "unlabelled")}  # type: ignore[arg-type]

    two = pa.table({"video": [b"video"] * 4, "label": [0, 1, 0, 1]})
    for name in ("train-00000-of-00001", "validation", "my-test_part", "extra-00000-of-00001"):
        pq.write_table(two, tmp_path / f"{name}.parquet")
    assert ids() == {"train": {"train"}, "test": {"test"}, "unlabelled": set()}
    assert ids(test_split="validation", unlabelled_split="extra")["unlabelled"] == {"extra"}
    (tmp_path / "my-test_part.parquet").unlink()
    assert ids()["test"] == {"validation"}
    assert ids(label_column=None) == {"train": set(), "test": set(), "unlabelled": {"train"}}


GOOD = {"video": [b"v"] * 4, "label": [0, 1, 0, 1]}
UNKNOWN = pa.table({"video": [[1]] * 4, "label": [0, 1, 0, 1]})


def write(name: str, content: dict[str, Any] | pa.Table) -> Callable[[Path], None]:
    made = content if isinstance(content, pa.Table) else pa.table(content)
    return lambda root: pq.write_table(made, root / name)


def cut(root: Path) -> None:
    write("train.parquet", GOOD)(root)
    os.truncate(root / "train.parquet", 100)


def saved(state: dict[str, Any]) -> Callable[[Path], object]:
    return lambda root: (root / "state.json").write_text(json.dumps(state))


def compressed(root: Path) -> None:
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    write_arrow(root / "data.arrow", pa.table({**GOOD, "video": [b"v" * 5000] * 4}), 4, options)
    saved({"_data_files": [{"filename": "data.arrow"}]})(root)


def cut_arrow(root: Path) -> None:
    """Between its two batches."""
    file, batch = root / "data.arrow", pa.table(GOOD)
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_table(batch)
        between = sink.tell()
        writer.write_table(batch)
    os.truncate(file, between)
    with pa.ipc.open_stream(pa.memory_map(str(file))) as reader:
        assert reader.read_all().num_rows == 4  # the reader says nothing
    saved({"_data_files": [{"filename": "data.arrow"}]})(root)


BAD: dict[str, tuple[Callable[[Path], object], dict[str, Any], str]] = {
    "nothing": (lambda r: None, {}, "there is no table in"),
    "a file missing": (
        write("train-00000-of-00002.parquet", GOOD),
        {},
        r"train-00001-of-00002\.parquet is missing: .* 2 files",
    ),
    "cut": (cut, {}, r"train\.parquet: the table cannot be read: "),
    "no video column": (
        write("train.parquet", {"vidoe": [b""], "label": [0]}),
        {},
        r"no column 'video'; it has vidoe, label; did you mean 'vidoe'\?\n.*data\.video_column",
    ),
    "no label column": (
        write("train.parquet", {"video": [b""]}),
        {},
        r"no column 'label'; it has video\n.*data\.label_column=null",
    ),
    "not a video column": (
        write("train.parquet", UNKNOWN),
        {},
        r"column 'video' of .*train\.parquet is list.*not bytes",
    ),
    "a label of another kind": (
        write("train.parquet", {**GOOD, "label": [[0]] * 4}),
        {},
        r"train\.parquet, row 0: 'label' has to be",
    ),
    "a label past the classes": (
        write("train.parquet", {**GOOD, "label": [0, 1, 7, 1]}),
        {"classes": ["a", "b"]},
        r"train\.parquet, row 2: label 7 is outside 0\.\.1",
    ),
    "no label here and there": (
        write("train.parquet", {**GOOD, "label": [0, 1, None, -1]}),
        {},
        r"row 2: 2 of 4 rows of split 'train' have no label",
    ),
    "neither bytes nor path": (
        write("train.parquet", {**GOOD, "video": [b"v", None, b"v", b"v"]}),
        {},
        r"train\.parquet, row 1: column 'video' is empty",
    ),
    "a path to nothing": (
        write("train.parquet", {**GOOD, "video": ["a.mp4"] * 4}),
        {},
        r"row 0: it holds the path a\.mp4 and no bytes",
    ),
    "another split": (
        write("train.parquet", GOOD),
        {"test_split": "tset"},
        r"data\.test_split: there is no split 'tset'; there are train",
    ),
    "one split twice": (
        write("train.parquet", GOOD),
        {"test_split": "train"},
        "one split cannot be two of train=train, test=train",
    ),
    "which split": (
        lambda r: (write("train.parquet", GOOD)(r), write("x.parquet", GOOD)(r)),
        {},
        r"which split is .*x\.parquet\?",
    ),
    "hidden test labels": (
        lambda r: (write("train.parquet", GOOD)(r), write("test.parquet", {**GOOD, "label": [-1] * 4})(r)),
        {},
        r"test\.parquet, row 0: split 'test' has no labels",
    ),
    "a saved file missing": (
        saved({"_data_files": [{"filename": "data.arrow"}]}),
        {},
        r"data\.arrow is missing, which its state\.json names",
    ),
    "an order kept apart": (saved({"_indices_data_files": [1]}), {}, "the order of its rows is kept apart"),
    "compressed Arrow": (compressed, {}, r"data\.arrow: the Arrow file is compressed"),
    "cut Arrow": (cut_arrow, {}, r"data\.arrow: the Arrow file is cut short"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_table_is_refused_with_one_message(tmp_path: Path, cache: Path, what: str) -> None:
    make, settings, message = BAD[what]
    make(tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        HuggingFace(str(tmp_path), **settings).samples("train")
    assert caught.value.exit_code == 2
    assert not cache.exists()


@pytest.mark.parametrize("settings", [{}, {"root": "a", "name": "user/set"}])
def test_either_files_or_a_name(settings: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="either root .* or name"):
        HuggingFace(**settings)


def test_without_the_library_a_name_is_refused_and_files_are_read(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ConfigError, match=r"data\.name=user/set: .*datasets.*\n.*pip install 'vssl\[huggingface\]'"):
        HuggingFace(name="user/set").samples("train")
    assert len(HuggingFace(str(as_parquet(plain, tmp_path / "made"))).samples("train")) == 10


def test_a_set_that_the_library_loads_and_saves(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cached")
    root = as_parquet(plain, tmp_path / "made")
    loaded = datasets.load_dataset(str(root))
    loaded.save_to_disk(str(tmp_path / "saved"))
    files = [file.read_bytes() for part in ("train", "test") for file in split(plain, part)]
    for data in (HuggingFace(name=str(root)), HuggingFace(str(tmp_path / "saved"))):
        assert data.classes == {"label": CLASSES}
        assert [addresses.read_bytes(path) for path in data.listing.samples.path.tolist()] == files
        assert {type(addresses.parsed(path)) for path in data.listing.samples.path.tolist()} == {Span}
    with pytest.raises(UserError, match="data.name=user/nowhere: the data set cannot be loaded"):
        HuggingFace(name="user/nowhere").samples("train")


def test_a_table_is_trained_on_by_workers(
    tiny: list[str], plain: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = as_parquet(plain, tmp_path / "made")
    words = [*tiny, "data=huggingface", f"data.root={root}", "method=simsiam", "train.batch_size=4", "budget.steps=3"]
    assert main(["pretrain", *words, "run.workers=2", "run.name=mine"]) == 0, capfd.readouterr().err
    assert json.loads((tmp_path / "runs" / "mine" / "record.json").read_text())["status"] == "done"


def test_a_row_group_that_would_not_fit_into_memory_is_refused(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = as_parquet(plain, tmp_path / "made")
    monkeypatch.setattr(tables, "GROUP_BYTES", 5000)
    with pytest.raises(UserError, match=r"train-00000-of-00002\.parquet: the 3 videos of row group 0 are [\d,]+ bytes"):
        HuggingFace(str(root)).samples("train")
