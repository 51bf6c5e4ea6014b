"""`data=kinetics400|600|700`: the published csv, `path label` lists, and the names that files have on disk."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from datamodules.kinetics import Kinetics
from vssl.cli.main import main
from vssl.config.bind import bind
from vssl.config.compose import compose
from vssl.config.errors import UserError
from vssl.records.record import read_record
from vssl.training.run import pretrain

Official = Callable[[str], Path]
Files = Callable[..., Path]


def test_the_official_validation_list(official: Official, shared_data: Path) -> None:
    """The official train list is not at hand; it has the fields of the validation list."""
    folder = official("kinetics")
    (folder / "kinetics400_validate_first300.csv").unlink()
    (folder / "kinetics400_test_first300.csv").rename(folder / "kinetics400_train.csv")
    lists = Kinetics(str(folder), edition=400).lists(folder)
    assert (len(lists.classes), len(lists.train), len(lists.test)) == (400, 300, 18375)
    assert list(lists.classes) == (shared_data / "annotations/kinetics/label_map_k400.txt").read_text().splitlines()
    assert {entry.label for entry in lists.test} == set(range(400))
    first = lists.test[0]
    assert (first.id, lists.classes[first.label]) == ("--07WQ2iBlw_000001_000011", "javelin throw")
    assert (first.names, first.group) == (("--07WQ2iBlw_000001_000011", "--07WQ2iBlw"), "--07WQ2iBlw")
    assert first.where == f"{folder / 'kinetics400_validate.csv'}, line 2"
    assert lists.rule == "official lists of Kinetics-400; the validation videos are tested"


def test_the_order_of_classes_without_a_class_list(official: Official, shared_data: Path) -> None:
    """That of their names, which is that of the class lists in use."""
    folder = official("kinetics")
    for edition in (400, 600, 700):
        named = (folder / f"label_map_k{edition}.txt").read_text().splitlines()
        mixed = random.Random(0).sample(named, len(named))
        only = folder / f"only{edition}"
        only.mkdir()
        rows = "".join(f"{name},{i:011d},0,10\n" for i, name in enumerate(mixed))
        (only / f"k{edition}_train.csv").write_text("label,youtube_id,time_start,time_end\n" + rows)
        (only / f"k{edition}_val.csv").write_text(
            f"label,youtube_id,time_start,time_end\n{named[3]},abcdefghijk,0,10\n"
        )
        assert list(Kinetics(str(only), edition=edition).lists(only).classes) == named  # type: ignore[arg-type]


def test_another_edition_is_told_by_its_classes(official: Official) -> None:
    folder = official("kinetics")
    for part in ("train", "val"):
        rows = "".join(
            f"{name},{part[0]}{i:010d},0,10\n"
            for i, name in enumerate((folder / "label_map_k600.txt").read_text().splitlines())
        )
        (folder / f"k400_{part}.csv").write_text("label,youtube_id,time_start,time_end\n" + rows)
    for name in ("kinetics400_validate_first300.csv", "kinetics400_validate.csv"):
        (folder / name).unlink()
    with pytest.raises(UserError, match="k400_train.csv, line 3: class 'acting in play' is none of the 400 classes"):
        Kinetics(str(folder), edition=400).lists(folder)
    (folder / "label_map_k400.txt").unlink()
    with pytest.raises(UserError, match="there are 600 classes; a list of Kinetics-600 looks like this"):
        Kinetics(str(folder), edition=400).lists(folder)


HEADER = "label,youtube_id,time_start,time_end,split\n"
IDS = [f"-id_{i:07d}" for i in range(16)]  # of 11 characters, as YouTube's


def rows(start: int, stop: int) -> str:
    return "".join(f"{'b c' if i % 2 else 'a'},{IDS[i]},{i},{i + 10},train\n" for i in range(start, stop))


def small(folder: Path, train: str = HEADER + rows(0, 12), val: str = HEADER + rows(12, 16)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kinetics_train.csv").write_text(train)
    (folder / "kinetics_val.csv").write_text(val)
    return folder


LAYOUTS = {
    "split, class, id and times": lambda i: (
        f"{'train' if i < 12 else 'val'}/{'b c' if i % 2 else 'a'}/{IDS[i]}_{i:06d}_{i + 10:06d}.mp4"
    ),
    "class, id": lambda i: f"{'b_c' if i % 2 else 'a'}/{IDS[i]}.mkv",
    "flat, id and times": lambda i: f"{IDS[i]}_{i:06d}_{i + 10:06d}.webm",
    "part of the downloads": lambda i: f"part_{i % 3}/{IDS[i]}_{i:06d}_{i + 10:06d}.mp4",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(touched: Files, layout: str) -> None:
    places = [LAYOUTS[layout](i) for i in range(16)]
    root = touched(*places, "part_1/.hidden.mp4", "readme.txt")
    small(root / "annotations")
    data = Kinetics(str(root), edition=400)
    assert data.samples("train").path.tolist() == [str(root / place) for place in places[:12]]
    assert data.samples("test").id.tolist() == [f"{IDS[i]}_{i:06d}_{i + 10:06d}" for i in range(12, 16)]
    assert data.samples("train").labels["label"].tolist() == [0, 1] * 6
    assert data.samples("train").group.tolist() == IDS[:12]
    assert data.split_rule == "official lists of Kinetics-400 (2 of its classes); the validation videos are tested"


def test_the_list_hash_does_not_depend_on_the_layout(touched: Files) -> None:
    hashes = set()
    for layout in LAYOUTS:
        root = touched(*[f"{layout}/{LAYOUTS[layout](i)}" for i in range(16)])
        small(root / "annotations")
        hashes.add(Kinetics(str(root / layout), edition=400, annotations=str(root / "annotations")).content_hash())
    assert len(hashes) == 1


@pytest.mark.parametrize("separator", [" ", ",", "\t", ", "])
def test_path_label_lists(touched: Files, separator: str) -> None:
    places = [f"train/b c/{name}_000001_000011.mp4" for name in IDS[:8]]
    root = touched(*places, *[f"other/{name}.mp4" for name in IDS[8:]])
    train = "".join(f"{place}{separator}{i % 3}\n" for i, place in enumerate(places))
    val = "".join(f"{name}{separator}{i % 3}\n" for i, name in enumerate(IDS[8:]))  # names alone, without a suffix
    small(root / "annotations", train, val)
    data = Kinetics(str(root), edition=600)
    assert data.samples("train").id.tolist() == places
    assert data.samples("train").group.tolist() == IDS[:8]
    assert data.samples("test").path.tolist() == [str(root / f"other/{name}.mp4") for name in IDS[8:]]
    assert data.samples("test").labels["label"].tolist() == [0, 1, 2] * 2 + [0, 1]
    assert len(data.classes["label"]) == 600 and data.classes["label"][599] == "599"
    (root / "annotations" / "classes.txt").write_text("x\ny\nz\n")
    assert Kinetics(str(root), edition=600).classes == {"label": ("x", "y", "z")}


def test_a_path_list_of_others(shared_data: Path, tmp_path: Path) -> None:
    """Mini-Kinetics counts its 200 classes from 0: names without a suffix."""
    rows = (shared_data / "annotations/videomae_lists/mini_kinetics_vallist_first300.txt").read_text()
    small(tmp_path, "abcdefghijk_000001_000011 0\n", rows)
    lists = Kinetics(str(tmp_path), edition=400).lists(tmp_path)
    assert len(lists.test) == 300
    assert (lists.test[0].names, lists.test[0].label) == (("zkyy5cC7SL4_000000_000010",), 9)
    assert lists.test[0].group == "zkyy5cC7SL4"


@pytest.mark.parametrize(
    ("train", "val", "told"),
    [
        ("label,youtube_id,time_start\n", None, "line 1: there is no column 'time_end'; the header has label, y"),
        (HEADER + "a,-id,0\n", None, "kinetics_train.csv, line 2: 3 values for 5 columns"),
        (HEADER + "\na,-id,zero,10,train\n", None, "kinetics_train.csv, line 3: 'zero' is no number of seconds"),
        (HEADER + ",-id,0,10,train\n", None, "line 2: label or youtube_id is empty"),
        (HEADER + '"a,-id,0,10,train\n', None, "kinetics_train.csv, line 2: this is no csv"),
        (HEADER, None, "kinetics_train.csv: there is no row under the header"),
        (HEADER + rows(0, 12) + rows(3, 4), None, "line 14: '-id_0000003_000003_000013' is already in .*line 5"),
        (None, HEADER + rows(11, 16), "val.csv, line 2: '-id_.*' is already in .*train.csv, line 13"),
        (None, HEADER + "aa,-id,0,10,val\n", "val.csv, line 2: class 'aa' is none of the 2 classes of .*train.csv"),
        (None, "a.mp4 0\n", "kinetics_val.csv and .*kinetics_train.csv have two forms"),
        ("a.mp4 0\nb.mp4\n", "c.mp4 0\n", "kinetics_train.csv, line 2: 'b.mp4' is not in the form 'path label'"),
        ("a.mp4 0\nb.mp4 1 2\n", "c.mp4 0\n", "train.csv, line 2: 'b.mp4 1 2' has more numbers .*\n.*several labels"),
        ("a.mp4 0\nb.mp4,1\n", "c.mp4 0\n", "kinetics_train.csv, line 2: 'b.mp4,1' is not in the form"),
        ("a.mp4 0\nb.mp4 412\n", "c.mp4 0\n", r"line 2: label 412 is outside .*\n.*1 of 2 .*; a list of Kinetics-600"),
        ("a.mp4 0\n../b.mp4 1\n", "c.mp4 0\n", r"kinetics_train.csv, line 2: path '\.\./b.mp4' leads out of data.root"),
        ("/etc/a.mp4 0\n", "c.mp4 0\n", "line 1: path '/etc/a.mp4' leads out of data.root.*\n.*data.outside_root=true"),
    ],
)  # fmt: skip
def test_wrong_lists_name_file_and_line(touched: Files, train: str | None, val: str | None, told: str) -> None:
    root = touched(*[f"{IDS[i]}.mp4" for i in range(16)])
    small(root / "annotations", train or HEADER + rows(0, 12), val or HEADER + rows(12, 16))
    with pytest.raises(UserError, match=told) as caught:
        Kinetics(str(root), edition=400).samples("train")
    assert caught.value.exit_code == 2


def test_paths_may_lead_out_of_the_root_where_that_is_allowed(touched: Files, tmp_path: Path) -> None:
    root = touched("a.mp4", "c.mp4")
    (tmp_path / "b.mp4").touch()
    small(root / "annotations", f"a.mp4 0\n../b.mp4 1\n{tmp_path}/b2.mp4 1\n", "c.mp4 0\n")
    (tmp_path / "b2.mp4").touch()
    data = Kinetics(str(root), edition=400, outside_root=True)
    assert [Path(path).resolve() for path in data.samples("train").path] == [
        root / "a.mp4",
        tmp_path / "b.mp4",
        tmp_path / "b2.mp4",
    ]
    assert data.samples("train").id.tolist() == ["a.mp4", "../b.mp4", "../b2.mp4"]


def test_one_list_a_part(touched: Files) -> None:
    root = touched(*[f"{IDS[i]}.mp4" for i in range(16)])
    folder = small(root / "annotations")
    (folder / "kinetics600_train.csv").touch()  # of another edition
    assert len(Kinetics(str(root), edition=400).samples("train")) == 12
    (folder / "train.txt").touch()
    with pytest.raises(UserError, match="one .csv or .txt with 'train' .*; found: kinetics_train.csv, train.txt"):
        Kinetics(str(root), edition=400).samples("train")


def test_two_files_for_one_row(touched: Files) -> None:
    root = touched(*[f"{size}/{IDS[i]}.mp4" for i in range(16) for size in ("full", "small")])
    small(root / "annotations")
    with pytest.raises(
        UserError, match="two files .*kinetics_train.csv, line 2: full/.*mp4 and small/.*mp4\n.*set data.root"
    ):
        Kinetics(str(root), edition=400).samples("train")
    data = Kinetics(str(root / "small"), edition=400, annotations=str(root / "annotations"))
    assert len(data.samples("train")) == 12


def test_a_run(videos: Files, tiny: list[str]) -> None:
    root = videos(*[f"train/{IDS[i]}_{i:06d}_{i + 10:06d}.mp4" for i in range(16)])
    small(root / "annotations")
    words = [*tiny, "data=kinetics400", "method=simsiam", "budget.steps=1", "run.workers=0", "run.name=kinetics"]
    composed = compose(words, paths={"data.root": str(root)})
    record = read_record(pretrain(composed, bind(composed.tree)))
    assert record["status"] == "done"
    assert record["identity"]["data"] == "kinetics400"
    assert [record["lists"]["train"][key] for key in ("videos", "listed", "found", "missing")] == [12, 12, 12, []]
    words = ["data=kinetics400", f"data.root={root}", "eval=knn", "run.workers=0", *tiny]
    assert main(["evaluate", "runs/kinetics", *words]) == 0


def test_a_wrong_list_writes_nothing(touched: Files, tiny: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    root = touched(*[f"{IDS[i]}.mp4" for i in range(16)])
    small(root / "annotations", HEADER + rows(0, 12) + rows(0, 1))
    assert main(["pretrain", *tiny, "data=kinetics400", f"data.root={root}"]) == 2
    assert "kinetics_train.csv, line 14: " in capfd.readouterr().err
    assert not Path("runs").exists()
