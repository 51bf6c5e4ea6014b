"""Which rows may be ranked together, and what is said about the others."""

from pathlib import Path
from typing import Any

import pytest

from tests.report.factory import Runs, evaluation, grid, messy_folder, quick_bench
from vssl.records.record import read_record
from vssl.report import clips
from vssl.report.rows import Row
from vssl.report.table import Table, comparison

KNN, LINEAR = ("motion", "knn"), ("motion", "linear")


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def titles(table: Table) -> list[str]:
    return [row.title for row in table.rows]


def row(table: Table, name: str) -> Row:
    return next(one for one in table.rows if one.title == name)


def best(table: Table, place: int = 0) -> set[str]:
    return {one.title for one in table.rows if (cell := one.cells.get(table.columns[place].key)) and cell.best}


def test_the_table_of_a_bench(tmp_path: Path) -> None:
    table = comparison(quick_bench(tmp_path).folder)
    assert titles(table) == ["videomae", "simsiam", "supervised on motion", "random", "mean_frame"]
    assert [(column.label, column.protocol) for column in table.columns] == [
        ("motion", "knn"), ("motion", "linear"), ("shape", "knn"), ("shape", "linear"),
    ]  # fmt: skip
    assert [best(table, place) for place in range(4)] == [{"videomae"}, {"videomae"}, {"simsiam"}, {"simsiam"}]
    assert table.marks == [] and table.troubles == []


def test_one_method_on_several_backbones_compares_these(runs: Runs) -> None:
    for backbone, top1 in (("vit_nano", 0.5), ("swin_nano", 0.7)):
        node = {"backbone": {"_target_": f"somewhere.{backbone}"}}
        runs.run("simclr", {KNN: top1}, names={"backbone": backbone}, **node)
        runs.baseline("random", {KNN: 0.6}, on=backbone, **node)
    runs.baseline("mean_frame", {KNN: 0.3})
    table = comparison(runs.folder)
    rows = ["simclr on swin_nano", "simclr on vit_nano", "random on swin_nano", "random on vit_nano", "mean_frame"]
    assert sorted(titles(table)) == sorted(rows) and titles(table)[:2] == rows[:2]
    assert table.marks == [] and "backbones compared" in table.title
    assert best(table) == {"simclr on swin_nano"}
    assert (
        row(table, "simclr on vit_nano").cells[table.columns[0].key].not_above_random
    )  # by the one on its own backbone
    runs.run("byol", {KNN: 0.4})  # now methods are compared, and another backbone is another condition
    assert any("backbone" in text for _, text in comparison(runs.folder).marks)


def test_collapse_is_noted_and_ranked_like_anything_else(runs: Runs) -> None:
    health = {"feature_std": 0.0123, "effective_rank": 1.08, "loss_from_chance": 0.05, "collapsed": True, "since": 1200}
    runs.run("videomae", {KNN: 0.5}, health={**health, "collapsed": False, "since": None})
    runs.run("simsiam", {KNN: 0.9}, health=health)
    for seed in (0, 1):
        runs.run("byol", {KNN: 0.4}, seed=seed, health=health if seed else None, budget={"steps": 120})
    table = comparison(runs.folder)
    assert titles(table) == ["simsiam [b]", "videomae", "byol [ac]"]
    seen = "features collapsed since step 1,200: effective rank 1.1, standard deviation 0.012 of 1"
    assert table.marks[1:] == [("b", seen), ("c", f"seed 1: {seen}")]
    assert best(table) == {"simsiam [b]"} and row(table, "byol [ac]").differences == [table.marks[0][1]]


