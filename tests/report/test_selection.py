"""`filter=`, `rows=`, `columns=`, `sort=`: shown is what was asked for, and a wrong word names the right one."""

from pathlib import Path

import pytest

from tests.report.factory import Runs
from vssl.cli.main import main
from vssl.config.errors import UserError
from vssl.report.selection import Selection
from vssl.report.table import Table, comparison

KNN, LINEAR, SHAPE = ("motion", "knn"), ("motion", "linear"), ("shape", "knn")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ablation of two axes beside two other methods and an encoder without training; nobody writes there."""
    runs = Runs(tmp_path_factory.mktemp("runs"))
    for ratio, lr, top1 in ((0.5, 0.001, 0.4), (0.75, 0.001, 0.6), (0.75, 0.01, 0.5)):
        scores = {KNN: top1, LINEAR: 0.9 - top1, SHAPE: 0.5}
        runs.run("videomae", scores, method__mask_ratio=ratio, optim__base_lr=lr)
    runs.run("simsiam", {KNN: 0.3, LINEAR: 0.7}, view="a", steps=100)
    runs.run("byol", {KNN: 0.2, LINEAR: 0.8}, view="a", steps=200)
    runs.baseline("random", {KNN: 0.25, SHAPE: 0.3})
    return runs.folder


def shown(folder: Path, **given: str) -> Table:
    return comparison(folder, selection=Selection(**given))


def names(table: Table) -> list[str]:
    return [row.name for row in table.rows]


def heads(table: Table) -> list[str]:
    return [f"{column.label}/{column.head}" for column in table.columns]


@pytest.mark.parametrize(
    ("filter", "left"),
    [
        ("method=simsiam,byol", {"simsiam", "byol"}),
        ("method=simsiam;seed=0", {"simsiam"}),
        ("method!=videomae", {"simsiam", "byol", "random"}),
        ("kind=random", {"random"}),
        ("method.mask_ratio=0.50", {"videomae"}),
        ("mask_ratio=0.75; optim.base_lr=0.01", {"videomae"}),
        ("backbone=vit_nano; method != videomae , random", {"simsiam", "byol"}),
    ],
)
def test_a_filter_leaves_the_rows_it_names(folder: Path, filter: str, left: set[str]) -> None:
    table = shown(folder, filter=filter)
    assert set(names(table)) == left and len(table.rows) == len(left)
    assert table.lines[0] == f"A part of what was found: filter={filter} ({len(left)} of 6 encoders)."


def test_labels_and_protocols_are_filtered_in_columns(folder: Path) -> None:
    assert heads(shown(folder, filter="label=motion")) == ["motion/knn", "motion/linear"]
    assert heads(shown(folder, filter="protocol!=linear")) == ["motion/knn", "shape/knn"]
    assert heads(shown(folder, filter="label=shape; protocol=knn")) == ["shape/knn"]


def test_columns_in_the_order_given(folder: Path) -> None:
    assert heads(shown(folder, columns="linear,motion")) == ["motion/linear", "motion/knn"]
    assert heads(shown(folder, columns="shape/knn,motion/knn")) == ["shape/knn", "motion/knn"]
    table = shown(folder, columns="motion/linear")
    assert names(table)[0] == "byol" and heads(table) == ["motion/linear"], "rows are ordered by what is shown"
    assert [slot.title for slot in table.results] == ["motion linear"]


def test_rows_are_named_by_keys(folder: Path) -> None:
    table = shown(folder, filter="method=videomae", rows="method,mask_ratio,optim.base_lr")
    assert set(names(table)) == {
        "videomae, mask_ratio=0.5, optim.base_lr=0.001", "videomae, mask_ratio=0.75, optim.base_lr=0.001",
        "videomae, mask_ratio=0.75, optim.base_lr=0.01",
    }  # fmt: skip
    assert "random" in names(shown(folder, rows="method,mask_ratio,optim.base_lr"))


def test_names_that_do_not_tell_rows_apart_say_what_would(folder: Path) -> None:
    with pytest.raises(
        UserError, match=r"rows=method,mask_ratio: 2 rows are called videomae, mask_ratio=0\.75"
    ) as told:
        shown(folder, rows="method,mask_ratio")
    assert "they differ in optim.base_lr: name it too" in str(told.value)


@pytest.mark.parametrize(
    ("sort", "first", "last"),
    [
        ("steps", "simsiam", "random"), ("-motion/linear", "byol", "random"), ("linear", "videomae", "random"),
        ("method", "byol", "random"), ("-method", "videomae", "random"), ("-samples", "videomae", "random"),
    ],
)  # fmt: skip
def test_rows_are_sorted_within_their_section(folder: Path, sort: str, first: str, last: str) -> None:
    table = shown(folder, sort=sort)
    assert names(table)[0].startswith(first) and names(table)[-1] == last


def test_rows_without_a_value_come_last_either_way(folder: Path) -> None:
    for sort, order in (("mask_ratio", [0.5, 0.75, 0.75]), ("-mask_ratio", [0.75, 0.75, 0.5])):
        rows = shown(folder, sort=sort).rows
        assert [row.first.config["method"]["mask_ratio"] for row in rows[:3]] == order
        assert {row.name for row in rows[3:5]} == {"simsiam", "byol"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"filter": "metod=byol"}, "no row has the key metod; did you mean 'method'?"),
        ({"filter": "method=boyl"}, "nothing has method=boyl; did you mean 'byol'?"),
        ({"filter": "mask_ratio=0.9"}, "nothing has mask_ratio=0.9"),
        ({"filter": "label=motoin"}, "nothing has label=motoin; did you mean 'motion'?"),
        ({"filter": "method"}, "filter=method: a condition is KEY=VALUE or KEY!=VALUE"),
        ({"filter": "method=random;label=motion;protocol=linear"}, "nothing has protocol=linear"),
        ({"filter": "method=videomae;method=byol"}, "nothing has method=byol"),
        ({"filter": "label!=motion;protocol!=knn"}, "nothing is left"),
        ({"columns": "motion/knm"}, "columns=motion/knm: there is no such column; did you mean 'motion/knn'?"),
        ({"rows": "method,mask_rato"}, "no row has the key mask_rato; did you mean 'method.mask_ratio'?"),
        ({"sort": "stpes"}, "sort=stpes: there is no such column, cost or key; did you mean 'steps'?"),
        ({"sort": "-knn"}, "sort=knn: several columns are called so\n  hint: motion/knn, shape/knn"),
    ],
)
def test_wrong_words_name_the_right_ones(folder: Path, given: dict[str, str], told: str) -> None:
    with pytest.raises(UserError) as error:
        shown(folder, **given)
    assert told in str(error.value)


def test_the_command_takes_them_with_a_message_for_wrong_ones(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["table", str(folder), f"out={tmp_path}", "filter=method=simsiam,byol;label=motion", "rows=method,seed"]
    assert main([*words, "columns=linear,knn", "sort=-steps"]) == 0
    lines = (tmp_path / "table.csv").read_text().splitlines()
    assert lines[0].index("motion/linear") < lines[0].index("motion/knn") and "shape" not in lines[0]
    assert [line.partition(",run,")[0] for line in lines[1:3]] == ['"byol, 0"', '"simsiam, 0"']
    capsys.readouterr()
    before = (tmp_path / "table.csv").read_bytes()
    assert main([*words, "sort=stesp"]) == 2
    assert "did you mean 'steps'?" in capsys.readouterr().err and (tmp_path / "table.csv").read_bytes() == before


def test_nothing_found_is_a_table_with_a_word(tmp_path: Path) -> None:
    table = shown(tmp_path, filter="method=byol", columns="knn", rows="method", sort="-knn")
    assert table.title == "no finished encoder"


def test_three_axes_are_all_named_in_their_rows(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    for ratio in (0.5, 0.75):
        for lr in (0.001, 0.01):
            for size in (32, 64):
                runs.run("videomae", {KNN: 0.5}, method__mask_ratio=ratio, optim__base_lr=lr, train__batch_size=size)
    found = names(comparison(tmp_path))
    assert len(set(found)) == 8
    assert "videomae (mask_ratio=0.5, optim.base_lr=0.001, train.batch_size=32)" in found


def test_what_only_follows_from_an_axis_is_counted_behind_it(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    for place in (1, 2):
        own = {"a": place, "b": place, "c": 5, "d": place}
        runs.run("videomae", {KNN: 0.5}, own=own)
    assert set(names(comparison(tmp_path))) == {"videomae (a=1, b=1 and 1 more)", "videomae (a=2, b=2 and 1 more)"}
