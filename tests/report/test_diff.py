"""`vssl table --diff A B`: every difference once, what is equal counted, and one message for what is not there."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.report.factory import Runs
from vssl.cli.main import main
from vssl.records.record import SCHEMA
from vssl.report.diff import diff
from vssl.report.differences import flat

KNN = ("motion", "knn")


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path / "runs")


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    path = folder / "record.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    return folder


def found(a: Path, b: Path) -> dict[tuple[str, str], tuple[str, str, str]]:
    rows = csv.DictReader(io.StringIO(diff(a, b).to_csv()))
    return {(row["part"], row["key"]): (row["a"], row["b"], row["b_minus_a"]) for row in rows if "part" in row}


def test_every_part_has_its_differences(runs: Runs) -> None:
    environment = {
        "commit": "c1", "versions": {"torch": "2.8.0", "av": "18.1.0"}, "python": "3.11", "cpu": "x", "cores": 2,
        "decoder": "prepared",
    }  # fmt: skip
    a = edit(runs.run("videomae", {KNN: 0.5}), lambda record: record.update(environment=environment))
    other = {
        **environment,
        "commit": "c2",
        "versions": {"torch": "2.9.0", "av": "18.1.0"},
        "decoder": "pyav",
        "cores": 4,
    }
    b = edit(
        runs.run("videomae", {KNN: 0.6}, steps=200, method__mask_ratio=0.5, clips="other"),
        lambda record: record.update(environment=other),
    )
    rows = found(a, b)
    assert rows["configuration", "method.mask_ratio"] == ("", "0.5", "")
    assert rows["software", "commit"] == ("c1", "c2", "") and rows["software", "versions.torch"][:2] == (
        "2.8.0",
        "2.9.0",
    )
    assert rows["machine", "cores"] == ("2", "4", "2") and rows["data", "decoder"] == ("prepared", "pyav", "")
    assert rows["budget", "steps"] == ("300", "200", "-100")
    assert float(rows["results", "knn on motion.top1.value"][2]) == pytest.approx(0.1)
    assert ("data", "clips.clip.digest") in rows and ("data", "identity.hashes.method") in rows
    assert ("software", "versions.av") not in rows and ("data", "identity.hashes.data") not in rows
    (clips,) = [line for line in diff(a, b).lines if line.startswith("Clips")]
    assert clips == "Clips: by the digests of the first view A saw others than B up to 12,800 samples."


def test_what_is_equal_is_counted_and_left_out(runs: Runs) -> None:
    a = runs.run("videomae", {KNN: 0.5})
    listing = diff(a, a)
    assert listing.rows == [] and listing.lines[0] == "Nothing differs."
    leaves = flat(yaml.safe_load((a / "config.yaml").read_text()))
    known = [key for key, value in leaves.items() if value is not None and key != "seed"]  # the record has the seed
    assert f" {len(known)} of configuration," in listing.lines[1]
    assert "the same as B" in listing.lines[2]


def test_seeds_that_differ_are_one_line_and_shorter_runs_saw_the_same_clips(runs: Runs) -> None:
    a, b = runs.run("videomae", {KNN: 0.5}), runs.run("simsiam", {KNN: 0.5}, view="a", steps=100)
    assert any("saw the same as B up to 6,400 samples" in line for line in diff(a, b).lines)
    c = runs.run("videomae", {KNN: 0.5}, seed=1)
    assert {key for key in found(a, c) if key[1] == "seed"} == {("status", "seed")}


def test_encoders_without_training_and_evaluations_have_sides_too(runs: Runs) -> None:
    random, frame = runs.baseline("random", {KNN: 0.2}), runs.baseline("mean_frame", {KNN: 0.3})
    assert found(random, frame)["data", "identity.method"] == ("random", "mean_frame", "")
    evaluations = [next((folder / "eval").iterdir()) for folder in (random, frame)]
    assert found(*evaluations)["results", "knn on motion.top1.value"][:2] == ("0.2", "0.3")


def test_an_evaluation_that_one_has_alone_is_shown_and_a_broken_one_named(runs: Runs) -> None:
    a, b = (
        runs.run("videomae", {KNN: 0.5, ("motion", "linear"): 0.6}),
        runs.run("byol", {KNN: 0.5, ("shape", "knn"): 1}),
    )
    rows = found(a, b)
    assert rows["results", "linear on motion.top1.value"] == ("0.6", "", "")
    (broken,) = b.glob("eval/knn-shape-*/record.json")
    broken.write_text(broken.read_text()[:50])
    (trouble,) = diff(a, b).troubles
    assert str(broken) in trouble and "not a whole record" in trouble


def test_it_is_shown_and_written_where_out_says(runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = runs.run("videomae", {KNN: 0.5}), runs.run("simsiam", {KNN: 0.5})
    before = sorted(tmp_path.rglob("*"))
    assert main(["table", "--diff", str(a), str(b)]) == 0
    assert "identity.method" in capsys.readouterr().out and sorted(tmp_path.rglob("*")) == before
    assert main(["table", str(a), "--diff", str(b), f"out={tmp_path / 'out'}"]) == 0
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["diff.csv", "diff.md", "diff.tex"]
    assert "| data | identity.method | videomae | simsiam |" in (tmp_path / "out/diff.md").read_text().replace("\\", "")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["{run}", "nowhere"], "table --diff: there is no folder nowhere"),
        (["{run}", "{runs}"], "holds no record.json\n  hint: give one of the runs in it: "),
        (["{run}", "{empty}"], "holds no record.json\n  hint: the run has not begun, or is none"),
        (["{run}", "{newer}"], f"written by a newer vssl (schema {SCHEMA + 1}, this one reads up to {SCHEMA})"),
        (["{run}", "{half}"], "not a whole record"),
        (["{run}"], "table --diff takes the folders of two runs, A and B, and out=; given 1"),
        (["{run}", "{run}", "{run}"], "given 3"),
        (["{run}", "{run}", "pairs=true"], "and not pairs=true"),
    ],
)
def test_what_cannot_be_compared_takes_one_message(
    runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    (tmp_path / "empty").mkdir()
    half = runs.run("byol") / "record.json"
    half.write_text(half.read_text()[:200])
    places = {
        "run": runs.run("videomae"), "runs": runs.folder, "empty": tmp_path / "empty", "half": half.parent,
        "newer": runs.run("simsiam"),
    }  # fmt: skip
    newer = places["newer"] / "record.json"
    newer.write_text(newer.read_text().replace(f'"schema": {SCHEMA}', f'"schema": {SCHEMA + 1}'))
    assert main(["table", "--diff", *(word.format(**places) for word in words)]) == 2
    out, err = capsys.readouterr()
    assert told in err and err.count("error:") == 1 and out == ""


def test_two_folders_without_the_flag_are_told_of_it(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "a", "b"]) == 2
    assert "table takes one FOLDER; given are 'a', 'b'" in capsys.readouterr().err
