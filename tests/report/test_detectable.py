"""The note on how small a difference the seeds could show."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tests.report.factory import Runs
from vssl.report.table import comparison

KNN = ("motion", "knn")
SHARES = {"videomae": (0.5, 0.56, 0.53), "simsiam": (0.4, 0.52, 0.41), "byol": (0.45, 0.5, 0.54)}


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def lines(runs: Runs) -> list[str]:
    return [line for line in comparison(runs.folder).lines if "cannot be told" in line]


def test_three_seeds_and_their_spread(runs: Runs) -> None:
    for method, shares in SHARES.items():
        for seed, share in enumerate(shares):
            runs.run(method, {KNN: share}, seed=seed)
    (line,) = lines(runs)
    values = np.array(list(SHARES.values()))
    pairs = [values[a] - values[b] for a, b in ((0, 1), (0, 2), (1, 2))]
    std = np.sqrt(np.mean([pair.var(ddof=1) for pair in pairs]))
    points = float(line.split("below ")[1].split(" ")[0])
    assert line.startswith(f"With 3 seeds a difference below {points} points in knn on motion cannot be told")
    power = stats.nct.sf(stats.t.ppf(0.975, 2), 2, points / 100 * np.sqrt(3) / std)
    assert power == pytest.approx(0.8, abs=0.01), "rounded to a tenth of a point"


def test_one_seed_says_nothing_and_neither_do_rows_that_are_not_ranked(runs: Runs) -> None:
    for method in ("videomae", "simsiam"):
        runs.run(method, {KNN: 0.5})
    for seed in range(3):
        runs.run("byol", {KNN: 0.5 + seed / 10}, seed=seed, budget={"steps": 9})
        runs.baseline("random", {KNN: 0.2 + seed / 10}, seed=seed)
    assert lines(runs) == []


def test_pairs_with_other_numbers_of_seeds_have_lines_of_their_own(runs: Runs) -> None:
    for method, seeds in (("videomae", 3), ("simsiam", 3), ("byol", 2)):
        for seed in range(seeds):
            runs.run(method, {KNN: SHARES[method][seed], ("motion", "linear"): 0.5}, seed=seed)
    two, three = lines(runs)
    assert two.startswith("With 2 seeds") and three.startswith("With 3 seeds")
    assert " points in knn on motion cannot" in three, "where seeds do not differ, there is nothing to tell by"


def test_it_stands_in_every_way_of_showing_the_table(runs: Runs) -> None:
    for seed in range(2):
        for method in ("videomae", "simsiam"):
            runs.run(method, {KNN: SHARES[method][seed]}, seed=seed)
    table = comparison(runs.folder)
    assert "With 2 seeds a difference below" in table.to_markdown() and "With 2 seeds a difference" in table.to_latex()