def test_everything_that_can_differ_is_found_at_once(tmp_path: Path) -> None:
    table = comparison(messy_folder(tmp_path).folder)
    assert titles(table) == [
        "videomae", "simsiam", "moco_v3",
        "dino [a]", "videomae [b]", "byol [c]", "simsiam [d]",
        "random", "mean_frame",
    ]  # fmt: skip
    assert [(one.title, one.n) for one in table.rows[:3]] == [("videomae", 3), ("simsiam", 2), ("moco_v3", 1)]
    assert dict(table.marks) == {
        "a": "first view: augment.jitter_p=0.4, not 0.8",
        "b": "backbone: vit_tiny, not vit_nano",
        "c": "other clips at equal settings: the digests differ at 19,200 samples",
        "d": "budget: 120 steps, not 12.3 TFLOP",
        "e": "other evaluation: k=5, not 20",
    }
    assert best(table, 2) == {"videomae"}, "dino's 80.0 is higher and not ranked: it saw other views"
    assert len(table.troubles) == 2


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"budget": {"steps": 120}}, "budget: 120 steps, not 12.3 TFLOP"),
        ({"data__seed": 7}, "data: data.seed=7, not 0"),
        ({"clip__frames": 16}, "backbone: clip.frames=16, not 8"),
        ({"backbone__depth": 12}, "backbone: backbone.depth=12, not 4"),
        ({"views__clip__size": 64}, "first view: size=64, not 32"),
        ({"names": {"data": "video_list"}, "data__seed": 7}, "data: video_list, not moving_shapes"),
        ({"data__root": "/elsewhere", "data__seed": 7}, "data: data.seed=7, not 0"),
    ],
)
def test_a_row_under_another_condition_has_it_named(runs: Runs, changes: dict[str, Any], text: str) -> None:
    for method in ("byol", "dino"):
        runs.run(method, {KNN: 0.5})
    runs.run("simsiam", {KNN: 0.9}, **changes)
    table = comparison(runs.folder)
    other = table.rows[-1]
    assert other.title == "simsiam [a]"
    assert other.differences == [text]
    assert best(table) == {"byol", "dino"}


def test_two_differences_are_two_letters_and_shared_ones_share_theirs(runs: Runs) -> None:
    for method in ("byol", "dino", "moco_v3"):
        runs.run(method, {KNN: 0.5})
    runs.run("simsiam", {KNN: 0.4}, budget={"steps": 120})
    runs.run("videomae", {KNN: 0.3}, budget={"steps": 120}, backbone__depth=12)
    table = comparison(runs.folder)
    assert titles(table)[3:] == ["simsiam [a]", "videomae [ab]"] and [letter for letter, _ in table.marks] == ["a", "b"]


def test_what_concerns_a_method_alone_is_no_other_condition(runs: Runs) -> None:
    runs.run("videomae", {KNN: 0.5}, optim__base_lr=0.1, train__batch_size=16)
    runs.run("simsiam", {KNN: 0.5}, view="a")
    assert titles(comparison(runs.folder)) == ["simsiam", "videomae"]


def test_equal_rows_are_told_apart_by_their_settings(runs: Runs) -> None:
    for ratio, top1 in ((0.75, 0.6), (0.9, 0.5)):
        runs.run("videomae", {KNN: top1}, method__mask_ratio=ratio)
    assert titles(comparison(runs.folder)) == ["videomae (mask_ratio=0.75)", "videomae (mask_ratio=0.9)"]


def test_the_conditions_of_most_rows_are_the_reference_not_those_of_the_best_row(runs: Runs) -> None:
    runs.run("dino", {KNN: 0.9}, budget={"steps": 9000})
    for method in ("simsiam", "videomae"):
        runs.run(method, {KNN: 0.5})
    table = comparison(runs.folder)
    assert titles(table)[-1] == "dino [a]" and "12.3 TFLOP" in table.title


def test_what_does_not_beat_random_is_never_the_best(runs: Runs) -> None:
    runs.run("videomae", {KNN: 0.22})
    runs.run("simsiam", {KNN: 0.20})
    runs.baseline("random", {KNN: 0.21})
    table = comparison(runs.folder)
    assert best(table) == set()
    assert all(cell.not_above_random for one in table.rows[:2] for cell in one.cells.values())
    assert any(line.startswith("° does not beat random") for line in table.lines)


def test_best_are_all_that_its_interval_does_not_tell_apart(runs: Runs) -> None:
    for method, top1 in (("videomae", 0.5), ("simsiam", 0.46), ("byol", 0.3)):
        runs.run(method, {KNN: top1})
    assert best(comparison(runs.folder)) == {"videomae", "simsiam"}  # 50 - 5 and 46 + 5 overlap


