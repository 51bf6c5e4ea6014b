"""`vssl data check` through the real command line: verdicts in a CSV, exit codes, signals."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import gone
from vssl.cli.main import main

MakeVideo = Callable[..., Path]


def vssl(*words: str | bytes, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vssl", "data", "check", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return list(csv.DictReader(file))


def test_all_ok(tmp_path: Path, make_video: MakeVideo) -> None:
    for name in ("b", "a"):
        make_video(tmp_path / "clips" / name / "c.mp4", frames=12)
    done = vssl("clips", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "check.csv"
    text = (tmp_path / "check.csv").read_text(encoding="utf-8")
    assert text == (
        "path,verdict,frames,width,height,fps,duration_s,reason\n"
        "a/c.mp4,ok,12,64,48,25,0.48,\n"
        "b/c.mp4,ok,12,64,48,25,0.48,\n"
    )


def test_bad_files_are_named_and_exit_with_1(tmp_path: Path, make_video: MakeVideo) -> None:
    make_video(tmp_path / "clips" / "good.mp4", frames=5)
    for number in range(25):
        (tmp_path / "clips" / f"bad{number:02d}.mp4").write_text("no video")
    done = vssl("clips", "out=new/bad.csv", "workers=2", cwd=tmp_path)
    assert done.returncode == 1
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[:4] == ["verdict files", "ok 1", "unreadable 25", "in all 26"]
    told = [line for line in lines if line.startswith("unreadable bad")]
    assert len(told) == 20
    assert told[0] == "unreadable bad00.mp4: cannot be opened: Invalid data found when processing input"
    assert lines[-2:] == ["and 5 more", "new/bad.csv"]
    assert [row["path"] for row in rows(tmp_path / "new/bad.csv")] == sorted(os.listdir(tmp_path / "clips"))
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["bad.csv"]


def test_names_of_any_characters_come_back(tmp_path: Path, make_video: MakeVideo) -> None:
    names = ["视频 (a=b), c.mp4", 'quote".mp4', "line\nbreak.mp4", "[red]mark.mp4", "esc\x1b[31m.mp4"]
    names += [os.fsdecode(b"caf\xe9.mp4"), "sub/ü, x.mp4"]
    folder = tmp_path / "视频 (a=b), c"
    for name in names:
        make_video(tmp_path / "a.mp4", frames=2)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        os.link(tmp_path / "a.mp4", folder / name)
    (folder / os.fsdecode(b"bad\xe9\x1b[31m.mp4")).write_text("no video")
    out = os.fsdecode(b"out \xe9 (a=b), c.csv")
    done = vssl(folder.name, f"out={out}", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    found = {row["path"]: row["verdict"] for row in rows(tmp_path / out)}
    assert found == {**dict.fromkeys(names, "ok"), os.fsdecode(b"bad\xe9\x1b[31m.mp4"): "unreadable"}
    assert "\x1b" not in done.stdout
    assert r"bad\udce9\x1b[31m.mp4: cannot be opened" in done.stdout


def test_a_manifest(tmp_path: Path, make_video: MakeVideo) -> None:
    make_video(tmp_path / "clips" / "a, b.mp4", frames=5)
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "all.csv").write_text('path,label\n"a, b.mp4",x\nabsent.mp4,y\n')
    done = vssl("lists/all.csv", "data.root=clips", cwd=tmp_path)
    assert done.returncode == 1
    found = [(row["path"], row["verdict"], row["reason"]) for row in rows(tmp_path / "check.csv")]
    assert found == [
        ("a, b.mp4", "ok", ""),
        ("absent.mp4", "unreadable", "cannot be opened: No such file or directory"),
    ]


def test_limits_are_passed_on(tmp_path: Path, make_video: MakeVideo) -> None:
    make_video(tmp_path / "clips" / "a.mp4", frames=60, gop=12)
    make_video(tmp_path / "clips" / "b.mp4", frames=60, gop=60)
    make_video(tmp_path / "clips" / "c.mp4", frames=70)
    assert vssl("clips", "limits.seconds=2.4", "limits.decoded_pixels=1e5", cwd=tmp_path).returncode == 1
    assert [row["verdict"] for row in rows(tmp_path / "check.csv")] == ["ok", "too_slow", "too_large"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "data check needs a FOLDER or a MANIFEST"),
        (["absent"], "there is no folder or manifest absent"),
        (["empty"], "there are no videos in empty"),
        (["empty", "more"], "data check takes one FOLDER|MANIFEST"),
        (["clips", "worker=2"], "data check does not take worker=2; did you mean 'workers'?"),
        (["clips", "limits.pixel=2"], "does not take limits.pixel=2; did you mean 'limits.pixels'?"),
        (["clips", "pixels=2"], "does not take pixels=2; did you mean 'limits.pixels'?"),
        (["clips", "+workers=2"], "did you mean 'workers'?"),
        (["clips", "workers=two"], "workers: 'two' given, int | null expected"),
        (["clips", "workers=1,2"], "workers: '1,2' given"),
        (["clips", "workers=0"], "workers is 0, allowed is at least 1"),
        (["clips", "timeout_s=-1"], "timeout_s is -1.0, allowed is 0.1 to 604800"),
        (["clips", "limits.frames=1.5"], "limits.frames: 1.5 given, int expected"),
        (["clips", "limits.seconds=0"], "limits.seconds is 0.0, allowed is 1 to inf"),
        (["clips", "out=empty"], "out: empty is a folder"),
        (["clips", "out=clips/a.mp4"], "out: clips/a.mp4 is one of the files to be checked"),
        (["clips", "out=clips/a.mp4/check.csv"], "cannot write to the folder clips/a.mp4"),
        (["list.csv", "out=list.csv"], "out: list.csv is one of the files to be checked"),
    ],
)
def test_wrong_requests_write_nothing(
    tmp_path: Path, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    words: list[str], told: str,
) -> None:  # fmt: skip
    make_video(tmp_path / "clips" / "a.mp4", frames=2)
    (tmp_path / "list.csv").write_text("path\nclips/a.mp4\n")
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vssl.video.upkeep.check_all.check_all", lambda *_: pytest.fail("files were decoded"))
    assert main(["data", "check", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert told in err
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "list.csv").read_text() == "path\nclips/a.mp4\n"


def children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == pid:
            found.append(int(stat.parent.name))
    return found


@pytest.mark.parametrize("to_group", [True, False], ids=["terminal", "kill"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_leave_no_list_and_no_process(
    tmp_path: Path, make_video: MakeVideo, number: signal.Signals, code: int, to_group: bool
) -> None:
    video = make_video(tmp_path / "a.mp4", frames=200)
    (tmp_path / "clips").mkdir()
    for copy in range(5000):  # half a minute of work
        os.link(video, tmp_path / "clips" / f"{copy}.mp4")
    command = [sys.executable, "-m", "vssl", "data", "check", "clips", "workers=2", "out=new/check.csv"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 60
        while len(workers := children(process.pid)) < 2:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.01)
        # As a terminal does it, to every process at once: and the workers are still starting.
        (os.killpg if to_group else os.kill)(process.pid, number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (code, "")
    assert err == ("interrupted\n" if number == signal.SIGINT else "terminated\n")
    assert not (tmp_path / "new" / "check.csv").exists()
    assert gone(workers)
