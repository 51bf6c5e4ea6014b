"""No two stamps in one column without a word: every key of every protocol's stamp, changed one at a time."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.evaluation.conftest import World
from tests.report.factory import Runs
from vssl.config.bind import construct
from vssl.config.errors import UserError
from vssl.config.folders import config_root, read_yaml
from vssl.evaluation.protocol import Protocol
from vssl.report.compare import Letters, mark_columns
from vssl.report.gather import Evaluated
from vssl.report.rows import Column
from vssl.report.table import comparison

FILES = sorted((config_root() / "eval").glob("*.yaml"))
KNN = {("motion", "knn"): 0.5}


def evaluated(stamp: Mapping[str, Any]) -> Evaluated:
    identity = {"data": "ucf101", "label": "motion", "protocol": "asked"}
    return Evaluated({"identity": identity, "protocol": stamp, "results": {"top1": {}}}, Path("eval"))


def changes(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """The tree with one leaf made another, for each of them, and with one left out."""
    for key, value in tree.items():
        where = f"{path}.{key}" if path else key
        if isinstance(value, Mapping) and value:
            yield from ((inner, {**tree, key: other}) for inner, other in changes(value, where))
        else:
            yield where, {**tree, key: other_than(value)}
            if value is not None:
                yield where, {name: one for name, one in tree.items() if name != key}


def other_than(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, list | tuple):
        return [*value[:-1], other_than(value[-1])] if value else [0]
    return f"{value}." if isinstance(value, str) else {"other": 1}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_key_makes_another_column_and_is_named(file: Path, tmp_path: Path) -> None:
    protocol = construct(read_yaml(file), Protocol, "eval")
    (tmp_path / "videos").mkdir()
    stamp = protocol.stamp(World(tmp_path / "videos").blobs((8, 4, 4)))
    assert {"protocol", "version", "frozen", "clip", "label", "lists"} <= stamp.keys()
    assert {"views", "frames", "stride", "size", "mode", "padding"} <= stamp["clip"].keys()
    found, first = 0, evaluated(stamp)
    for key, other in changes(stamp):
        second = evaluated(other)
        assert second.column != first.column, key
        pair = [Column(one.column, one.stamp) for one in (first, second)]
        letters = Letters()
        assert [column.marks for column in mark_columns(pair, letters)] == ["", "a"]
        ((_, text),) = letters.pairs()
        own, _, theirs = text.removeprefix(f"other evaluation: {key}=").rpartition(", not ")
        assert own and theirs and own != theirs, f"{key}: '{text}' does not say what differs"
        found += 1
    assert found > 20


def test_long_grids_that_differ_at_their_end_are_shown_to_the_end(tmp_path: Path) -> None:
    runs, grid = Runs(tmp_path), [place / 1000 for place in range(30)]
    runs.run("videomae", KNN, stamp={"grid": {"lrs": grid}})
    runs.run("simsiam", KNN, stamp={"grid": {"lrs": [*grid[:-1], 0.5]}})
    ((_, text),) = comparison(tmp_path).marks
    assert "0.029]" in text and "0.5]" in text


def test_two_views_of_a_video_are_not_one(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    runs.run("videomae", KNN, stamp={"clip": {"views": "1 x 1"}})
    runs.run("simsiam", KNN, stamp={"clip": {"views": "5 x 3"}})
    table = comparison(tmp_path)
    assert len(table.columns) == 2 and [len(row.cells) for row in table.rows] == [1, 1]
    lines = list(csv.DictReader(io.StringIO(table.to_csv())))
    assert {"motion/knn top1", "motion/knn/a top1"} <= lines[0].keys()
    assert "clip.views=" in table.marks[0][1]


def test_what_is_transductive_is_called_so_below_the_table(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    runs.run("videomae", {("motion", "retrieval"): 0.5}, stamp={"transductive": True})
    runs.run("videomae", KNN, seed=1)
    (line,) = [line for line in comparison(tmp_path).lines if line.startswith("Transductive")]
    assert line.endswith("(retrieval on motion).")


def test_a_key_that_is_there_without_a_value_is_not_a_key_that_is_missing(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    runs.run("videomae", KNN, stamp={"optimiser": None})
    runs.run("simsiam", KNN)
    table = comparison(tmp_path)
    assert len(table.columns) == 2 and table.marks == [("a", "other evaluation: stamps of another form")]


def add_numbers(record: Path, **values: float) -> None:
    whole = json.loads(record.read_text())
    whole["results"] |= {name: {"value": one, "low": one - 0.1, "high": one + 0.1} for name, one in values.items()}
    record.write_text(json.dumps(whole))


@pytest.mark.parametrize("seeds", [1, 2])
def test_several_numbers_of_one_evaluation_are_columns_of_their_own(tmp_path: Path, seeds: int) -> None:
    runs = Runs(tmp_path)
    for seed in range(seeds):
        folder = runs.run("videomae", {**KNN, ("motion", "linear"): 0.6}, seed=seed)
        (record,) = folder.glob("eval/knn-*/record.json")
        add_numbers(record, gap_reversed=-0.1, map=0.3)
    table = comparison(tmp_path, metrics=("map", "top1", "gap_reversed"))
    assert [column.head for column in table.columns] == ["knn map", "knn", "knn gap_reversed", "linear"]
    assert [column.chance for column in table.columns] == [None, 0.125, None, 0.125]
    assert table.marks == [], "one evaluation under one stamp"
    line = next(csv.DictReader(io.StringIO(table.to_csv())))
    assert float(line["motion/knn gap_reversed value"]) == pytest.approx(-0.1)
    assert float(line["motion/knn map value"]) == pytest.approx(0.3) and line["motion/knn top1"] == "0.5"


def test_a_gap_is_neither_best_nor_below_random_and_may_be_negative(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    runs.baseline("random", KNN)
    for seed in range(3):
        for method in ("videomae", "simsiam"):
            runs.run(method, KNN, seed=seed)
    for place, record in enumerate(sorted(tmp_path.rglob("eval/*/record.json"))):
        add_numbers(record, gap_reversed=-place / 100)
    table = comparison(tmp_path, metrics=("gap_reversed",))
    cells = [cell for row in table.rows for cell in row.cells.values()]
    assert len(cells) == 3 and not any(cell.best or cell.not_above_random for cell in cells)
    assert min(cell.interval[0] for cell in cells) < 0
    assert not any("No `random`" in line for line in table.lines)


def test_an_evaluation_without_top1_shows_its_first_number(tmp_path: Path) -> None:
    folder = Runs(tmp_path).run("videomae", KNN)
    (record,) = folder.glob("eval/*/record.json")
    add_numbers(record, map=0.3)
    whole = json.loads(record.read_text())
    del whole["results"]["top1"]
    record.write_text(json.dumps(whole))
    table = comparison(tmp_path)
    assert [slot.title for slot in table.results] == ["motion knn map"] and table.results[0].entries[0].text == "30.0"
    assert table.lines[0].startswith("Test videos, in %: what a column names.")


def test_a_number_that_no_evaluation_has_is_refused_with_the_nearest(tmp_path: Path) -> None:
    folder = Runs(tmp_path).run("videomae", KNN)
    (record,) = folder.glob("eval/*/record.json")
    add_numbers(record, gap_reversed=0.1)
    with pytest.raises(UserError, match="metrics=gap_reverse: .*; did you mean 'gap_reversed'"):
        comparison(tmp_path, metrics=("gap_reverse",))
