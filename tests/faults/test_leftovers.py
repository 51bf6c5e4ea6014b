"""What a SIGKILL in the middle of a write leaves is gone after the next start."""

import os
from pathlib import Path

import pytest

from tests.faults.tools import Vssl, assert_same_run, leftovers
from vssl.records.atomic import atomic, remove_leftovers

HOUR_S = 3600.0


def left(path: Path) -> Path:
    """The temporary file that a process killed while it wrote `path` would leave: the name is not written down here."""
    path.parent.mkdir(parents=True, exist_ok=True)
    block = atomic(path)
    temporary = block.__enter__()
    temporary.write_bytes(b"half")
    copy = temporary.with_name(temporary.name.replace(f".{os.getpid()}-", ".1-"))
    os.link(temporary, copy)
    block.__exit__(SystemExit, SystemExit(), None)
    assert not temporary.exists()
    return copy


def test_they_are_known_by_their_name_and_others_stay(tmp_path: Path) -> None:
    for name in ("last.ckpt", "metrics.csv", "log", "no.ending.at.all.json", "a" * 200 + ".json"):
        left(tmp_path / name)
    kept = [tmp_path / name for name in (".hidden", ".my.tmp.csv", "x.tmp", ".a.1-2.tmp.csv", "last.ckpt")]
    for file in kept:
        file.write_text("mine")
    remove_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_where_nobody_holds_a_lock_only_old_ones_are_removed(tmp_path: Path) -> None:
    old, new = left(tmp_path / "a.json"), left(tmp_path / "b.json")
    past = old.stat().st_mtime - 2 * HOUR_S
    os.utime(old, (past, past))
    remove_leftovers(tmp_path, older_than_s=HOUR_S)
    assert not old.exists() and new.exists()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    remove_leftovers(tmp_path / "nowhere")


@pytest.mark.slow
def test_in_a_run_and_its_evaluation(tiny: list[str], vssl: Vssl) -> None:
    words = ["pretrain", *tiny, "method=videomae", "run.workers=0", "run.name=mine"]
    run = Path("runs/mine")
    for name in (
        "record.json",
        "config.yaml",
        "metrics.csv",
        "checkpoints/last.ckpt",
        "checkpoints/backbone.safetensors",
    ):
        left(run / name)
    assert len(leftovers(run)) == 5
    assert vssl(*words).code == 0
    assert vssl(*words, "run.out=alone").code == 0
    assert_same_run(run, Path("alone/mine"))

    done = vssl("evaluate", str(run), "eval=knn", "run.workers=0")
    place = Path(done.out.strip())
    (place / "record.json").unlink()
    left(place / "record.json")
    left(place / "predictions.parquet")
    assert vssl("evaluate", str(run), "eval=knn", "run.workers=0").code == 0
    assert leftovers(run) == []
