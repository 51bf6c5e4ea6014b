"""A check that was ended goes on where it was: its list is that of an undisturbed one, and nothing is decoded twice."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.processes import gone
from vssl.cli.main import main
from vssl.video.upkeep import check_all

MakeVideo = Callable[..., Path]
VIDEOS = 40


@pytest.fixture
def clips(tmp_path: Path, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    video = make_video(tmp_path / "a.mp4", frames=200)
    (tmp_path / "clips").mkdir()
    for number in range(VIDEOS):
        shutil.copy(video, tmp_path / "clips" / f"{number:02d}.mp4")
    (tmp_path / "clips" / "07.mp4").write_text("no video")
    (tmp_path / "clips" / os.fsdecode(b"caf\xe9\n.mp4")).write_bytes(video.read_bytes()[:500])
    return tmp_path / "clips"


def check(*words: str) -> int:
    return main(["data", "check", "clips", "workers=1", *words])


def killed_after(findings: int, number: signal.Signals, *words: str) -> int:
    """Starts a check and ends it by the signal once so many findings are kept; gives how many were kept then."""
    command = [sys.executable, "-m", "vssl", "data", "check", "clips", "workers=2", "out=new/check.csv", *words]
    kept = Path("new/check.csv.partial")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not (kept.exists() and kept.read_bytes().count(b"\n") > findings):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.001)
        workers = [int(one) for one in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
        process.send_signal(number)
    assert gone(workers)
    return kept.read_bytes().count(b"\n") - 1


class Spy:
    """Which files are decoded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.looked_at: list[str] = []
        real = check_all.check_all

        def spy(paths: Sequence[str], *rest: object) -> object:
            self.looked_at += [os.path.basename(path) for path in paths]
            return real(paths, *rest)  # type: ignore[arg-type]

        monkeypatch.setattr(check_all, "check_all", spy)


def test_killed_twice_the_list_is_the_same(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check("out=whole.csv") == 1
    first = killed_after(3, signal.SIGKILL)
    second = killed_after(first + 3, signal.SIGINT)
    assert first + 3 <= second < VIDEOS
    spy = Spy(monkeypatch)
    assert check("out=new/check.csv") == 1
    assert len(spy.looked_at) == VIDEOS + 1 - second
    assert Path("new/check.csv").read_bytes() == Path("whole.csv").read_bytes()
    assert [path.name for path in Path("new").iterdir()] == ["check.csv"]
    spy.looked_at.clear()
    assert check("out=new/check.csv") == 1
    assert len(spy.looked_at) == VIDEOS + 1  # a finished check is not gone on with


def test_changed_files_are_looked_at_anew(clips: Path, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = killed_after(12, signal.SIGKILL)
    known = sorted(Path("new/check.csv.partial").read_text().split("clips/")[1:])[0][:6]
    make_video(clips / known, frames=5)
    spy = Spy(monkeypatch)
    check("out=new/check.csv")
    assert known in spy.looked_at and len(spy.looked_at) == VIDEOS + 1 - kept + 1
    assert f"{known},ok,5," in Path("new/check.csv").read_bytes().decode(errors="replace")


@pytest.mark.parametrize("words", [["fresh=true"], ["limits.seconds=5"], ["timeout_s=9"]])
def test_other_limits_or_fresh_begin_anew(clips: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    killed_after(3, signal.SIGKILL)
    spy = Spy(monkeypatch)
    check("out=new/check.csv", *words)
    assert len(spy.looked_at) == VIDEOS + 1


def test_more_workers_are_no_other_check(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = killed_after(3, signal.SIGTERM)
    spy = Spy(monkeypatch)
    main(["data", "check", "clips", "workers=2", "out=new/check.csv"])
    assert len(spy.looked_at) == VIDEOS + 1 - kept


def test_two_checks_into_one_list_are_refused(
    clips: Path, make_video: MakeVideo, capsys: pytest.CaptureFixture[str]
) -> None:
    from vssl.video.upkeep.journal import Journal

    with Journal(Path("check.csv.partial"), {}):
        assert check() == 2
    assert "another process is writing check.csv.partial" in capsys.readouterr().err
