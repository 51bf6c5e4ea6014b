"""From records to a table that says no more than they do."""

import csv
import io
from pathlib import Path

import pytest
from rich.console import Console

from tests.report.factory import Runs
from vssl.report.files import write_all
from vssl.report.table import Table, comparison

BOTH = {("motion", "knn"): 0.5, ("motion", "linear"): 0.6}
LOW = {("motion", "knn"): 0.15, ("motion", "linear"): 0.2}


def screen(table: Table, width: int = 110) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(table.to_screen())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def rows(table: Table) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table.to_csv())))


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def test_one_seed_says_so_and_carries_the_bootstrap(runs: Runs) -> None:
    runs.run("videomae", BOTH)
    runs.baseline("random", LOW)
    text = screen(comparison(runs.folder))
    assert "n = 1 (one seed)" in text and "bootstrap" in text
    assert "50.0" in text and "45.2" in text  # 200 of 400 videos: 50 % with about 5 points either way


def test_two_seeds_show_both_and_three_their_spread(runs: Runs) -> None:
    for seed, top1 in enumerate((0.5, 0.54)):
        runs.run("videomae", {("motion", "knn"): top1}, seed=seed)
    assert "50.0 / 54.0" in screen(comparison(runs.folder))
    runs.run("videomae", {("motion", "knn"): 0.58}, seed=2)
    table = comparison(runs.folder)
    assert "54.0 ± 4.0" in screen(table)
    assert "44.1" in table.to_markdown() and "63.9" in table.to_markdown()  # t interval: 54 ± 4.303 * 4 / sqrt(3)


def test_the_same_clips_are_said_and_other_clips_too(runs: Runs) -> None:
    runs.run("videomae", BOTH)
    runs.run("simsiam", LOW, view="a", steps=120)  # fewer steps: compared at the last count that both have
    assert "Same clips" in screen(comparison(runs.folder))
    runs.run("byol", LOW, view="a", clips="other")
    text = " ".join(screen(comparison(runs.folder)).split())
    assert "the first view of videomae is that of simsiam (at 7,680 samples)" in text
    assert "other clips at equal settings: the digests differ at 19,200 samples" in text
    assert "Not the same clips as videomae: byol" in text


def test_rows_under_other_conditions_are_marked_and_named(runs: Runs) -> None:
    for method in ("videomae", "simsiam"):
        runs.run(method, BOTH)
    runs.run("byol", BOTH, budget={"flops": 2e12})
    text = " ".join(screen(comparison(runs.folder)).split())
    assert "byolᵃ" in text and "ᵃ budget: 2 TFLOP, not 12.3 TFLOP" in text


def test_a_value_within_the_interval_of_random_is_marked(runs: Runs) -> None:
    runs.run("videomae", BOTH)
    runs.run("simsiam", {("motion", "knn"): 0.16, ("motion", "linear"): 0.6})
    runs.baseline("random", LOW)
    lines = {line.split()[0]: line for line in screen(comparison(runs.folder)).splitlines() if line.strip()}
    assert "16.0°" in lines["simsiam"] and "60.0°" not in lines["simsiam"] and "°" not in lines["videomae"]


def test_chance_stands_below(runs: Runs) -> None:
    runs.run("videomae", {**BOTH, ("shape", "knn"): 0.5})
    lines = {line.split()[0]: line for line in screen(comparison(runs.folder)).splitlines() if line.strip()}
    assert lines["chance"].split()[1:] == ["12.5", "12.5", "25.0"]


def test_failed_runs_are_listed_with_their_error(runs: Runs) -> None:
    runs.run("videomae", BOTH)
    runs.run("simsiam", status="failed", error="WorkError: the loss is nan at step 7")
    assert "the loss is nan at step 7" in screen(comparison(runs.folder))


def test_two_stamps_in_one_column_are_told(runs: Runs) -> None:
    runs.run("videomae", {("motion", "knn"): 0.5})
    runs.run("simsiam", {("motion", "knn"): 0.4}, stamp={"k": 5})
    text = " ".join(screen(comparison(runs.folder)).split())
    assert "knnᵃ" in text and "ᵃ other evaluation: k=20, not 5" in text


def test_only_what_is_asked_for(runs: Runs) -> None:
    wanted = runs.run("videomae", BOTH)
    runs.run("simsiam", BOTH)
    assert [row["row"] for row in rows(comparison(runs.folder, only=[wanted]))] == ["videomae", "chance"]


def test_files_paste(runs: Runs) -> None:
    runs.run("videomae", BOTH)
    runs.baseline("mean_frame", LOW)
    table = comparison(runs.folder)
    for path in write_all(table, runs.folder, notes=["a & b"]):
        assert path.stat().st_size > 0
    markdown = (runs.folder / "table.md").read_text()
    body = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len({line.count(" | ") for line in body}) == 1  # GitHub drops cells of rows that are too long
    latex = (runs.folder / "table.tex").read_text()
    assert r"\toprule" in latex and r"mean\_frame" in latex and r"a \& b" in latex
    assert (runs.folder / "table.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert float(rows(table)[0]["motion/knn top1"]) == 0.5


def test_no_records_no_table_but_a_word(tmp_path: Path) -> None:
    assert screen(comparison(tmp_path)).strip()


@pytest.mark.parametrize("width", [80, 100, 120])
def test_it_fits_the_terminal(runs: Runs, width: int) -> None:
    runs.run("videomae", {**BOTH, ("shape", "knn"): 0.5, ("shape", "linear"): 0.5})
    assert max(len(line) for line in screen(comparison(runs.folder), width).splitlines()) <= width
