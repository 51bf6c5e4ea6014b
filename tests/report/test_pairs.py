"""Paired tests between rows: on the same videos or not at all, and undecided unless told apart."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from rich.console import Console
from scipy import stats

from tests.report.answers import answer
from tests.report.factory import Runs
from vssl.report.answers import PREDICTIONS
from vssl.report.listing import Listing
from vssl.report.pairs import _p, pairs
from vssl.report.table import comparison
from vssl.statistics import holm, paired_bootstrap, paired_over_seeds

KNN = {("motion", "knn"): 0.5}
DIFFICULTY = np.random.default_rng(0).random(200)
"""Of the test videos: what one encoder gets right, a better one gets right too."""


def easier_than(bound: float) -> list[bool]:
    return [bool(one) for one in bound > DIFFICULTY]


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def three(runs: Runs) -> dict[str, NDArray[np.bool_]]:
    """Two methods close together, one far below."""
    right = {
        "videomae": np.array(easier_than(0.60)),
        "simsiam": np.array(easier_than(0.59)),
        "byol": np.array(easier_than(0.30)),
    }
    for method, of_method in right.items():
        answer(runs.run(method, KNN), list(of_method))
    return right


def found(listing: Listing) -> dict[tuple[str, str], dict[str, str]]:
    rows = csv.DictReader(io.StringIO(listing.to_csv()))
    return {(row["a"], row["b"]): row for row in rows}


def test_all_pairs_with_difference_interval_and_both_p_values(runs: Runs) -> None:
    right = three(runs)
    rows = found(pairs(comparison(runs.folder)))
    assert set(rows) == {("videomae", "simsiam"), ("videomae", "byol"), ("simsiam", "byol")}
    raw = {}
    for (a, b), row in rows.items():
        expected = paired_bootstrap(right[a], right[b])
        values = [float(row[key]) for key in ("difference", "low", "high")]
        assert values == pytest.approx([expected.difference, expected.low, expected.high])
        only_a, only_b = int((right[a] & ~right[b]).sum()), int((~right[a] & right[b]).sum())
        raw[a, b] = stats.binomtest(only_a, only_a + only_b).pvalue
        assert float(row["mcnemar_p"]) == float(row["p"]) == pytest.approx(raw[a, b])
        assert (row["videos"], row["seeds"], row["test"]) == ("200", "0", "McNemar, exact")
    assert [float(row["holm_p"]) for row in rows.values()] == pytest.approx(holm([raw[pair] for pair in rows]))


def test_undecided_is_said_and_the_better_row_named(runs: Runs) -> None:
    three(runs)
    rows = found(pairs(comparison(runs.folder)))
    verdicts = {pair: row["verdict"] for pair, row in rows.items()}
    assert verdicts == {
        ("videomae", "simsiam"): "undecided", ("videomae", "byol"): "videomae", ("simsiam", "byol"): "simsiam",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.00001, "<0.001"), (0.0123, "0.012"), (0.04996, "<0.050"), (0.05, "0.050"), (0.0999, "0.100"), (1.0, "1.00")],
)
def test_no_p_is_rounded_across_the_level(value: float, text: str) -> None:
    assert _p(value) == text


def test_the_family_is_a_column(runs: Runs) -> None:
    both = {("motion", "knn"): 0.5, ("shape", "knn"): 0.5}
    for method, bound in (("videomae", 0.6), ("simsiam", 0.565)):
        run = runs.run(method, both)
        for label in ("motion", "shape"):
            answer(run, easier_than(bound), label)
    rows = list(csv.DictReader(io.StringIO(pairs(comparison(runs.folder)).to_csv())))
    assert [row["holm_p"] for row in rows] == [row["p"] for row in rows] and len(rows) == 2


def test_rows_of_predictions_may_stand_in_any_order(runs: Runs) -> None:
    for method, bound, order in (("videomae", 0.6, 3), ("simsiam", 0.5, 7)):
        answer(runs.run(method, KNN), easier_than(bound), order=order)
    (row,) = found(pairs(comparison(runs.folder))).values()
    alone = sum(easier_than(0.6)) - sum(easier_than(0.5))
    assert float(row["p"]) == pytest.approx(stats.binomtest(alone, alone).pvalue)


def test_several_seeds_are_paired_and_tested_over_seeds_and_videos(runs: Runs) -> None:
    rng = np.random.default_rng(1)
    right = {
        method: [rng.random(200) < share for _ in range(3)] for method, share in (("videomae", 0.6), ("byol", 0.5))
    }
    for method, seeds in right.items():
        for seed, of_seed in enumerate(seeds):
            answer(runs.run(method, KNN, seed=seed), list(of_seed))
    answer(runs.run("videomae", KNN, seed=9), [True] * 200)  # a seed that the other has not is left out
    listing = pairs(comparison(runs.folder))
    (row,) = found(listing).values()
    assert row["seeds"] == "0 1 2" and row["test"] == "Student's t over seeds and videos"
    sign = 1 if row["a"] == "videomae" else -1
    expected = paired_over_seeds(np.array(right["videomae"]), np.array(right["byol"]))
    assert float(row["difference"]) == pytest.approx(sign * expected.difference)
    assert float(row["p"]) == pytest.approx(expected.p)
    assert len(row["mcnemar_p"].split()) == 3
    assert any(line.startswith("Several seeds: those that both rows have") for line in listing.lines)
    assert not any(line.startswith("1 seed") for line in listing.lines)


def test_seeds_that_disagree_leave_it_undecided_however_many_videos_there_are(runs: Runs) -> None:
    """Over videos alone the pooled difference would be certain."""
    for seed, (one, other) in enumerate([(0.9, 0.3), (0.35, 0.4)]):
        answer(runs.run("videomae", KNN, seed=seed), easier_than(one))
        answer(runs.run("simsiam", KNN, seed=seed), easier_than(other))
    (row,) = found(pairs(comparison(runs.folder))).values()
    assert abs(float(row["difference"])) > 0.2 and row["verdict"] == "undecided"


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"ids": [f"other/{place:04d}" for place in range(200)]}, "not the same test list: 200 videos of the one"),
        ({"shift": 1}, "not the same test list: 200 videos carry another label"),
    ],
)
def test_other_videos_are_refused_with_the_reason(runs: Runs, other: dict[str, object], reason: str) -> None:
    answer(runs.run("videomae", KNN), easier_than(0.6))
    answer(runs.run("simsiam", KNN), easier_than(0.3), **other)  # type: ignore[arg-type]
    listing = pairs(comparison(runs.folder))
    (trouble,) = listing.troubles
    assert found(listing) == {} and reason in trouble
    assert all(name in trouble for name in ("videomae", "simsiam", "knn on motion: not paired"))


def test_another_test_list_in_the_stamp_is_another_column_and_is_said(runs: Runs) -> None:
    answer(runs.run("videomae", KNN), easier_than(0.6))
    answer(runs.run("simsiam", KNN, stamp={"lists": {"train": "t", "test": "f" * 64}}), easier_than(0.3))
    answer(runs.run("byol", KNN, stamp={"k": 5}), easier_than(0.3))
    listing = pairs(comparison(runs.folder))
    assert found(listing) == {} and len(listing.troubles) == 3
    (lists,) = [one for one in listing.troubles if "videomae" in one and "simsiam" in one]
    (k,) = [one for one in listing.troubles if "videomae" in one and "byol" in one]
    assert "not the same test list (lists.test=" in lists and "another evaluation (k=" in k


def test_predictions_that_are_not_the_records_are_not_used(runs: Runs) -> None:
    answer(runs.run("videomae", KNN), easier_than(0.6))
    place = answer(runs.run("simsiam", KNN), easier_than(0.3))
    record = json.loads((place / "record.json").read_text())
    record["results"]["top1"]["value"] = 0.9
    (place / "record.json").write_text(json.dumps(record))
    (trouble,) = pairs(comparison(runs.folder)).troubles
    assert "of 200 videos are right, by its record 90.0%" in trouble


@pytest.mark.parametrize("damage", ["absent", "cut short", "other columns"])
def test_lost_predictions_are_named_and_the_other_pairs_stay(runs: Runs, damage: str) -> None:
    three(runs)
    (file,) = runs.folder.glob(f"byol-*/eval/*/{PREDICTIONS}")
    if damage == "absent":
        file.unlink()
    elif damage == "cut short":
        file.write_bytes(file.read_bytes()[:100])
    else:
        pd.DataFrame({"id": ["a"]}).to_parquet(file)
    listing = pairs(comparison(runs.folder))
    assert set(found(listing)) == {("videomae", "simsiam")}
    assert len(listing.troubles) == 2 and all(file.parent.name in one for one in listing.troubles)


def test_several_labels_a_video_are_neither_right_nor_wrong(runs: Runs) -> None:
    for method in ("videomae", "simsiam"):
        place = answer(runs.run(method, KNN), easier_than(0.5))
        rows = pd.read_parquet(place / PREDICTIONS)
        rows.assign(label=[[0, 1]] * len(rows)).to_parquet(place / PREDICTIONS)
    (trouble,) = pairs(comparison(runs.folder)).troubles
    assert trouble.endswith("several labels a video: there is no right or wrong to pair")


def test_what_no_row_can_be_paired_in_takes_one_line(runs: Runs) -> None:
    for method in ("videomae", "simsiam", "byol"):
        answer(runs.run(method, KNN), easier_than(0.5))
    for record in runs.folder.glob("*/eval/*/record.json"):
        whole = json.loads(record.read_text())
        whole["results"]["gap_reversed"] = {"value": 0.1, "low": -0.1, "high": 0.2}
        record.write_text(json.dumps(whole))
    listing = pairs(comparison(runs.folder, metrics=("gap_reversed",)))
    reason = "gap_reversed is not the share of videos whose prediction is right"
    assert listing.troubles == [f"no two rows, knn gap_reversed on motion: not paired: {reason}"]


def test_every_format_says_the_same(runs: Runs, tmp_path: Path) -> None:
    three(runs)
    listing = pairs(comparison(runs.folder))
    files = listing.write(tmp_path / "out")
    assert [file.name for file in files] == ["pairs.md", "pairs.csv", "pairs.tex"]
    console = Console(width=140, file=io.StringIO(), force_terminal=False)
    console.print(listing.to_screen())
    texts = [console.file.getvalue(), files[0].read_text(), files[2].read_text()]  # type: ignore[attr-defined]
    for row in listing.rows:
        for text in texts:
            assert all(cell.replace("<", "").strip() in text.replace("\\", "") for cell in row), row
    assert "undecided is a normal outcome" in " ".join(texts[0].split())
    body = [line for line in texts[1].splitlines() if line.startswith("|")]
    assert len({line.count(" | ") for line in body}) == 1 and len(body) == 2 + 3
    inside = texts[2].split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert {line.count("&") for line in inside} == {len(listing.heads) - 1}


def test_rows_under_other_conditions_keep_their_letters(runs: Runs) -> None:
    for method, given in (("videomae", {}), ("simsiam", {}), ("byol", {"budget": {"steps": 9}})):
        answer(runs.run(method, KNN, **given), easier_than(0.5))
    listing = pairs(comparison(runs.folder))
    assert ("videomae", "byol [a]") in found(listing) and "[a] budget: 9 steps, not 12.3 TFLOP" in listing.lines


def test_no_evaluation_in_common_is_a_listing_with_a_word(runs: Runs) -> None:
    runs.run("videomae", KNN)
    listing = pairs(comparison(runs.folder))
    assert listing.lines == ["No two rows have an accuracy on the same test videos, got in the same way."]
    assert listing.to_markdown().strip() and listing.to_csv().count("\n") == 1
