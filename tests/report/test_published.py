"""Published rows: whole, sourced, beside ours and never among them."""

import csv
import dataclasses
import io
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from tests.report.factory import Runs
from vssl.cli.main import main
from vssl.config.errors import UserError
from vssl.config.folders import config_root
from vssl.report.beside import Beside
from vssl.report.published import published
from vssl.report.reference import FIELDS, UNKNOWN, Reference, known_set, references
from vssl.report.table import Table, comparison

ROWS = [row for rows in references().values() for row in rows]
STAMP = {"protocol": "finetune", "clip": {"views": "5 x 3", "frames": 16, "stride": 4, "size": 224}}
BASE = {"backbone": "vit_base", "data": "kinetics400"}


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def tuned(runs: Runs, method: str = "videomae", top1: float = 0.75, stamp: dict[str, Any] | None = None) -> Table:
    runs.run(method, {("motion", "finetune"): top1}, names=BASE, stamp=STAMP if stamp is None else stamp)
    return comparison(runs.folder)


def lines(table: Table, name: str = "kinetics400_finetune") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(published(table, name).to_csv())))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_every_row_is_whole_and_says_where_it_is_from(row: Reference) -> None:
    words = ("id", "method", "backbone", "pretrained_on", "labels", "images", "data", "evaluation", "source", "note")
    assert all(isinstance(getattr(row, name), str) and getattr(row, name).strip() for name in words)
    assert row.source != UNKNOWN and " " in row.source, "a project and a file of it"
    assert all(value == UNKNOWN or (isinstance(value, int) and value > 0) for value in (
        row.epochs, row.frames, row.stride, row.clips, row.crops, row.size
    ))  # fmt: skip
    assert row.metrics and all(0 < value <= 100 for value in row.metrics.values())
    assert row.read == UNKNOWN or (len(row.read) == 7 and "2023-01" <= row.read <= "2026-11")


def test_rows_are_told_apart_and_two_are_never_the_same_number() -> None:
    assert len({row.id for row in ROWS}) == len(ROWS) > 80
    facts = [tuple(str(getattr(row, name)) for name in FIELDS if name not in ("id", "metrics")) for row in ROWS]
    assert len(set(facts)) == len(facts), "two numbers for the same thing need a note that says so"
    assert not any("LSTCL" in row.method for row in ROWS), "known from an index alone"


def test_names_of_ours_are_ours() -> None:
    """What is not told from ours by its name must be ours, or no difference would be found."""
    choices = {group: {path.stem for path in (config_root() / group).glob("*.yaml")} for group in ("backbone", "data")}
    lower = {row.backbone for row in ROWS if row.backbone == row.backbone.lower()}
    assert lower <= choices["backbone"] and len(lower) > 4
    sets = {row.data for row in ROWS} | {row.pretrained_on for row in ROWS if row.pretrained_on.islower()}
    assert sets - {"ava", "ek100", "imagenet", "its own mix of 2025", "none"} <= choices["data"]


@pytest.mark.parametrize("change", [{"source": None}, {"colour": "red"}])
def test_a_row_that_is_not_whole_is_refused_by_name(tmp_path: Path, change: dict[str, Any]) -> None:
    row = {**dataclasses.asdict(ROWS[0]), **change}
    row = {key: value for key, value in row.items() if value is not None}
    file = tmp_path / "reference.yaml"
    file.write_text(yaml.safe_dump({"rows": [row]}))
    with pytest.raises(ValueError, match=rf"{row['id']}: missing or unknown fields \['{next(iter(change))}'\]"):
        references(file)


def test_a_number_of_the_same_protocol_differs_in_nothing_that_is_known(runs: Runs) -> None:
    """VideoMAE ViT-B, 800 epochs, against a run that did the same."""
    table = tuned(runs)
    (row,) = [row for row in lines(table) if row["id"] == "D3"]
    assert float(row["difference"]) == pytest.approx(75.0 - 81.0)
    assert row["mismatch"].split("; ") == [
        "not known of the published number: stride", "not known of ours: epochs",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("clip", "told"),
    [
        ({"views": "1 x 1"}, "clips: 1, not 5"), ({"views": "5 x 1"}, "crops: 1, not 3"),
        ({"frames": 8}, "frames: 8, not 16"), ({"size": 112}, "size: 112, not 224"),
    ],
)  # fmt: skip
def test_every_part_of_the_test_clips_that_differs_is_named(runs: Runs, clip: dict[str, Any], told: str) -> None:
    table = tuned(runs, stamp={**STAMP, "clip": {**STAMP["clip"], **clip}})  # type: ignore[dict-item]
    (row,) = [row for row in lines(table) if row["id"] == "D4"]
    assert told in row["mismatch"].split("; ")
    assert not any(told in line for line in published(tuned(Runs(runs.folder / "same")), "kinetics400_finetune").lines)


