"""A disk that fills up while something is written: what was whole stays whole, and the same command goes on later."""

from pathlib import Path

import pytest
import torch

from tests.faults.tools import PAGE, MakeDisk, Vssl, assert_same_run, content, leftovers, wait_for
from tests.report.factory import Runs
from vssl.cli.main import main
from vssl.records.record import read_record
from vssl.training.run import BACKBONE, LAST

# Measured on the disk of the test rather than here, since the sizes of checkpoints change with torch.
ROOM = 64 * 2**20

SMALL = ["method=videomae", "run.workers=0", "run.name=mine"]


def run_words(tiny: list[str], out: Path, steps: int, save_steps: int) -> list[str]:
    return [*tiny, *SMALL, f"run.out={out}", f"budget.steps={steps}", f"run.save_steps={save_steps}"]


@pytest.fixture
def undisturbed(tiny: list[str], tmp_path: Path, vssl: Vssl) -> "dict[tuple[int, int], Path]":
    """Finished runs by (steps, save_steps), made when they are asked for."""

    class Made(dict[tuple[int, int], Path]):
        def __missing__(self, key: tuple[int, int]) -> Path:
            out = tmp_path / f"whole{key[0]}"
            done = vssl("pretrain", *run_words(tiny, out, *key))
            assert done.code == 0, done.err
            self[key] = out / "mine"
            return self[key]

    return Made()


@pytest.mark.slow
def test_while_a_checkpoint_is_written(
    tiny: list[str], make_disk: MakeDisk, vssl: Vssl, undisturbed: "dict[tuple[int, int], Path]"
) -> None:
    whole = undisturbed[6, 1]
    size = (whole / LAST).stat().st_size
    disk = make_disk(size * 3 // 2)  # one checkpoint, and no second beside it
    words = run_words(tiny, disk.folder, 6, 1)
    done = vssl("pretrain", *words)
    run = disk.folder / "mine"
    assert done.code == 1
    assert f"error: cannot write {run / LAST}: No space left on device" in done.message
    assert "free some space or choose another folder with run.out= (or out=), then run the same command" in done.message
    assert torch.load(run / LAST, weights_only=True)["global_step"] == 1
    assert read_record(run)["status"] == "failed" and "No space left" in read_record(run)["error"]
    assert leftovers(disk.folder) == []
    disk.resize(ROOM)
    assert vssl("pretrain", *words).code == 0
    assert_same_run(run, whole)


@pytest.mark.slow
def test_while_the_curve_grows(
    tiny: list[str], make_disk: MakeDisk, vssl: Vssl, undisturbed: "dict[tuple[int, int], Path]"
) -> None:
    whole = undisturbed[160, 62]
    disk = make_disk(ROOM)
    words = run_words(tiny, disk.folder, 160, 62)
    run = disk.folder / "mine"
    process = vssl.start("pretrain", *words)
    wait_for((run / LAST).exists, process)
    disk.fill()  # the curve's page still has room for some rows
    done = process.wait()
    assert done.code == 1
    # What failed first is told, and not that the record could not be marked as failed afterwards.
    assert f"cannot write {run / 'metrics.csv'}: No space left on device" in done.message
    assert torch.load(run / LAST, weights_only=True)["global_step"] == 62
    assert leftovers(disk.folder) == []
    disk.empty()
    assert vssl("pretrain", *words).code == 0
    assert_same_run(run, whole)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [BACKBONE, "record.json"])