def test_one_row_is_no_competition(runs: Runs) -> None:
    runs.run("videomae", {KNN: 0.5})
    runs.run("supervised", {KNN: 0.9}, label="motion")
    assert best(comparison(runs.folder)) == set()


def test_random_on_another_backbone_says_nothing(runs: Runs) -> None:
    runs.run("videomae", {KNN: 0.5, LINEAR: 0.5})
    runs.baseline("random", {KNN: 0.8, LINEAR: 0.8}, backbone__depth=12)
    table = comparison(runs.folder)
    assert not any(cell.not_above_random for cell in row(table, "videomae").cells.values())
    assert any("No `random` beside videomae" in line for line in table.lines)
    runs.baseline("random", {KNN: 0.8})
    table = comparison(runs.folder)
    own = row(table, "videomae")
    assert [own.cells[column.key].not_above_random for column in table.columns] == [True, False]
    assert any("No `random` beside videomae" in line for line in table.lines), "none in the second column"


def test_three_seeds_beat_random_by_their_mean(runs: Runs) -> None:
    for seed, top1 in enumerate((0.30, 0.32, 0.34)):
        runs.run("videomae", {KNN: top1}, seed=seed)
        runs.baseline("random", {KNN: 0.20 + seed / 50}, seed=seed)  # 0.22 and a t interval up to 0.27
    table = comparison(runs.folder)
    assert [one.n for one in table.rows] == [3, 3]
    assert not row(table, "videomae").cells[table.columns[0].key].not_above_random


def test_other_evaluation_clips_are_marked_at_the_number(runs: Runs) -> None:
    runs.run("byol", {KNN: 0.6})
    folder = runs.run("videomae")
    record = read_record(folder)
    evaluation(
        folder, "motion", "knn", 0.5, who={"name": "v", "kind": "run", "method": "videomae", "weights": "0" * 64},
        hashes=record["identity"]["hashes"], names={"backbone": "vit_nano", "data": "moving_shapes"}, inputs="j" * 64,
    )  # fmt: skip
    table = comparison(runs.folder)
    assert [one.cells[table.columns[0].key].marks for one in table.rows] == ["", "a"]
    assert "the digests of the inputs differ" in dict(table.marks)["a"]


def test_a_number_read_before_the_run_ended_is_marked(runs: Runs) -> None:
    runs.run("videomae", {KNN: 0.5})
    runs.run("simsiam", {KNN: 0.9}, status="running", checkpoint="last")
    table = comparison(runs.folder)
    assert titles(table) == ["videomae", "simsiam [ab]"]
    assert table.marks[0] == ("a", "unfinished run, read at its last checkpoint")
    assert any("not finished (status 'running')" in line for line in table.troubles)


def test_a_run_of_the_same_seed_made_again_replaces_the_older_one(runs: Runs) -> None:
    for name, top1, day in (("first", 0.2, 1), ("again", 0.5, 2)):
        run = Runs(runs.folder / name).run("videomae", {KNN: top1})
        record = read_record(run)
        (run / "record.json").write_text((run / "record.json").read_text().replace("2026-01-01", f"2026-01-0{day}"))
        assert record["seed"] == 0
    table = comparison(runs.folder)
    assert [one.n for one in table.rows] == [1]
    assert table.rows[0].cells[table.columns[0].key].values == (0.5,)
    assert "first" in table.troubles[0] and table.troubles[0].endswith("is left out")


def test_what_cannot_be_read_or_has_no_owner_is_listed(runs: Runs) -> None:
    runs.run("videomae", {KNN: 0.5})
    (runs.folder / "half").mkdir()
    (runs.folder / "half/record.json").write_text('{"schema": 1, "ki')
    evaluation(
        runs.folder / "gone", "motion", "knn", 0.5, who={"kind": "run"}, hashes={"data": "0", "backbone": "0"},
        names={"backbone": "vit_nano", "data": "moving_shapes"},
    )  # fmt: skip
    text = "\n".join(comparison(runs.folder).troubles)
    assert "half/record.json: not a whole record" in text and "an evaluation without the record of its encoder" in text


