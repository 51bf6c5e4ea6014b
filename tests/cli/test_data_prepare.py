"""`vssl data prepare` through the real command line: what is there afterwards, whatever happened on the way."""

import csv
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.processes import gone
from vssl.cli.main import main
from vssl.video.decoding.decode import PyAVReader
from vssl.video.lists.samples import read_class_folders, read_manifest

MakeVideo = Callable[..., Path]
COMMAND = [sys.executable, "-m", "vssl", "data", "prepare"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def prepare(*words: str) -> int:
    return main(["data", "prepare", *words, "workers=1"])


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return list(csv.DictReader(file))


def content(folder: Path) -> dict[str, bytes]:
    """Everything but the state, in which lines stand in the order in which copies were finished."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "prepare.jsonl")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def times(path: Path) -> list[float]:
    with PyAVReader().open(str(path)) as video:
        return video.times.tolist()


def test_a_tree_of_class_folders(tmp_path: Path, make_video: MakeVideo, capsys: pytest.CaptureFixture[str]) -> None:
    odd = os.fsdecode(b"caf\xe9 \x1b[31m.mp4")
    for name in ("wave/a.mp4", "wave/deep/b.avi", "nod/视频 (a=b), c.mkv", f"nod/{odd}"):
        make_video(tmp_path / "a.mp4", frames=70, size=(96, 128), gop=70)
        (tmp_path / "clips" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tmp_path / "a.mp4", tmp_path / "clips" / name)
    (tmp_path / "clips" / "classes.txt").write_text("wave\nnod\n")
    assert prepare("clips", "out=new/fast", "short_side=48", "gop=4") == 0
    out = capsys.readouterr().out
    assert "copied 4, there already 0, failed 0\n" in out
    assert "PSNR" in out and "random clips of 16 frames, 4 apart, from 4 videos" in out
    assert out.splitlines()[-1] == "new/fast"
    before, after = read_class_folders(Path("clips")), read_class_folders(Path("new/fast"))
    assert [os.path.splitext(one)[0] for one in before.samples.id] == [
        os.path.splitext(one)[0] for one in after.samples.id
    ]
    assert after.classes == before.classes == {"label": ("wave", "nod")}
    assert before.samples.labels["label"].tolist() == after.samples.labels["label"].tolist()
    for one, other in zip(before.samples.path, after.samples.path, strict=True):
        assert times(other) == times(one)
    report = rows(tmp_path / "new/fast/prepare.csv")
    assert {(row["verdict"], row["frames"], row["height"], row["width"]) for row in report} == {
        ("ok", "70", "48", "64")
    }
    assert [int(row["bytes"]) for row in report] == [
        (tmp_path / "new/fast" / row["copy"]).stat().st_size for row in report
    ]


def test_a_manifest_with_spans(tmp_path: Path, make_video: MakeVideo) -> None:
    make_video(tmp_path / "videos/a.avi.mp4", frames=50).rename(tmp_path / "videos/a.avi")
    make_video(tmp_path / "videos/b.mp4", frames=50)
    (tmp_path / "lists").mkdir()
    listed = "\ufeffnote,path,label,start_s,end_s,split\n\n"
    listed += '"x, y",a.avi,up,0.2,0.6,train\n,a.avi,down,1,,train\nz,b.mp4,up,,,test\n'
    (tmp_path / "lists/spans.csv").write_text(listed, encoding="utf-8")
    (tmp_path / "lists/classes.txt").write_text("up\ndown\n")
    assert prepare("lists/spans.csv", "data.root=videos", "out=fast") == 0
    assert (tmp_path / "fast/spans.csv").read_text() == (
        'note,path,label,start_s,end_s,split,group\n"x, y",a_0.2-0.6.mp4,up,0.2,0.6,train,a.avi\n'
        ",a_1.0-.mp4,down,1,,train,a.avi\nz,b.mp4,up,,,test,b.mp4\n"
    )
    before = read_manifest(tmp_path / "lists/spans.csv", tmp_path / "videos")
    after = read_manifest(tmp_path / "fast/spans.csv", tmp_path / "fast")
    assert before.classes == after.classes == {"label": ("up", "down")}
    assert before.samples.group.tolist() == after.samples.group.tolist()  # spans of one video are never divided
    reader = PyAVReader()
    for number in range(3):
        opened = []
        for part in (before.samples, after.samples):
            with reader.open(part.path[number], part.start_s[number], part.end_s[number]) as video:
                opened.append((video.times.tolist(), video.frames(np.arange(len(video.times))).mean(axis=(1, 2, 3))))
        assert opened[0][0] == opened[1][0] == times(after.samples.path[number])
        assert np.abs(opened[0][1] - opened[1][1]).max() < 4


def test_the_same_list_reads_the_copies(tmp_path: Path, make_video: MakeVideo) -> None:
    for name in ("a/x.mp4", "b/y.mp4"):
        make_video(tmp_path / "videos" / name, frames=10)
    (tmp_path / "all.csv").write_text("path,label\na/x.mp4,1\nb/y.mp4,2\n")
    assert prepare("all.csv", "data.root=videos", "out=fast") == 0
    before, after = (read_manifest(tmp_path / "all.csv", tmp_path / root).samples for root in ("videos", "fast"))
    assert before.list_hash() == after.list_hash()


def test_only_what_is_missing_is_made(
    tmp_path: Path, make_video: MakeVideo, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "abcd":
        make_video(tmp_path / "clips" / f"{name}.mp4", frames=8)
    assert prepare("clips", "out=fast") == 0
    first = content(tmp_path / "fast")
    changed = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "fast").glob("*.mp4")}
    (tmp_path / "fast/a.mp4").unlink()
    (tmp_path / "fast/b.mp4").write_bytes(b"cut short")
    os.utime(tmp_path / "clips/c.mp4", ns=(1, 1))
    (tmp_path / "fast/.d.1-00000000.tmp.mp4").write_bytes(b"left by a kill")
    capsys.readouterr()
    assert prepare("clips", "out=fast") == 0
    assert "copied 3, there already 1, failed 0" in capsys.readouterr().out
    assert content(tmp_path / "fast") == first
    again = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "fast").glob("*.mp4")}
    assert {name for name in again if again[name] == changed[name]} == {"d.mp4"}
    (tmp_path / "fast/.e.1-00000000.tmp.mp4").write_bytes(b"left by a kill")
    assert prepare("clips", "out=fast") == 0
    assert "copied 0, there already 4, failed 0" in capsys.readouterr().out
    assert content(tmp_path / "fast") == first
    assert prepare("clips", "out=fast", "crf=40") == 0
    assert "copied 4, there already 0, failed 0" in capsys.readouterr().out
    assert content(tmp_path / "fast").keys() == first.keys() and content(tmp_path / "fast") != first


def test_damaged_originals_are_told_and_left_out(
    tmp_path: Path, make_video: MakeVideo, capsys: pytest.CaptureFixture[str]
) -> None:
    make_video(tmp_path / "good.mp4", frames=8)
    whole = make_video(tmp_path / "bad.mp4", frames=60).read_bytes()
    (tmp_path / "bad.mp4").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "all.csv").write_text("path,label\ngood.mp4,1\nbad.mp4,2\nabsent.mp4,2\n")
    assert prepare("all.csv", "out=fast") == 1
    out = capsys.readouterr().out
    assert "copied 1, there already 0, failed 2\n" in out
    assert "unreadable  absent.mp4: cannot be opened: No such file or directory" in out
    assert (tmp_path / "fast/all.csv").read_text() == "path,label,group\ngood.mp4,1,good.mp4\n"
    assert sorted(content(tmp_path / "fast")) == ["all.csv", "good.mp4", "prepare.csv"]
    (tmp_path / "bad.mp4").write_bytes(whole)
    assert prepare("all.csv", "out=fast") == 1  # what failed is tried again
    assert (tmp_path / "fast/all.csv").read_text() == "path,label,group\ngood.mp4,1,good.mp4\nbad.mp4,2,bad.mp4\n"


def test_names_that_would_meet(tmp_path: Path, make_video: MakeVideo) -> None:
    for name in ("a.mp4", "a.avi", "b.mp4"):
        make_video(tmp_path / "x.mp4", frames=4).rename(tmp_path / "x")
        (tmp_path / "clips").mkdir(exist_ok=True)
        (tmp_path / "x").rename(tmp_path / "clips" / name)
    assert prepare("clips", "out=fast") == 0
    assert sorted(path.name for path in (tmp_path / "fast").glob("*.mp4")) == ["a.avi.mp4", "a.mp4.mp4", "b.mp4"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "data prepare needs a FOLDER or a MANIFEST, and out="),
        (["clips"], "data prepare needs a FOLDER or a MANIFEST, and out="),
        (["absent", "out=fast"], "data prepare: there is no folder or manifest absent"),
        (["empty", "out=fast"], "data prepare: there are no videos in empty"),
        (["clips", "out=clips"], "out: clips is the folder of the originals"),
        (["clips", "out=link"], "out: link is the folder of the originals"),
        (["clips", "out=clips/fast"], "out: clips/fast lies in clips"),
        (["clips", "out=list.csv"], "out: list.csv is no folder"),
        (["list.csv", "out=."], "clips/a.mp4 is one of the originals"),
        (["clips", "out=other"], "other/a.mp4 is there already, and no copy of this command"),
        (["clips", "out=list.csv/fast"], "cannot write to the folder list.csv/fast"),
        (["clips", "out=fast", "short_side=127"], "short_side is 127, allowed are even numbers"),
        (["clips", "out=fast", "shortside=128"], "does not take shortside=128; did you mean 'short_side'?"),
        (["clips", "out=fast", "crf=low"], "crf: 'low' given"),
        (["clips", "out=fast", "limits.pixels=0"], "limits.pixels is 0"),
    ],
)
def test_wrong_requests_write_nothing(
    tmp_path: Path, make_video: MakeVideo, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    make_video(tmp_path / "clips/a.mp4", frames=2)
    (tmp_path / "other").mkdir()
    shutil.copy(tmp_path / "clips/a.mp4", tmp_path / "other/a.mp4")
    (tmp_path / "link").symlink_to("clips")
    (tmp_path / "list.csv").write_text("path\nclips/a.mp4\n")
    (tmp_path / "empty").mkdir()
    before = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert main(["data", "prepare", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and told in err
    assert {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_full_disk_is_one_message_and_the_copies_before_it_stay(tmp_path: Path, make_video: MakeVideo) -> None:
    for name in "abc":
        make_video(tmp_path / "clips" / f"{name}.mp4", frames=2 if name == "a" else 200, size=(96, 128))
    limit = 8000  # bytes that a file may have: it fails then as on a full disk, but for the reason
    words = ["clips", "out=fast", "workers=1", "gop=1"]
    done = subprocess.run(
        [*COMMAND, *words], cwd=tmp_path, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)), timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: cannot write fast/b.mp4: File too large\n") and "Traceback" not in done.stderr
    assert sorted(path.name for path in (tmp_path / "fast").iterdir()) == ["a.mp4", "prepare.jsonl"]
    assert prepare("clips", "out=fast", "gop=1") == 0
    assert sorted(content(tmp_path / "fast")) == ["a.mp4", "b.mp4", "c.mp4", "prepare.csv"]


def test_killed_and_started_again(tmp_path: Path, make_video: MakeVideo) -> None:
    for number in range(6):
        make_video(tmp_path / "clips" / f"{number:02d}.mp4", frames=100, size=(96, 128))
    assert prepare("clips", "out=whole") == 0
    whole = content(tmp_path / "whole")
    done, kills = 0, 0
    while done < 6 and kills < 2:
        with subprocess.Popen([*COMMAND, "clips", "out=fast", "workers=2"], stderr=subprocess.DEVNULL) as process:
            state = tmp_path / "fast/prepare.jsonl"
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and process.poll() is None:
                if state.exists() and state.read_bytes().count(b"\n") > done + 1:
                    break
                time.sleep(0.002)
            workers = _children(process.pid)
            process.send_signal(signal.SIGKILL)
        assert gone(workers)
        kills += 1
        done = state.read_bytes().count(b"\n") - 1
        assert all(times(path) for path in (tmp_path / "fast").glob("[!.]*.mp4"))  # under its name each is whole
    assert kills == 2
    assert prepare("clips", "out=fast") == 0
    assert content(tmp_path / "fast") == whole  # no leftovers either


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in tasks.read_text().split()] if tasks.exists() else []


def test_two_at_once_are_refused(tmp_path: Path, make_video: MakeVideo, capsys: pytest.CaptureFixture[str]) -> None:
    from vssl.video.upkeep.journal import Journal

    make_video(tmp_path / "clips/a.mp4", frames=2)
    (tmp_path / "fast").mkdir()
    with Journal(tmp_path / "fast/prepare.jsonl", {}):
        assert prepare("clips", "out=fast") == 2
    assert "another process is writing fast/prepare.jsonl" in capsys.readouterr().err
