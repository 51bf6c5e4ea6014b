"""Published figures beside a sweep's own numbers."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from vssl.config.errors import ConfigError
from vssl.records.folders import RECORD
from vssl.sweeps.plan import plan
from vssl.sweeps.published import figures_of, label_of
from vssl.sweeps.run import sweep
from vssl.sweeps.state import PlanState

FILE = """# @package _global_
defaults: [{override /method: simsiam}, {override /eval: [knn]}]
sweep:
  axes: {optim.base_lr: [0.001, 0.002], view: {near: [views.a.stride=1], far: [views.a.stride=2]}}
  exclude: [{optim.base_lr: 0.002, view: far}]
  encoders: [random]
  published:
    "0.001, near": 41.5
    "0.001, far": null
    "0.002, far": 12.0
  published_note: of a paper, on other clips.
"""
SMALL = ["backbone=vit_nano", "backbone.patch_size=8", "backbone.depth=1", "scale=smoke", "run.workers=0"]
HERE = [*SMALL, "launcher.jobs=0", "eval.label=motion", "budget.steps=1"]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "mine.yaml").write_text(FILE)
    return tmp_path


@pytest.mark.usefixtures("tiny")
def test_figures_stand_beside_the_numbers_of_their_settings(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep("sweep", "mine", HERE, {}, [own]) == 0
    folder = Path("runs/sweep/mine")
    accuracies = {"0.001, far": 0.1, "0.001, near": 0.2, "0.002, near": 0.3, "random": 0.4}  # no two rows are alike
    for trial in plan("sweep", "mine", HERE, {}, [own]).trials:
        label = trial.encoder or ", ".join(trial.values.values())
        _set_accuracy(folder, PlanState(folder).read(trial.id).shown, accuracies[label])
    capsys.readouterr()
    assert sweep("sweep", "mine", HERE, {}, [own]) == 0  # everything is there already
    with (folder / "published.csv").open(encoding="utf-8") as file:
        rows = {row["setting"]: (row["published"], row["motion knn"]) for row in csv.DictReader(file)}
    assert rows == {
        "0.001, near": ("41.5", "20.0"),
        "0.001, far": ("not verified", "10.0"),
        "0.002, far": ("12.0", ""),  # excluded: a figure without a number of ours
        "0.002, near": ("not verified", "30.0"),
        "random": ("not verified", "40.0"),
    }
    printed = capsys.readouterr().out
    assert "published figures beside own ones" in printed and "of a paper, on other clips." in printed


def _set_accuracy(folder: Path, places: Sequence[str], accuracy: float) -> None:
    """Of the evaluation among the records of a trial."""
    for path in (folder / place / RECORD for place in places):
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["kind"] == "evaluate":
            record["results"]["top1"]["value"] = accuracy
            path.write_text(json.dumps(record), encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "labels"),
    [
        ([], {"0.001, near", "0.001, far", "0.002, near", "random"}),
        (["view=far"], {"0.001, far", "random"}),
        (["view=near", "optim.base_lr=0.002"], {"0.002, near", "random"}),
        (["seed=0,1", "view=far"], {"0.001, far", "random"}),
    ],
)
def test_a_trial_is_called_by_its_settings_also_where_one_alone_is_left(
    own: Path, words: list[str], labels: set[str]
) -> None:
    todo = plan("sweep", "mine", words, {}, [own])
    assert {label_of(trial, todo.settings.axes) for trial in todo.trials} == labels


def test_a_figure_may_have_names_and_must_be_a_number() -> None:
    assert figures_of({"4": {"SSv2": 69.6, "K400": None}, 8: 1, "x": None}) == {
        "4": {"SSv2": 69.6, "K400": None},
        "8": {"published": 1},
        "x": {},
    }
    with pytest.raises(ValueError, match=r"published: 4: SSv2 is '69\.6', and neither a number nor null"):
        figures_of({"4": {"SSv2": "69.6"}})


def test_a_file_with_another_figure_is_refused_before_anything_runs(own: Path) -> None:
    (own / "sweep" / "mine.yaml").write_text(FILE.replace("41.5", "about 40"))
    with pytest.raises(ConfigError, match="0.001, near"):
        plan("sweep", "mine", [], {}, [own])