def test_a_failed_evaluation_is_listed_and_leaves_its_place_empty(runs: Runs) -> None:
    folder = runs.run("videomae", {KNN: 0.5})
    evaluation(
        folder, "motion", "linear", 0.5, who={"kind": "run"}, hashes={"data": "0", "backbone": "0"}, status="failed",
        names={"backbone": "vit_nano", "data": "moving_shapes"}, error="Traceback\nWorkError: no space left",
    )  # fmt: skip
    table = comparison(runs.folder)
    assert table.troubles == ["videomae, seed 0, linear on motion: evaluation failed: WorkError: no space left"]
    assert len(table.columns) == 1


def test_views_at_a_smaller_stride_are_counted_and_no_line_tells_of_none(runs: Runs) -> None:
    runs.run("lstcl", {KNN: 0.5}, clamped=1200)
    runs.run("videomae", {KNN: 0.5})
    told = [line for line in comparison(runs.folder).lines if "smaller stride" in line]
    assert told == ["lstcl: 1,200 views were read at a smaller stride to fit into their video."]


def test_padded_and_replaced_clips_are_counted_over_seeds(runs: Runs) -> None:
    for seed in range(2):
        runs.run("videomae", {KNN: 0.5}, seed=seed, padded=600)
    assert "videomae: 1,200 views were longer than their video and padded." in comparison(runs.folder).lines


def test_clips_are_compared_seed_by_seed_at_the_last_count_that_both_have(runs: Runs) -> None:
    for seed in range(2):
        runs.run("videomae", grid(0.5, 0.5, 0.5, 0.5), seed=seed, steps=300)
    runs.run("simsiam", seed=1, view="a", steps=200)
    runs.run("byol", seed=1, view="a", steps=200, curve=False)
    runs.run("dino", seed=5, view="a")
    table = comparison(runs.folder)
    of = {one.name: clips.compare(one, row(table, "videomae")) for one in table.rows}
    assert (of["simsiam"].verdict, of["simsiam"].samples) == ("same", 200 * 64)
    assert (of["byol"].verdict, of["byol"].samples) == ("same", 200 * 64), "the record's own digest is enough"
    assert (of["dino"].verdict, of["dino"].reason) == ("unknown", "no seed in common")
    without = clips.compare(row(table, "byol"), row(table, "dino"))
    assert without.verdict == "unknown"


def test_no_sample_count_in_common_is_not_called_the_same(runs: Runs) -> None:
    runs.run("videomae", {KNN: 0.5}, steps=300, curve=False)
    runs.run("simsiam", {KNN: 0.4}, view="a", steps=200, curve=False)
    lines = comparison(runs.folder).lines
    assert "Same clips as videomae or not is unknown: simsiam (no sample count in common)." in lines


def test_a_curve_that_grew_is_read_again(runs: Runs) -> None:
    folder = runs.run("videomae", {KNN: 0.5}, steps=10)
    encoder = comparison(runs.folder).rows[0].first
    before = clips.chain(encoder)
    curve = folder / "metrics.csv"
    curve.write_text(curve.read_text() + "11,704,0123456789abcdef\n")
    assert clips.chain(encoder) == {**before, 704: "0123456789abcdef"}


def test_digests_that_look_like_numbers_stay_text(runs: Runs) -> None:
    folder = runs.run("videomae", {KNN: 0.5}, steps=10)
    (folder / "metrics.csv").write_text("step,samples,clips.clip\n1,64,0012345678901234\n2,128,1e10000000000000\n")
    chain = clips.chain(comparison(runs.folder).rows[0].first)
    assert (chain[64], chain[128]) == ("0012345678901234", "1e10000000000000")


def test_only_takes_runs_and_single_evaluations(runs: Runs) -> None:
    wanted = runs.run("videomae", {KNN: 0.5, LINEAR: 0.6})
    runs.run("simsiam", {KNN: 0.4})
    one = next(iter(sorted((wanted / "eval").iterdir())))
    assert [column.protocol for column in comparison(runs.folder, only=[one]).columns] == [one.name.split("-")[0]]
    assert len(comparison(runs.folder, only=[wanted]).columns) == 2
    assert comparison(runs.folder, only=[]).rows == []
