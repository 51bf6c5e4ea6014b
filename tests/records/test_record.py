"""Records are read whole or refused, and collected into one frame."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import vssl
from tests.report.factory import Runs
from vssl.config.errors import UserError
from vssl.records.record import SCHEMA, find_records, read_record, records, write_record


def test_what_is_written_is_read(tmp_path: Path) -> None:
    identity = dict.fromkeys(("name", "method", "backbone", "data", "hashes"))
    record = {"kind": "pretrain", "status": "done", "seed": 0, "identity": identity}
    path = write_record(tmp_path, record)
    assert read_record(tmp_path) == read_record(path) == {"schema": SCHEMA, **record}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"schema": 1, "kind": "pre', "not a whole record"),
        ("", "not a whole record"),
        ("[" * 100_000, "not a whole record"),
        (
            '{"schema": 1, "kind": "pretrain", "status": "done", "seed": 0}',
            "there is no identity.name, identity.method",
        ),
        ('{"kind": "pretrain"}', "holds no schema version"),
        (json.dumps({"schema": SCHEMA + 1, "kind": "pretrain"}), r"written by a newer vssl \(schema 2"),
        (json.dumps({"schema": SCHEMA, "kind": "poem"}), "unknown kind of record 'poem'"),
    ],
)
def test_what_is_no_whole_record_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "record.json").write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        read_record(tmp_path)
    assert str(tmp_path / "record.json") in str(caught.value)


def test_a_folder_without_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no record there"):
        read_record(tmp_path)
    assert find_records(tmp_path / "nowhere") == []


def test_records_are_one_row_an_evaluation_with_its_run(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    runs.run("videomae", {("motion", "knn"): 0.5, ("shape", "knn"): 0.25})
    runs.run("simsiam")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/record.json").write_text("{")
    frame = vssl.records(tmp_path)
    assert frame.equals(records(tmp_path))
    evaluated = frame[frame["kind"] == "evaluate"].set_index("identity.label")
    assert evaluated["results.top1.value"].to_dict() == {"motion": 0.5, "shape": 0.25}
    assert set(evaluated["run.identity.method"]) == {"videomae"} and set(evaluated["run.budget.steps"]) == {300}
    assert frame["status"].value_counts().to_dict() == {"done": 3, "unreadable": 1}  # the bare run has a row too


def test_no_torch_in_records_statistics_and_report() -> None:
    code = (
        "import sys, vssl.records.record, vssl.records.locks, vssl.records.environment, vssl.statistics;"
        "import vssl.report.table, vssl.report.files, vssl.report.plots;"
        "sys.exit(any(name in sys.modules for name in ('torch', 'torchvision', 'pytorch_lightning')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
