"""Folders on a file system that cannot be written to: told before work starts, and what needs no write works."""

from pathlib import Path

import pytest

from tests.faults.tools import MakeDisk, Vssl, content
from tests.report.factory import Runs
from vssl.cli.main import main

ROOM = 64 * 2**20
WORDS = ["method=videomae", "run.workers=0", "run.name=mine"]


def test_a_table_of_a_folder_that_is_read_only(
    make_disk: MakeDisk, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It is shown all the same, and `out=` writes it elsewhere, as the advice says."""
    disk = make_disk(ROOM)
    Runs(disk.folder).run("videomae", {("motion", "knn"): 0.5})
    disk.read_only()
    assert main(["table", str(disk.folder)]) == 2
    out, err = capfd.readouterr()
    assert "videomae" in out
    assert err == (
        f"error: cannot write to the folder {disk.folder}: Read-only file system\n"
        "  hint: the file system is read-only: choose another folder with run.out= (or out=)\n"
    )
    assert main(["table", str(disk.folder), f"out={tmp_path / 'tables'}"]) == 0
    assert (tmp_path / "tables/table.png").stat().st_size > 0


@pytest.mark.slow
def test_a_run_folder_that_is_read_only(tiny: list[str], make_disk: MakeDisk, vssl: Vssl) -> None:
    disk = make_disk(ROOM)
    words = [*tiny, *WORDS, f"run.out={disk.folder}"]
    disk.read_only()
    for command in (
        ["pretrain", *words],
        ["evaluate", "random", *words, "eval=knn"],
        ["bench", "quick", f"run.out={disk.folder}"],
    ):
        done = vssl(*command)
        assert done.code == 2
        assert f"cannot write to the folder {disk.folder}" in done.message
        assert "Read-only file system\n  hint: the file system is read-only: choose another folder" in done.message
    disk.read_only(False)
    assert vssl("pretrain", *words).code == 0
    disk.read_only()
    run = disk.folder / "mine"
    done = vssl("evaluate", str(run), "eval=knn", "run.workers=0")
    assert done.code == 2 and f"cannot write to the folder {run}" in done.message
    disk.read_only(False)
    assert vssl("evaluate", str(run), "eval=knn", "run.workers=0").code == 0
    disk.read_only()
    assert vssl("evaluate", str(run), "eval=knn", "run.workers=0").code == 0  # it is there already


@pytest.mark.slow
def test_a_cache_that_is_read_only(
    tiny: list[str], make_disk: MakeDisk, vssl: Vssl, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = make_disk(ROOM)
    monkeypatch.setenv("VSSL_CACHE", str(disk.folder))
    disk.read_only()
    words = [*tiny, *WORDS]
    told = "Read-only file system\n  hint: the file system is read-only: set VSSL_CACHE to another folder"
    done = vssl("pretrain", *words)
    assert done.code == 2
    assert f"error: cannot write to the folder {disk.folder}" in done.message and told in done.message
    assert not Path("runs").exists()
    disk.read_only(False)
    assert vssl("pretrain", *words, "data.decoder=pyav").code == 0
    disk.read_only()  # with the videos in it
    done = vssl("pretrain", *words, "data.decoder=prepared", "run.name=other")
    assert done.code == 2 and told in done.message
    assert vssl("pretrain", *words, "data.decoder=pyav", "run.name=third").code == 0
    before = content(Path("runs"))
    done = vssl("evaluate", "runs/mine", "eval=knn", "run.workers=0")
    assert done.code == 2 and told in done.message
    assert "features of" not in done.err  # asked before the work
    disk.read_only(False)
    assert vssl("evaluate", "runs/mine", "eval=knn", "run.workers=0").code == 0
    disk.read_only()  # with the features in it
    assert vssl("evaluate", "runs/mine", "eval=knn", "eval.knn.k=3", "run.workers=0").code == 0
    assert before.keys() <= content(Path("runs")).keys()
