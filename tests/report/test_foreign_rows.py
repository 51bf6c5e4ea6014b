"""Rows of encoders that no run made: called by their own names, since several files share a layout."""

import csv
import io
import json
from pathlib import Path

import pytest

from tests.report.factory import Runs
from vssl.report.table import comparison

KNN = {("motion", "knn"): 0.5}


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    found = Runs(tmp_path)
    found.run("videomae", KNN)
    return found


def of_layout(runs: Runs, name: str, layout: str, **given: int) -> Path:
    """What an import, or an evaluation of a file, leaves: the name is the file's, the method its layout."""
    folder = runs.baseline(name, KNN, kind="file", **given)
    record = folder / "record.json"
    whole = json.loads(record.read_text())
    whole["identity"].update(method=layout, backbone=layout)
    record.write_text(json.dumps(whole))
    return folder


def test_two_files_of_one_layout_have_their_own_names(runs: Runs) -> None:
    of_layout(runs, "k400_800ep", "videomae")
    of_layout(runs, "k400_1600ep", "videomae", backbone__depth=3)
    table = comparison(runs.folder)
    assert {row.name for row in table.rows} == {"videomae", "k400_800ep", "k400_1600ep"}
    rows = {row["row"]: row["method"] for row in csv.DictReader(io.StringIO(table.to_csv()))}
    assert rows["k400_800ep"] == "videomae"


def test_two_files_of_one_name_are_told_apart(runs: Runs) -> None:
    of_layout(runs, "checkpoint", "videomae")
    of_layout(runs, "checkpoint", "svt", backbone__depth=3)
    names = {row.name for row in comparison(runs.folder).rows}
    assert len(names) == 3 and {name.partition(" ")[0] for name in names} == {"videomae", "checkpoint"}


def test_what_failed_is_called_by_its_name_too(runs: Runs) -> None:
    folder = of_layout(runs, "k400_800ep", "videomae")
    (record,) = folder.glob("eval/*/record.json")
    whole = json.loads(record.read_text())
    record.write_text(json.dumps({**whole, "status": "failed", "error": "OSError: the disk is full"}))
    assert "k400_800ep, seed 0, knn on motion: evaluation failed: OSError: the disk is full" in comparison(
        runs.folder
    ).to_markdown().replace("\\", "")