def test_backbone_pretraining_labels_and_images_are_named(runs: Runs) -> None:
    rows = {row["id"]: row["mismatch"] for row in lines(tuned(runs))}
    assert "backbone: vit_base, not vit_small" in rows["D1"]
    assert "pretraining: kinetics400, not UnlabeledHybrid" in rows["D20"]
    assert "labels: none, not Kinetics-710, between pretraining and fine-tuning" in rows["D21"]
    assert "images: none, not targets of a DINO teacher trained on ImageNet-1k" in rows["D35"]


def test_what_was_not_trained_here_is_unknown_and_not_called_equal(runs: Runs) -> None:
    folder = runs.baseline("k400_800ep", {("motion", "finetune"): 0.7}, kind="file", on="vit_base")
    for record in folder.rglob("record.json"):
        record.write_text(record.read_text().replace('"data": "moving_shapes"', '"data": "kinetics400"'))
    (row,) = [row for row in lines(comparison(runs.folder)) if row["id"] == "D4"]
    assert "not known of ours: " in row["mismatch"]
    silent = row["mismatch"].split("not known of ours: ")[1].split("; ")[0].split(", ")
    assert {"pretraining", "epochs", "labels", "images"} <= set(silent)


def test_published_rows_are_in_no_row_of_the_table(runs: Runs) -> None:
    """Even where they are higher than all of ours, nothing of the comparison moves."""
    table = tuned(runs)
    before = table.to_markdown()
    listing = published(table, "kinetics400_finetune")
    assert comparison(runs.folder).to_markdown() == before
    assert listing.title == "published: finetune on kinetics400" and "not ranked with ours" in listing.lines[0]
    assert not any(row[0].startswith("videomae") for row in listing.rows), "ours are columns there, not rows"
    assert "videomae" in listing.heads


def test_another_metric_gets_no_difference(runs: Runs) -> None:
    runs.run("videomae", {("motion", "detection"): 0.3}, names={**BASE, "data": "ava"}, stamp={"protocol": "detection"})
    table = comparison(runs.folder)
    assert {row["difference"] for row in lines(table, "ava_detection")} == {""}
    assert all(row[-2].startswith("– [") for row in published(table, "ava_detection").rows)


def test_nothing_of_ours_is_of_that_evaluation(runs: Runs) -> None:
    runs.run("videomae", {("motion", "knn"): 0.5})
    listing = published(comparison(runs.folder), "ssv2_attentive")
    assert "Nothing of ours is attentive on ssv2; here is knn on moving_shapes." in listing.lines
    assert len(listing.rows) == len(references()["ssv2_attentive"]) and "source" in listing.heads


def test_every_format_names_the_sources(runs: Runs, tmp_path: Path) -> None:
    listing = published(tuned(runs), "kinetics400_finetune")
    console = Console(width=200, file=io.StringIO(), force_terminal=False)
    console.print(listing.to_screen())
    texts = [console.file.getvalue(), *(file.read_text() for file in listing.write(tmp_path))]  # type: ignore[attr-defined]
    for text in texts:
        assert "MCG-NJU/VideoMAE MODEL" in text.replace("\\", "") and "QUVA-Lab/SIGMA" in text


def test_an_unknown_set_names_the_nearest_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such set of published rows; did you mean 'kinetics400_linear'"):
        known_set("kinetics400_linaer")
    assert main(["table", str(tmp_path), "reference=k400"]) == 2
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_what_was_asked_for(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    tuned(runs)
    assert main(["table", str(runs.folder), "pairs=true", "reference=kinetics400_finetune"]) == 0
    out = capsys.readouterr().out
    assert "paired differences" in out and "published: finetune on kinetics400" in out
    written = {f"{name}.{ending}" for name in ("table", "pairs", "published") for ending in ("md", "csv", "tex")}
    assert written <= {path.name for path in runs.folder.iterdir()}
    assert [one.name for one in Beside().listings(comparison(runs.folder))] == []
