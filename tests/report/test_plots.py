"""The picture is drawn whole: nothing beyond its edges, nothing that is not there."""

from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from tests.report.factory import CLASSES, Runs, messy_folder, quick_bench
from vssl.report import plots
from vssl.report.plots import plot_table
from vssl.report.table import Table, comparison

KNN = ("motion", "knn")


def drawn(table: Table, path: Path, monkeypatch: pytest.MonkeyPatch) -> Figure:
    """The figure that `plot_table` saved."""
    figures: list[Figure] = []
    make = plots._figure

    def kept(table: Table) -> Figure:
        figures.append(make(table))
        return figures[-1]

    monkeypatch.setattr(plots, "_figure", kept)
    plot_table(table, path)
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    return figures[-1]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_visible() and text.get_text()]


def beyond(figure: Figure) -> list[str]:
    """Texts that are cut by the edge of the picture."""
    figure.draw_without_rendering()
    edge = figure.bbox.padded(1)
    return [
        text.get_text()
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip()
        for box in [text.get_window_extent()]
        if not (edge.contains(box.x0, box.y0) and edge.contains(box.x1, box.y1))
    ]


def test_nothing_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place, make in enumerate((quick_bench, messy_folder)):
        table = comparison(make(tmp_path / str(place)).folder)
        assert beyond(drawn(table, tmp_path / "t.png", monkeypatch)) == []


def test_one_panel_with_long_names_and_all_notes_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(tmp_path / "runs")
    for ratio in (0.75, 0.9):
        runs.run("videomae", {KNN: 0.2}, own={"a_long_name": "and a long value of it"}, method__mask_ratio=ratio)
    runs.run("simsiam", {KNN: 0.99}, views__clip__augment={"jitter_p": 0.4, "blur_p": 0.5}, backbone__depth=12)
    runs.baseline("random", {KNN: 0.21})
    assert beyond(drawn(comparison(runs.folder), tmp_path / "t.png", monkeypatch)) == []


def test_bars_lines_and_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = comparison(quick_bench(tmp_path / "runs").folder)
    figure = drawn(table, tmp_path / "t.png", monkeypatch)
    panel: Any = figure.axes[0]
    assert panel.get_title(loc="left") == "motion · knn"
    widths = [patch.get_width() for patch in panel.patches if patch.get_height() == pytest.approx(0.62)]
    assert widths == pytest.approx([52.0, 21.0, 87.0, 22.0, 24.0])
    assert [text.get_text() for text in panel.texts] == ["52.0", "21.0°", "87.0", "22.0", "24.0"]
    assert panel.texts[0].get_fontweight() == "bold" and panel.texts[2].get_fontweight() == "normal"
    at = {line.get_linestyle(): line.get_xdata()[0] for line in panel.lines}
    assert at == {"-": pytest.approx(22.0), ":": pytest.approx(100 / CLASSES["motion"])}
    low, high = table.rows[0].cells[table.columns[0].key].interval
    [segment] = panel.collections[0].get_segments()
    assert segment[:, 0] == pytest.approx([100 * low, 100 * high])


def test_seeds_far_apart_keep_their_value_in_the_panel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(tmp_path / "runs")
    for seed, top1 in enumerate((0.2, 0.5, 0.9)):  # the t interval reaches beyond 100 %
        runs.run("videomae", {KNN: top1}, seed=seed)
    figure = drawn(comparison(runs.folder), tmp_path / "t.png", monkeypatch)
    panel: Any = figure.axes[0]
    [value] = panel.texts
    assert value.xy[0] == 100 < panel.get_xlim()[1] and beyond(figure) == []
    assert max(panel.get_xticks()) <= 100
    assert "videomae  n=3" in texts(figure)


def test_the_legend_names_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(tmp_path / "runs")
    runs.run("videomae", {KNN: 0.5})
    legend = texts(drawn(comparison(runs.folder), tmp_path / "t.png", monkeypatch))[-1]
    assert "n = 1" in legend and "random" not in legend and "n = 2" not in legend
    runs.baseline("random", {KNN: 0.6})
    legend = texts(drawn(comparison(runs.folder), tmp_path / "t.png", monkeypatch))[-1]
    assert "random encoder" in legend and "does not beat random" in " ".join(legend.split())


def test_collapse_is_named_and_not_hatched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(tmp_path / "runs")
    runs.run("simsiam", {KNN: 0.5}, health={"feature_std": 0.01, "effective_rank": 1.1, "collapsed": True, "since": 40})
    figure = drawn(comparison(runs.folder), tmp_path / "t.png", monkeypatch)
    assert any("features collapsed since step 40" in text for text in texts(figure))
    assert "simsiam$^{a}$  n=1" in texts(figure)
    assert [patch.get_hatch() for patch in figure.axes[0].patches] == [None]


def test_names_are_no_formulas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(tmp_path / "runs")
    names = {"data": r"$\frac$ set", "backbone": "$a_b$"}
    for method in ("byol", "dino"):
        runs.run(r"$\x$" + method, {KNN: 0.5}, names=names)
    runs.run("simsiam", {KNN: 0.5}, names=names, budget={"$steps$": 3})
    found = texts(drawn(comparison(runs.folder), tmp_path / "t.png", monkeypatch))
    assert any(r"$\frac$ set" in text for text in found)


def test_without_an_evaluation_there_is_a_picture_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(tmp_path / "runs")
    runs.run("videomae")
    assert "no evaluation is finished" in texts(drawn(comparison(runs.folder), tmp_path / "t.png", monkeypatch))
