"""Rank tables: the same videos and seeds for all rows, and how far the evaluations agree."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from tests.report.answers import answer
from tests.report.factory import Runs, Scores
from vssl.report.answers import PREDICTIONS
from vssl.report.beside import Beside
from vssl.report.listing import Listing
from vssl.report.ranks import ranks
from vssl.report.table import comparison
from vssl.statistics import rank_probabilities

KNN: Scores = {("motion", "knn"): 0.5}
DIFFICULTY = np.random.default_rng(0).random(200)
"""Of the test videos: what one encoder gets right, a better one gets right too."""


def easier_than(bound: float) -> list[bool]:
    return [bool(one) for one in bound > DIFFICULTY]


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path / "runs")


def ranked(runs: Runs) -> tuple[Listing, dict[str, dict[str, str]]]:
    listing = ranks(comparison(runs.folder))[0]
    return listing, {row["row"]: row for row in csv.DictReader(io.StringIO(listing.to_csv()))}


def test_the_probabilities_are_those_of_the_answers(runs: Runs) -> None:
    rng = np.random.default_rng(1)
    shares = {"byol": 0.6, "simsiam": 0.58, "svt": 0.2}
    right = {method: rng.permutation(np.arange(200) < 200 * share) for method, share in shares.items()}
    for order, (method, of_method) in enumerate(right.items()):
        answer(runs.run(method, KNN), list(of_method), order=order)
    _, rows = ranked(runs)
    assert list(rows) == ["byol", "simsiam", "svt"], "the highest first"
    expected = rank_probabilities(np.array(list(right.values()))[:, None])
    for method, of_method in zip(rows, expected, strict=True):
        found = [float(rows[method][f"rank {rank}"]) for rank in (1, 2, 3)]
        assert found == pytest.approx(list(of_method), abs=0.04)  # drawn in another order of the rows
        assert float(rows[method]["mean_rank"]) == pytest.approx(sum(r * p for r, p in enumerate(found, 1)))
    assert 0.5 < float(rows["byol"]["rank 1"]) < 0.95 and float(rows["svt"]["rank 3"]) == 1.0
    assert [row["rank"] for row in rows.values()] == ["1.0", "2.0", "3.0"] and rows["svt"]["videos"] == "200"


def test_seeds_that_disagree_leave_the_order_open_however_many_videos_there_are(runs: Runs) -> None:
    for seed, (one, other) in enumerate([(0.9, 0.3), (0.35, 0.6)]):
        answer(runs.run("videomae", KNN, seed=seed), easier_than(one))
        answer(runs.run("simsiam", KNN, seed=seed), easier_than(other))
    listing, rows = ranked(runs)
    assert float(rows["videomae"]["rank 1"]) == pytest.approx(0.5, abs=0.05)
    assert any(line.startswith("Few seeds") for line in listing.lines)
    assert not any(line.startswith("1 seed") for line in listing.lines)


def test_seeds_that_not_all_have_are_left_out_and_that_is_said(runs: Runs) -> None:
    for seed in range(3):
        answer(runs.run("videomae", KNN, seed=seed), easier_than(0.3 if seed else 0.9))
    answer(runs.run("simsiam", KNN, seed=0), easier_than(0.8))
    listing, rows = ranked(runs)
    assert {row["seeds"] for row in rows.values()} == {"0"} and float(rows["videomae"]["rank 1"]) > 0.9
    assert "Seeds that not all rows have are left out: motion/knn." in listing.lines
    assert any(line.startswith("1 seed") for line in listing.lines)


def test_rows_under_other_conditions_and_without_training_are_not_ranked(runs: Runs) -> None:
    for method, given in (("videomae", {}), ("simsiam", {}), ("byol", {"budget": {"steps": 9}})):
        answer(runs.run(method, KNN, **given), easier_than(0.5))
    answer(runs.baseline("random", KNN), easier_than(0.2))
    assert set(ranked(runs)[1]) == {"videomae", "simsiam"}


def test_lost_predictions_and_other_videos_are_named(runs: Runs) -> None:
    for method in ("videomae", "simsiam", "byol"):
        answer(runs.run(method, KNN), easier_than(0.5))
    (file,) = runs.folder.glob(f"byol-*/eval/*/{PREDICTIONS}")
    file.unlink()
    listing, rows = ranked(runs)
    assert set(rows) == {"videomae", "simsiam"}
    assert listing.troubles == [f"byol, knn on motion: not ranked: {file.parent.name} has no {PREDICTIONS}"]
    (other,) = runs.folder.glob("simsiam-*")
    answer(other, easier_than(0.5), shift=1)
    listing, rows = ranked(runs)
    assert rows == {} and "videos carry another label" in listing.troubles[-1]
    assert listing.lines == [
        "No two rows that may be ranked together were evaluated on the same test videos in the same way."
    ]


def test_rows_without_a_common_seed_are_not_ranked(runs: Runs) -> None:
    for seed, method in enumerate(("videomae", "simsiam")):
        answer(runs.run(method, KNN, seed=seed), easier_than(0.5))
    (trouble,) = ranked(runs)[0].troubles
    assert trouble.endswith("knn on motion: not ranked: no seed that all of them have")
    assert all(method in trouble for method in ("videomae", "simsiam"))


SCORES = {  # (motion knn, motion linear, shape knn)
    "videomae": (0.5, 0.8, 0.3), "simsiam": (0.4, 0.7, 0.6), "byol": (0.3, 0.75, 0.6), "svt": (0.2, 0.4, 0.9),
}  # fmt: skip


def test_agreement_is_scipys(runs: Runs) -> None:
    for method, scores in SCORES.items():
        runs.run(method, dict(zip([("motion", "knn"), ("motion", "linear"), ("shape", "knn")], scores, strict=True)))
    _, agreement = ranks(comparison(runs.folder))
    found = {row["evaluations"]: row for row in csv.DictReader(io.StringIO(agreement.to_csv()))}
    knn, linear, shape = np.array(list(SCORES.values())).T
    for name, pair in (
        ("knn on motion, linear on motion", (knn, linear)),
        ("knn on motion, knn on shape", (knn, shape)),
        ("linear on motion, knn on shape", (linear, shape)),
    ):
        assert float(found[name]["value"]) == pytest.approx(stats.kendalltau(*pair).statistic)
    for name, group in (("all protocols on motion", [knn, linear]), ("all columns", [knn, linear, shape])):
        chi_squared = stats.friedmanchisquare(*np.array(group).T).statistic
        assert float(found[name]["value"]) == pytest.approx(chi_squared / (len(group) * 3))
    assert len(found) == 5 and {row["rows"] for row in found.values()} == {"4"}


def test_one_column_has_nothing_to_agree_with(runs: Runs) -> None:
    runs.run("videomae", KNN)
    runs.run("simsiam", KNN)
    assert [listing.name for listing in ranks(comparison(runs.folder))] == ["ranks"]


def test_a_column_that_few_rows_stand_in_takes_nothing_from_the_others(runs: Runs) -> None:
    for method, scores in SCORES.items():
        runs.run(method, {("motion", "knn"): scores[0], ("motion", "linear"): scores[1]})
    runs.run("dino", {("motion", "knn"): 0.1, ("shape", "knn"): 0.5})
    _, agreement = ranks(comparison(runs.folder))
    assert [(row[0], row[1]) for row in agreement.rows] == [
        ("all protocols on motion", "4"), ("knn on motion, linear on motion", "4"),
    ]  # fmt: skip


def test_it_is_asked_for_and_written_like_the_pairs(runs: Runs, tmp_path: Path) -> None:
    for method, bound in (("videomae", 0.6), ("simsiam", 0.3)):
        answer(runs.run(method, KNN), easier_than(bound))
    table = comparison(runs.folder)
    assert Beside().listings(table) == []
    (listing,) = Beside(ranks=True).listings(table)
    assert [file.name for file in listing.write(tmp_path)] == ["ranks.md", "ranks.csv", "ranks.tex"]
    console = Console(width=120, file=io.StringIO(), force_terminal=False)
    console.print(listing.to_screen())
    assert isinstance(console.file, io.StringIO)
    for text in (console.file.getvalue(), (tmp_path / "ranks.md").read_text(), (tmp_path / "ranks.tex").read_text()):
        assert "1: 100" in text and "2: 100" in text and "nothing is said about other seeds" in " ".join(text.split())
