"""Learning curves: drawn where runs were probed, and called what they are."""

from pathlib import Path

import pytest
from matplotlib.text import Text

from tests.report.factory import BATCH, Runs, quick_bench
from vssl.report import curves
from vssl.report.curves import curves_of
from vssl.report.files import write_all
from vssl.report.table import comparison

KNN = ("motion", "knn")


@pytest.fixture
def probed(tmp_path: Path) -> Runs:
    runs = Runs(tmp_path / "runs")
    for seed in (0, 1):
        runs.run("videomae", {KNN: 0.5}, seed=seed, steps=400, probe=[0.2, 0.3, 0.45, 0.5 + seed / 100])
    runs.run("$im$iam", {KNN: 0.4}, steps=120, probe=[0.3, 0.4], budget={"steps": 120})
    runs.run("supervised", {KNN: 0.6}, label="motion")
    runs.baseline("random", {KNN: 0.2})
    return runs


def test_one_curve_a_probed_run_over_samples(probed: Runs) -> None:
    found = curves_of(comparison(probed.folder).rows)
    assert [(curve.title, curve.seed) for curve in found] == [("videomae", 0), ("videomae", 1), ("$im$iam [a]", 0)]
    assert found[1].points == ((6400, 0.2), (12800, 0.3), (19200, 0.45), (25600, 0.51))
    assert found[2].points == ((60 * BATCH, 0.3), (120 * BATCH, 0.4))


def test_the_picture_has_the_mean_of_each_row_before_its_seeds(probed: Runs) -> None:
    table = comparison(probed.folder)
    figure = curves._figure(curves_of(table.rows), table)
    lines = figure.axes[0].lines
    heights = [list(line.get_ydata()) for line in lines]  # type: ignore[arg-type]
    assert heights[0][-1] == pytest.approx(50) and heights[1][-1] == pytest.approx(51)  # the seeds, unnamed and pale
    assert heights[2] == pytest.approx([20, 30, 45, 50.5]) and heights[3] == pytest.approx([30, 40])
    assert lines[0].get_color() == lines[1].get_color() == lines[2].get_color() != lines[3].get_color()
    assert [line.get_alpha() for line in lines[:3]] == [0.3, 0.3, None]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["videomae", "$im$iam [a]"]
    figure.draw_without_rendering()
    edge = figure.bbox.padded(1)
    shown = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    boxes = [text.get_window_extent() for text in shown]
    assert all(edge.contains(box.x0, box.y0) and edge.contains(box.x1, box.y1) for box in boxes)
    assert any(text.get_text().startswith("unfinished schedule") for text in shown)
    assert any("a  budget: 120 steps, not 12.3 TFLOP" in text.get_text() for text in shown)


@pytest.mark.parametrize(("steps", "scale"), [(100, "log"), (101, "linear")])
def test_trainings_of_very_different_lengths_share_a_logarithmic_axis(tmp_path: Path, steps: int, scale: str) -> None:
    runs = Runs(tmp_path)
    runs.run("videomae", {KNN: 0.5}, steps=404, probe=[0.2, 0.5])
    runs.run("simsiam", {KNN: 0.5}, steps=steps, probe=[0.2, 0.5])
    table = comparison(runs.folder)
    assert curves._figure(curves_of(table.rows), table).axes[0].get_xscale() == scale


def test_it_is_written_beside_the_table_only_where_a_run_was_probed(probed: Runs, tmp_path: Path) -> None:
    files = write_all(comparison(probed.folder), tmp_path / "out")
    assert files[-1] == tmp_path / "out" / "curves.png" and files[-1].read_bytes()[:4] == b"\x89PNG"
    bare = write_all(comparison(quick_bench(tmp_path / "bench").folder), tmp_path / "bare")
    assert "curves.png" not in {file.name for file in bare} and not (tmp_path / "bare" / "curves.png").exists()


def test_a_curve_that_is_cut_short_or_empty_is_left_out(probed: Runs) -> None:
    (probed.written[0] / "metrics.csv").write_text("step,samples,probe_knn\n1,64,\n")
    (probed.written[2] / "metrics.csv").write_text("")
    assert [curve.seed for curve in curves_of(comparison(probed.folder).rows)] == [1]
