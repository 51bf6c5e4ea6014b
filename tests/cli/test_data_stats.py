"""`vssl data stats` through the real command line: numbers, a row a video, one picture."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vssl.cli.main import main
from vssl.report import data_stats
from vssl.report.data_stats import Drawn, draw_stats

MakeVideo = Callable[..., Path]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def stats(*words: str) -> int:
    return main(["data", "stats", *words, "data.stats.workers=1"])


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_a_tree_of_class_folders(make_video: MakeVideo, capsys: pytest.CaptureFixture[str]) -> None:
    make_video(Path("clips/train/up/a.mp4"), frames=50)
    make_video(Path("clips/train/up/b.mp4"), frames=20, fps=10)
    make_video(Path("clips/train/down/c.mp4"), frames=30, size=(96, 64))
    make_video(Path("clips/test/down/d.mp4"), frames=25)
    Path("clips/test/down/bad.mp4").write_text("no video")
    assert stats("clips") == 1
    out = lines(capsys.readouterr().out)
    assert out[1] == "clips train 3 2 2 1 0.00144 0"
    assert out[2] == "clips test 2 1 2 2 0.000278 1"
    assert "clips train seconds 1.2 1.2 2 2 2" in out and "fps 10 10 25 25 25" in out
    assert "frame sizes: 64x48 (3), 64x96 (1)" in out
    assert "test/down/bad.mp4: unreadable: cannot be opened: Invalid data found when processing input" in out
    assert out[-2:] == ["stats.csv", "stats.png"]
    with open("stats.csv", encoding="utf-8", newline="") as file:
        found = {row["path"]: row for row in csv.DictReader(file)}
    assert found["train/down/c.mp4"] == {
        "list": "clips train", "path": "train/down/c.mp4", "label": "down", "frames": "30", "fps": "25",
        "duration_s": "1.2", "width": "64", "height": "96", "reason": "",
    }  # fmt: skip
    assert found["test/down/bad.mp4"]["frames"] == ""
    with Image.open("stats.png") as picture:
        assert picture.size[0] > 1000


def test_spans_of_a_manifest_and_rotation(
    shared_data: Path, make_video: MakeVideo, capsys: pytest.CaptureFixture[str]
) -> None:
    make_video(Path("videos/a.mp4"), frames=100)
    Path("videos/r.mp4").write_bytes((shared_data / "odd" / "rotate_90_tag.mp4").read_bytes())
    Path("spans.csv").write_text("path,label,start_s,end_s\na.mp4,x,0,1\na.mp4,y,1,3\nr.mp4,y,,\n")
    assert stats("spans.csv", "data.root=videos", "out=new/all.csv") == 0
    out = lines(capsys.readouterr().out)
    assert out[1].startswith("spans.csv 3 2 2 1")
    assert "frames 25 25 50 50 50" in out
    assert "frame sizes: 64x48 (2), 72x96 (1)" in out
    assert sorted(path.name for path in Path("new").iterdir()) == ["all.csv", "all.png"]


def test_a_configured_data_set(make_video: MakeVideo, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(10):
        make_video(Path(f"videos/{'ab'[number % 2]}/{number}.mp4"), frames=4)
    assert stats("data=video_list", "data.root=videos") == 0
    out = lines(capsys.readouterr().out)
    assert [line.rpartition(" ")[0] for line in out[1:3]] == [
        "video_list train 8 2 4 4 0.000356", "video_list test 2 2 1 1 8.89e-05",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "data stats needs a FOLDER, a MANIFEST or data="),
        (["clips", "clips"], "data stats takes one FOLDER|MANIFEST"),
        (["clips", "out=a.png"], "out: a.png is a CSV file"),
        (["clips", "out=clips"], "out: clips is a folder"),
        (["list.csv", "out=list.csv"], "out: list.csv is one of the files that are read"),
        (["clips", "data.stats.worker=1"], "did you mean 'data.stats.workers'?"),
        (["clips", "data.stats.workers=0"], "workers is 0"),
        (["clips", "data.label=x"], "data stats does not take data.label=x without data="),
    ],
)
def test_wrong_requests_write_nothing(
    tmp_path: Path, make_video: MakeVideo, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    make_video(Path("clips/a.mp4"), frames=2)
    Path("list.csv").write_text("path\nclips/a.mp4\n")
    before = sorted(tmp_path.rglob("*"))
    assert main(["data", "stats", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and told in err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("classes", [0, 1, 2, 40, 41, 700])
def test_pictures_of_any_number_of_classes_and_lists(tmp_path: Path, classes: int) -> None:
    draw = np.random.default_rng(0)
    parts = [
        Drawn(
            f"$list$ {number} \x1b", {f"class $_{n}": int(draw.integers(1, 99)) for n in range(classes)},
            np.append(draw.gamma(2, 5, 50), np.nan), draw.choice([25.0, 30.0, np.nan], 51),
            {(int(side), 240): 3 for side in draw.integers(100, 999, 30)},
        )
        for number in range(7)
    ]  # fmt: skip
    draw_stats("a $title$", parts, tmp_path / "a.png")
    draw_stats("nothing", [Drawn("a", {}, np.array([]), np.array([]), {})], tmp_path / "b.png")
    assert all((tmp_path / name).stat().st_size > 10_000 for name in ("a.png", "b.png"))


def test_lists_past_the_fifth_share_a_colour_and_lose_no_video() -> None:
    parts = [Drawn(str(n), {"x": 2, str(n): 1}, np.ones(3), np.ones(3), {(4, 3): 3}) for n in range(7)]
    rest = data_stats._rest(parts[4:])
    assert rest == Drawn("3 more lists", rest.classes, rest.duration_s, rest.fps, {(4, 3): 9})
    assert (rest.classes, len(rest.fps)) == ({"x": 6, "4": 1, "5": 1, "6": 1}, 9)
