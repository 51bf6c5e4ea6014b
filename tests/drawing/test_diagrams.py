"""Diagrams: what is drawn stands where it should, whatever the number of classes and their names."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from vssl.drawing import figure
from vssl.drawing.class_bars import draw_class_bars
from vssl.drawing.confusion import draw_matrix
from vssl.drawing.scatter import draw_scatter
from vssl.drawing.training_curves import draw_curves, drawn_columns

Drawn = list[Figure]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    """The figures that are saved while the test runs."""
    figures: Drawn = []
    savefig = Figure.savefig

    def kept(self: Figure, *given: Any, **how: Any) -> None:
        figures.append(self)
        savefig(self, *given, **how)

    monkeypatch.setattr(Figure, "savefig", kept)
    return figures


def counts(classes: int) -> NDArray[np.int64]:
    """Class i is i + 1 times right and once taken for the next."""
    found = np.diag(np.arange(1, classes + 1))
    found[np.arange(classes), (np.arange(classes) + 1) % classes] += 1
    return found


def pixels(path: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(path).convert("RGB"))


@pytest.mark.parametrize("classes", [2, 10, 16, 17, 40, 41, 174])
def test_a_matrix_shows_shares_of_its_rows(classes: int, tmp_path: Path, drawn: Drawn) -> None:
    names = [f"Putting something $_{place} somewhere, and a good deal more of it" for place in range(classes)]
    draw_matrix("a title", counts(classes), names, tmp_path / "a.png")
    panel = drawn[0].axes[0]
    shown = panel.images[0].get_array()
    for row in range(classes):
        np.testing.assert_allclose(shown[row, row], 100 * (row + 1) / (row + 2))
    assert sorted(text.get_text() for text in panel.texts) == (
        sorted(str(count) for count in counts(classes).flatten() if count) if classes <= 16 else []
    )
    named = [label.get_text() for label in panel.get_yticklabels()]
    assert ("Putting" in named[0]) == (classes <= 40)
    height, width, _ = pixels(tmp_path / "a.png").shape
    assert 300 < height < 2200 and 500 < width < 2200


def test_of_many_classes_the_commonest_confusions_are_named(tmp_path: Path, drawn: Drawn) -> None:
    found = np.diag(np.full(50, 9))
    found[7, 3], found[3, 7], found[20, 1] = 5, 2, 30
    draw_matrix("a title", found, [f"name {place}" for place in range(50)], tmp_path / "a.png")
    (note,) = (text.get_text() for text in drawn[0].texts if "column" in text.get_text())
    assert note.splitlines()[2:] == [
        "30 of 39: 20 name 20 → 1 name 1", "5 of 14: 7 name 7 → 3 name 3", "2 of 11: 3 name 3 → 7 name 7",
    ]  # fmt: skip


@pytest.mark.parametrize("classes", [2, 60, 174])
def test_bars_stand_from_the_best_class_to_the_worst(classes: int, tmp_path: Path, drawn: Drawn) -> None:
    found = counts(classes)
    found[1] = 0  # of this class there is no video
    draw_class_bars("a title", found, [f"name {place}" for place in range(classes)], tmp_path / "a.png")
    names = [label.get_text() for panel in drawn[0].axes for label in panel.get_yticklabels()]
    bars = [patch.get_width() for panel in drawn[0].axes for patch in panel.patches]
    order = [place for place in reversed(range(classes)) if place != 1]
    assert names == [f"name {place} ({place + 2})" for place in order]
    np.testing.assert_allclose(bars, [100 * (place + 1) / (place + 2) for place in order])


def test_points_have_the_colour_of_their_class_and_of_many_classes_the_largest(tmp_path: Path, drawn: Drawn) -> None:
    places = np.arange(20.0).reshape(10, 2)
    label = np.array([0, 0, 1, 1, 1, 2, 2, -1, -1, 2])
    draw_scatter("a title", places, ("x", "y"), label, ("a", "b", "c"), tmp_path / "a.png")
    grey, *groups = drawn[0].axes[0].collections
    assert grey.get_offsets().tolist() == places[7:9].tolist()
    assert [group.get_label() for group in groups] == ["a", "b", "c"]
    for one, group in enumerate(groups):
        assert group.get_offsets().tolist() == places[label == one].tolist()
    assert len({tuple(group.get_facecolor()[0]) for group in groups}) == 3
    many = np.repeat(np.arange(30), [1, 1, 1, *[2] * 24, 1, 1, 1])
    draw_scatter(
        "a title", np.zeros((len(many), 2)), ("x", "y"), many, [f"c{k}" for k in range(30)], tmp_path / "a.png"
    )
    grey, *groups = drawn[1].axes[0].collections
    assert [group.get_label() for group in groups] == [f"c{k}" for k in range(3, 27)] and len(grey.get_offsets()) == 6


def test_points_without_labels_are_of_one_colour(tmp_path: Path, drawn: Drawn) -> None:
    places = np.random.default_rng(0).normal(size=(9, 2))
    draw_scatter("a title", places, ("x", "y"), np.full(9, -1), (), tmp_path / "a.png")
    (points,) = drawn[0].axes[0].collections
    assert len(points.get_offsets()) == 9 and len(points.get_facecolor()) == 1 and not drawn[0].legends
    assert not np.ptp(points.get_facecolor()[0, :3]) < 0.2  # no grey, which is for the few without a label


def test_curves_of_numbers_are_drawn_and_digests_are_not(tmp_path: Path, drawn: Drawn) -> None:
    rows = 100
    curves = pd.DataFrame(
        {
            "step": range(1, rows + 1), "epoch": 0, "samples": range(rows), "loss": np.linspace(2, 1, rows), "lr": 0.1,
            "seconds": 1.0, "feature_std": [0.5 if row % 10 == 9 else np.nan for row in range(rows)],
            "probe_knn": [np.nan] * (rows - 1) + [0.3], "clips.clip": ["50ea08e9a4eda4d9"] * rows,
        }
    )  # fmt: skip
    assert list(drawn_columns(curves)) == ["loss", "lr", "feature_std"]
    draw_curves("a title", curves, tmp_path / "a.png")
    loss, _, deviation = (panel for panel in drawn[0].axes if panel.lines)
    single, mean = loss.lines
    np.testing.assert_array_equal(single.get_ydata(), curves["loss"])
    assert len(mean.get_ydata()) == rows and np.abs(mean.get_ydata() - curves["loss"]).max() < 0.02
    assert deviation.lines[0].get_xdata().tolist() == list(range(10, rows + 1, 10))


def test_a_name_is_cut_at_its_end_and_is_no_formula() -> None:
    assert figure.short("abcdef", 6) == "abcdef" and figure.short("abcdefg", 6) == "abcde…"
    assert figure.short("$x$", 6) == r"\$x\$"


def test_letters_that_the_font_lacks_do_not_warn(tmp_path: Path, recwarn: Any) -> None:
    draw_matrix("视频", counts(2), ["视频", "b"], tmp_path / "a.png")
    assert not recwarn.list
