"""`budget=`: only runs trained to a budget of that kind are compared, each with those of the same value."""

from pathlib import Path

import pytest

from tests.report.factory import Runs
from vssl.cli.main import main
from vssl.config.errors import UserError
from vssl.report.levels import plot_levels
from vssl.report.table import by_budget

KNN = ("motion", "knn")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = Runs(tmp_path_factory.mktemp("runs"))
    for method, top1 in (("simsiam", 0.3), ("byol", 0.4)):
        for steps in (100, 200):
            runs.run(method, {KNN: top1 + steps / 1000}, view="a", budget={"steps": steps})
    runs.run("cvrl", {KNN: 0.9}, view="a", budget={"samples": 6400})
    runs.baseline("random", {KNN: 0.25})
    return runs.folder


def test_a_table_for_each_value(folder: Path) -> None:
    tables = by_budget(folder, "steps")
    assert [level.told for level, _ in tables] == ["100 steps", "200 steps"]
    for level, table in tables:
        assert [row.name for row in table.rows] == ["byol", "simsiam", "random"]
        assert not any(row.marks for row in table.rows), "nothing is told apart by its budget"
        assert table.lines[0].startswith(f"Trained to {level.told}, ") and table.lines[0].endswith("2 of 5 runs.")
    assert [tables[place][1].rows[0].cells[tables[place][1].columns[0].key].mean for place in (0, 1)] == [0.5, 0.6]


def test_what_no_run_was_trained_to_is_told(folder: Path) -> None:
    with pytest.raises(UserError, match=r"no run here was trained to a number of flops\n.*samples, steps"):
        by_budget(folder, "flops")
    with pytest.raises(UserError, match="did you mean 'steps'"):
        by_budget(folder, "step")


def test_a_picture_where_a_row_has_two_budgets(folder: Path, tmp_path: Path) -> None:
    assert plot_levels(by_budget(folder, "steps"), tmp_path / "steps.png") and (tmp_path / "steps.png").stat().st_size
    assert not plot_levels(by_budget(folder, "samples"), tmp_path / "samples.png")
    assert not (tmp_path / "samples.png").exists()


def test_files_of_each_value(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", str(folder), "budget=steps", f"out={tmp_path}"]) == 0
    told = capsys.readouterr().out.split()
    for name in ("steps-100/table.md", "steps-200/table.csv", "steps.png"):
        assert str(tmp_path / name) in told and (tmp_path / name).is_file()