def test_while_the_end_is_written(
    tiny: list[str], make_disk: MakeDisk, vssl: Vssl, undisturbed: "dict[tuple[int, int], Path]", victim: str
) -> None:
    whole = undisturbed[4, 100]
    pages = sum(-(-path.stat().st_size // PAGE) for path in whole.rglob("*") if path.is_file())
    # The lock's page is there all the time; the record's temporary file would need one more.
    size = (pages + 1) * PAGE - ((whole / BACKBONE).stat().st_size // 2 if victim == BACKBONE else 0)
    disk = make_disk(size)
    words = run_words(tiny, disk.folder, 4, 100)
    done = vssl("pretrain", *words)
    run = disk.folder / "mine"
    assert done.code == 1
    assert f"error: cannot write {run / victim}: No space left on device" in done.message
    assert torch.load(run / LAST, weights_only=True)["global_step"] == 4
    assert (run / BACKBONE).exists() == (victim == "record.json")
    assert read_record(run)["status"] in ("running", "failed")
    assert leftovers(disk.folder) == []
    disk.resize(ROOM)
    assert vssl("pretrain", *words).code == 0
    assert_same_run(run, whole)


@pytest.mark.slow
@pytest.mark.parametrize("decoder", ["pyav", "prepared"])
def test_while_the_cache_is_filled(
    tiny: list[str], tmp_path: Path, make_disk: MakeDisk, vssl: Vssl, monkeypatch: pytest.MonkeyPatch, decoder: str
) -> None:
    """The made videos with pyav, the map of their pixels with prepared."""
    words = [*tiny, *SMALL, f"data.decoder={decoder}"]
    room = make_disk(ROOM)
    monkeypatch.setenv("VSSL_CACHE", str(room.folder))
    assert vssl("pretrain", *words, "run.out=whole").code == 0
    size = room.used - 30 * PAGE  # too little by some videos, or by a part of the map
    disk = make_disk(size)
    monkeypatch.setenv("VSSL_CACHE", str(disk.folder))
    done = vssl("pretrain", *words)
    assert done.code == 1
    assert f"error: cannot write {disk.folder}" in done.message
    assert "No space left on device" in done.message
    assert "VSSL_CACHE" in done.message
    assert leftovers(disk.folder) == leftovers(tmp_path) == []
    disk.resize(ROOM)
    assert vssl("pretrain", *words).code == 0
    assert len(content(disk.folder)) == len(content(room.folder))
    assert_same_run(tmp_path / "runs/mine", tmp_path / "whole/mine")


@pytest.mark.slow
def test_while_features_are_cached(
    tiny: list[str], make_disk: MakeDisk, vssl: Vssl, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = make_disk(ROOM)
    monkeypatch.setenv("VSSL_CACHE", str(disk.folder))
    assert vssl("pretrain", *tiny, *SMALL).code == 0
    disk.resize(disk.used + PAGE)  # for the folder's probe, and not for 37 x 128 numbers
    words = ["evaluate", "runs/mine", "eval=knn,linear", "run.workers=0"]
    done = vssl(*words)
    assert done.code == 1
    assert f"error: cannot write {disk.folder}/features/" in done.message
    assert "No space left on device\n  hint: free some space or set VSSL_CACHE to another folder" in done.message
    assert leftovers(disk.folder) == leftovers(Path("runs")) == []
    (record,) = Path("runs/mine/eval").glob("*/record.json")
    assert read_record(record)["status"] == "failed" and "No space left" in read_record(record)["error"]
    disk.resize(ROOM)
    assert vssl(*words).code == 0
    assert {read_record(path)["status"] for path in Path("runs/mine/eval").glob("*/record.json")} == {"done"}


@pytest.mark.slow
def test_while_an_evaluation_is_written(tiny: list[str], make_disk: MakeDisk, vssl: Vssl) -> None:
    disk = make_disk(ROOM)
    words = [*tiny, *SMALL, f"run.out={disk.folder}"]
    assert vssl("pretrain", *words).code == 0
    before = content(disk.folder)
    run = disk.folder / "mine"
    # The lock has a page, the predictions have one: none is left for the record. With none for the predictions, then
    # with none at all.
    for pages, victim in ((2, "record.json"), (1, "predictions.parquet"), (0, "")):
        disk.resize(disk.used + pages * PAGE)
        done = vssl("evaluate", str(run), "eval=knn", "run.workers=0")
        assert done.code == (1 if pages else 2)
        assert f"error: cannot write {'to the folder ' if not pages else ''}{run}" in done.message
        assert f"{victim}: No space left on device\n  hint: free some space or choose another folder" in done.message
        assert leftovers(disk.folder) == []
        assert {name: data for name, data in content(disk.folder).items() if "eval" not in name} == before
        for file in run.glob("eval/*/*"):
            file.unlink()
    disk.resize(ROOM)
    done = vssl("evaluate", str(run), "eval=knn", "run.workers=0")
    assert done.code == 0
    assert read_record(Path(done.out.strip()))["status"] == "done"


def test_while_a_table_is_written(make_disk: MakeDisk, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Shown all the same; the former files stay whole."""
    Runs(tmp_path / "runs").run("videomae", {("motion", "knn"): 0.5})
    disk = make_disk(ROOM)
    words = ["table", str(tmp_path / "runs"), f"out={disk.folder}"]
    assert main(words) == 0
    before = content(disk.folder)
    Runs(tmp_path / "runs").run("simsiam", {("motion", "knn"): 0.5})
    disk.resize(disk.used + 2 * PAGE)  # enough for the texts, not for the picture
    capfd.readouterr()
    assert main(words) == 1
    out, err = capfd.readouterr()
    assert "simsiam" in out
    assert err == (
        f"error: cannot write {disk.folder}/table.png: No space left on device\n"
        "  hint: free some space or choose another folder with run.out= (or out=), then run the same command again\n"
    )
    assert content(disk.folder)["table.png"] == before["table.png"] and leftovers(disk.folder) == []
    assert "simsiam" in (disk.folder / "table.md").read_text()


@pytest.mark.slow
def test_an_output_that_is_full(tmp_path: Path, vssl: Vssl) -> None:
    """`vssl table > file` on a full disk."""
    Runs(tmp_path / "runs").run("videomae", {("motion", "knn"): 0.5})
    done = vssl.start("table", str(tmp_path / "runs"), out=Path("/dev/full")).wait()
    assert done.code == 1
    assert done.message == "error: cannot write to the standard output: No space left on device"
