"""`vssl data overlap` through the real command line: lists of all kinds, a CSV, exit codes, hashes that are kept."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from vssl.cli.main import main
from vssl.video.upkeep import overlap_hashes

MakeVideo = Callable[..., Path]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def overlap(*words: str) -> int:
    return main(["data", "overlap", *words, "data.overlap.workers=1"])


def rows(path: str = "overlap.csv") -> list[list[str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file))[1:]


def test_folders_and_a_manifest(shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, source in (("train/a.mp4", "bikes_g250"), ("train/b.mp4", "cars_g250"), ("test/c.mp4", "bikes_g12"),
                         ("test/d.mp4", "cars_g250"), ("test/e.mp4", "nasa_g250")):  # fmt: skip
        Path(name).parent.mkdir(exist_ok=True)
        shutil.copy(shared_data / "clips" / f"{source}.mp4", name)
    Path("test.csv").write_text("path\nc.mp4\nd.mp4\ne.mp4\n")
    assert overlap("train", "test") == 1
    found = [["frames", "train", "a.mp4", "test", "c.mp4"], ["file", "train", "b.mp4", "test", "d.mp4"]]
    assert sorted(row[:5] for row in rows()) == sorted(found)
    assert all(float(row[5]) < 0.05 for row in rows())
    out = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert out[1:3] == ["train 2", "test 3"] and "test train 0 1 1" in out and out[-1] == "overlap.csv"
    assert overlap("train", "test", "data.overlap.frames=false", "out=new/few.csv") == 1
    assert [row[0] for row in rows("new/few.csv")] == ["file"]
    Path("test/d.mp4").unlink()
    Path("test/c.mp4").unlink()
    capsys.readouterr()
    assert overlap("train", "test") == 0
    assert "no video stands in two lists" in capsys.readouterr().out
    assert rows() == []


def test_hashes_are_kept_until_a_file_changes(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("clips").mkdir()
    for name in ("bikes", "cars", "mouse"):
        shutil.copy(shared_data / "clips" / f"{name}_g250.mp4", f"clips/{name}.mp4")
    shutil.copy("clips/cars.mp4", "clips/cars2.mp4")
    assert overlap("clips") == 1
    assert [row[:5] for row in rows()] == [["file", "clips unlabelled", "cars.mp4", "clips unlabelled", "cars2.mp4"]]
    asked: list[str] = []
    real = overlap_hashes.each_apart

    def spy(places: list[tuple[str, None, None]], *rest: object) -> object:
        asked.extend(Path(place[0]).name for place in places)
        return real(places, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(overlap_hashes, "each_apart", spy)
    monkeypatch.setattr(overlap_hashes, "sha256", lambda path: pytest.fail(f"{path} was read"))
    assert overlap("clips") == 1
    assert asked == []
    shutil.copy(shared_data / "clips" / "nasa_g250.mp4", "clips/mouse.mp4")
    Path("clips/new.mp4").write_text("no video")
    capsys.readouterr()
    assert overlap("clips") == 1
    assert sorted(asked) == ["mouse.mp4", "new.mp4"]


def test_splits_of_a_configured_data_set(make_video: MakeVideo, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(12):
        make_video(Path(f"videos/{number}.mp4"), frames=4 + number)
    shutil.copy("videos/3.mp4", "videos/11.mp4")
    listed = [f"{number}.mp4,{'ab'[number % 2]},{'test' if number > 8 else 'train'}" for number in range(12)]
    Path("videos/all.csv").write_text("\n".join(["path,label,split", *listed]) + "\n")
    assert overlap("data=video_list", "data.root=videos", "data.manifest=all.csv") == 1
    expected = [["file", "video_list train", "3.mp4", "video_list test", "11.mp4", "0.000"]]
    assert rows() == expected
    Path("others").mkdir()
    shutil.copy("videos/5.mp4", "others/else.mp4")
    assert overlap("others", "data=video_list", "data.root=videos", "data.manifest=all.csv") == 1
    assert ["file", "others", "else.mp4", "video_list train", "5.mp4", "0.000"] in rows()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "data overlap needs a FOLDER, a MANIFEST or data="),
        (["absent", "clips"], "data overlap: there is no folder or manifest absent"),
        (["clips", "data.overlap.treshold=0.1"], "did you mean 'data.overlap.threshold'?"),
        (["clips", "data.overlap.threshold=0.6"], "data.overlap.threshold is 0.6, allowed is 0 to 0.5"),
        (["clips", "seed=3"], "data overlap does not take seed=3 without data="),
        (["clips", "out=clips"], "out: clips is a folder"),
        (["list.csv", "out=list.csv"], "out: list.csv is one of the files that are read"),
        (["data=video_list"], "data.root"),
    ],
)
def test_wrong_requests_write_nothing(
    tmp_path: Path, make_video: MakeVideo, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    make_video(Path("clips/a.mp4"), frames=2)
    Path("list.csv").write_text("path\nclips/a.mp4\n")
    before = sorted(tmp_path.rglob("*"))
    assert main(["data", "overlap", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and told in err
    assert sorted(tmp_path.rglob("*")) == before
