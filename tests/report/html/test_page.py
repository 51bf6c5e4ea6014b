"""The page: the table's own numbers and words, everything measured, nothing loaded, nothing that a name could start."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.report.answers import answer
from tests.report.factory import Runs, grid, messy_folder, quick_bench
from vssl.cli.main import main
from vssl.report.grid import percent
from vssl.report.html.classes import classes
from vssl.report.html.cost import front
from vssl.report.html.learning import losses_of
from vssl.report.html.page import page
from vssl.report.html.temporal import gaps_of
from vssl.report.ranks import ranks
from vssl.report.table import Table, comparison

HOSTILE = "<script>window.hurt=1</script>\"'&<img src=x onerror=alert(1)>"
SECTIONS = (
    "comparison", "cost", "ablation", "learning", "classes", "temporal", "failures", "protocol", "environment",
    "commands",
)  # fmt: skip
VOID = ("br", "meta", "wbr")


class Reader(HTMLParser):
    """What a page holds.

    Args:
        starts: (element, attributes) in their order.
        text: everything that is shown, scripts and styles apart.
        unclosed: elements that are open at the end.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.starts: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.unclosed = "", list[str]()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.starts.append((tag, dict(attrs)))
        if tag not in VOID:
            self.unclosed.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.unclosed.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.unclosed and self.unclosed[-1] not in ("script", "style"):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.starts if name == tag]


def section(text: str, key: str) -> str:
    """The text of one section."""
    (found,) = re.findall(rf'<section id="{key}">(.*?)</section>', text, re.DOTALL)
    return Reader(found).text


def edit(place: Path, change: dict[str, Any]) -> None:
    record = json.loads((place / "record.json").read_text())
    record.update(change)
    (place / "record.json").write_text(json.dumps(record))


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


@pytest.fixture(scope="module")
def messy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return messy_folder(tmp_path_factory.mktemp("messy")).folder


@pytest.fixture(scope="module")
def table(messy: Path) -> Table:
    return comparison(messy)


@pytest.fixture(scope="module")
def text(table: Table, messy: Path) -> str:
    return page(table, messy)


def test_every_number_interval_and_note_of_the_table_is_there(table: Table, text: str) -> None:
    shown = section(text, "comparison")
    entries = [entry for slot in (*table.results, *table.costs) for entry in slot.entries]
    assert all(entry.text in shown for entry in entries)
    assert all(f"{entry.low}–{entry.high}" in shown for entry in entries if entry.low)
    words = [row.name for row in table.rows] + table.lines + table.troubles + [told for _, told in table.marks]
    assert [word for word in words if word not in shown] == []
    assert table.title in Reader(text).text


def test_one_seed_is_flagged_where_the_row_has_one(table: Table, text: str) -> None:
    single = [row for row in table.rows if row.n == 1 and row.kind == "run"]
    assert 0 < len(single) < len(table.rows)
    assert section(text, "comparison").count("single seed") == len(single)


def test_rows_that_may_not_be_ranked_together_stand_in_bodies_of_their_own(table: Table, text: str) -> None:
    (grid_,) = re.findall(r'<table class="sortable".*?</table>', text, re.DOTALL)
    bodies = re.findall(r"<tbody>(.*?)</tbody>", grid_, re.DOTALL)
    sections = [row.section for row in table.rows]
    assert [body.count("<tr") for body in bodies] == [sections.count(one) for one in dict.fromkeys(sections)]


def test_every_section_is_there_and_the_page_is_well_formed(text: str) -> None:
    reader = Reader(text)
    assert reader.unclosed == []
    assert tuple(one["id"] for one in reader.all("section")) == SECTIONS


def test_every_link_leads_to_a_place_in_the_page(text: str) -> None:
    reader = Reader(text)
    places = {attributes.get("id") for _, attributes in reader.starts}
    links = [one["href"] or "" for one in reader.all("a")]
    assert len(links) > len(SECTIONS)
    assert [link for link in links if not link.startswith("#") or link[1:] not in places] == []


def test_nothing_is_loaded_from_anywhere(text: str) -> None:
    reader = Reader(text)
    keys = {key for name, attributes in reader.starts for key in attributes if (name, key) != ("a", "href")}
    assert not keys & {"src", "srcset", "data", "action", "poster", "href", "xlink:href", "background"}
    assert not {name for name, _ in reader.starts} & {"link", "iframe", "object", "embed", "img", "base", "form"}
    assert re.search(r"https?://|@import|url\(", text) is None


def test_equal_records_give_equal_bytes(tmp_path: Path) -> None:
    texts = []
    for name in ("one", "two"):
        folder = quick_bench(tmp_path / name).folder
        texts.append(page(comparison(folder), folder).replace(str(folder), "runs"))
    assert texts[0] == texts[1]


def test_a_hostile_name_is_shown_and_starts_nothing(runs: Runs) -> None:
    place = runs.run(
        "videomae", grid(0.5, 0.7, 0.6, 0.8), names={"backbone": HOSTILE, "data": HOSTILE}, own={"note": HOSTILE}
    )
    runs.run("videomae", grid(0.4, 0.6, 0.5, 0.7), names={"backbone": HOSTILE, "data": HOSTILE}, own={"note": "b"})
    runs.run("simsiam", seed=2, status="failed", error=f"WorkError: {HOSTILE}")
    for evaluation in place.glob("eval/*"):
        edit(evaluation, {"classes": [HOSTILE] * 8})
    edit(place, {"environment": {"cpu": HOSTILE}})
    text = page(comparison(runs.folder), runs.folder)
    reader = Reader(text)
    assert len(reader.all("script")) == 1
    assert reader.all("img") == []
    assert not [key for _, attributes in reader.starts for key in attributes if key.startswith("on")]
    assert all(HOSTILE in section(text, key) for key in ("comparison", "failures", "environment"))


def test_an_empty_folder_gives_a_page_that_says_what_is_not_measured(tmp_path: Path) -> None:
    text = page(comparison(tmp_path), tmp_path)
    for key in ("cost", "ablation", "learning", "classes", "temporal", "protocol", "environment", "commands"):
        assert "not measured: " in section(text, key)
    assert "Nothing failed" in section(text, "failures")


def test_what_was_not_measured_is_said_part_by_part(tmp_path: Path) -> None:
    runs = quick_bench(tmp_path)  # one row a method, no temporal protocol, no predictions
    text = page(comparison(runs.folder), runs.folder)
    assert "vssl sweep" in section(text, "ablation")
    assert "eval=temporal" in section(text, "temporal")
    assert "predictions.parquet" in section(text, "classes")
    assert "not measured" not in section(text, "cost")


def test_the_front_holds_whom_nobody_beats_at_less() -> None:
    points = [(1.0, 50.0), (2.0, 40.0), (2.0, 60.0), (3.0, 60.0), (4.0, 70.0), (1.0, 45.0)]
    assert front(points) == [(1.0, 50.0), (2.0, 60.0), (4.0, 70.0)]


def test_rows_of_another_data_set_are_shown_but_not_on_the_front(runs: Runs) -> None:
    runs.run("videomae", {("motion", "knn"): 0.4})
    runs.run("simsiam", {("motion", "knn"): 0.3})
    runs.run("byol", {("motion", "knn"): 0.5}, budget={"steps": 9})
    runs.run("dino", {("motion", "knn"): 0.9}, data__seed=1)
    table = comparison(runs.folder)
    highest = page(table, runs.folder)
    path = re.findall(r'<path d="([^"]*)" class="front">', highest)
    marks = re.findall(
        r'class="mark (c\d)" transform="translate\(([\d.]+) ([\d.]+)\) scale\(4.5\)"><title>(\w+)', highest
    )
    heights = {name: float(y) for _, _, y, name in marks}
    lowest = min(float(y) for y in re.findall(r"[V ]([\d.]+)", path[0]))
    assert lowest == heights["byol"] > heights["dino"]


def test_one_setting_gives_a_curve_and_two_a_map(runs: Runs) -> None:
    for ratio in (0.5, 0.75, 0.9):
        for rate in (1e-4, 1e-3):
            top = 0.4 + ratio / 10 + rate * 50
            runs.run("videomae", {("motion", "knn"): top}, own={"mask_ratio": ratio}, optim__base_lr=rate)
    text = page(comparison(runs.folder), runs.folder)
    shown = section(text, "ablation")
    assert "mask_ratio" in shown
    assert "optim.base_lr" in shown
    assert "videomae: mask_ratio and optim.base_lr" in shown
    assert text.count('class="heat"') == 6
    lines = re.findall(r'<path d="M[^"]*L[^"]*" class="line', section_markup(text, "ablation"))
    assert len(lines) == 2 + 3  # along the ratio a line a rate, along the rate a line a ratio


def section_markup(text: str, key: str) -> str:
    (found,) = re.findall(rf'<section id="{key}">(.*?)</section>', text, re.DOTALL)
    return str(found)


def test_the_loss_is_thinned_but_keeps_its_mean(runs: Runs) -> None:
    place = runs.run("videomae", {("motion", "knn"): 0.4})
    values = np.random.default_rng(0).normal(size=1000)
    rows = [f"{step},{step * 64},{value!r}" for step, value in enumerate(values.tolist(), 1)]
    (place / "metrics.csv").write_text("\n".join(["step,samples,loss", *rows, "1001,64064,nan"]) + "\n")
    (curve,) = losses_of(comparison(runs.folder).rows)
    assert len(curve.points) <= 120
    assert curve.points[-1][0] == 64000
    sizes = np.diff([0, *(samples for samples, _ in curve.points)]) / 64
    assert np.average([loss for _, loss in curve.points], weights=sizes) == pytest.approx(values.mean())


def test_classes_are_compared_on_the_same_videos(runs: Runs) -> None:
    rng = np.random.default_rng(0)
    good, bad = rng.random(400) < 0.8, rng.random(400) < 0.4
    for name, right in (("videomae", good), ("byol", bad), ("dino", bad & (rng.random(400) < 0.5))):
        answer(runs.run(name, {("motion", "knn"): 0.5}), right.tolist())
    section_ = classes(comparison(runs.folder))
    told = re.findall(r"<title>(class \d): ([+-][\d.]+) \(", section_.body)
    differences = {name: float(value) for name, value in told}
    of_class = np.arange(400) % 4
    expected = {f"class {one}": 100 * (good[of_class == one].mean() - bad[of_class == one].mean()) for one in range(4)}
    assert differences == pytest.approx(expected, abs=0.051)
    assert "A: videomae" in section_.body
    assert "B: byol" in section_.body


def test_gaps_are_means_over_seeds(runs: Runs) -> None:
    values = (0.10, 0.20, 0.24)
    for seed, value in enumerate(values):
        place = runs.run("videomae", {("motion", "temporal"): 0.5}, seed=seed)
        (evaluation,) = place.glob("eval/*")
        record = json.loads((evaluation / "record.json").read_text())
        gap = {"value": value, "low": value - 0.05, "high": value + 0.05}
        edit(evaluation, {"results": {**record["results"], "gap_shuffled": gap}})
    table = comparison(runs.folder)
    cell = gaps_of(table)["motion · temporal"]["shuffled"][0]
    assert cell.values == values
    text = page(table, runs.folder)
    assert f"videomae, shuffled: {percent(cell.mean)} (" in section(text, "temporal")


def test_failed_trials_are_listed_with_error_and_log(runs: Runs) -> None:
    runs.run("videomae", {("motion", "knn"): 0.4})
    for name, status in (("aa", "failed"), ("bb", "done")):
        trial = runs.folder / "sweep" / "trials" / name
        trial.mkdir(parents=True)
        (trial / "plan.json").write_text(json.dumps({"name": f"byol, seed {name}", "words": []}))
        (trial / "trial.json").write_text(json.dumps({"status": status, "error": "disk full", "attempts": 3}))
    (runs.folder / "sweep" / "trials" / "bb" / "plan.json").write_text("{")
    shown = section(page(comparison(runs.folder), runs.folder), "failures")
    assert "byol, seed aa" in shown
    assert "disk full" in shown
    assert "sweep/trials/aa/log.txt" in shown
    assert "seed bb" not in shown


def test_stamps_are_shown_with_what_differs(table: Table, text: str) -> None:
    rows = re.findall(r"<tr>(.*?)</tr>", section_markup(text, "protocol"))
    cells = {row[0]: row[1:] for row in (re.findall(r"<t[dh][^>]*>([^<]*)<", row) for row in rows)}
    heads = [f"{one.label} · {one.protocol}" + (f" [{one.marks}]" if one.marks else "") for one in table.columns]
    assert all(head in section(text, "protocol") for head in heads)
    assert cells["k"] == [str(column.stamp["k"]) for column in table.columns]
    assert set(cells["k"]) == {"5", "20"}
    assert cells["frozen"] == ["True"]  # equal in all of them


def test_two_machines_are_told_apart(runs: Runs) -> None:
    for seed, cores in enumerate((2, 64)):
        place = runs.run("videomae", {("motion", "knn"): 0.4}, seed=seed)
        edit(place, {"environment": {"cpu": "EPYC", "cores": cores, "versions": {"torch": "2.13.0"}}})
    shown = section(page(comparison(runs.folder), runs.folder), "environment")
    assert "cores264" in shown
    assert "videomae, seed 1" in shown
    assert "versions.torch2.13.0" in shown


def test_further_tables_stand_below_the_first(messy: Path, table: Table) -> None:
    listings = ranks(table)
    text = page(table, messy, listings)
    for listing in listings:
        shown = section(text, listing.name)
        assert all(cell in shown for row in listing.rows for cell in row)


def test_the_command_line_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = quick_bench(tmp_path / "runs <i>")
    assert main(["table", str(runs.folder), "--html", f"out={tmp_path / 'out'}"]) == 0
    assert str(tmp_path / "out" / "table.html") in capsys.readouterr().out
    assert (tmp_path / "out" / "table.html").read_text() == page(comparison(runs.folder), runs.folder)


def test_without_the_flag_there_is_none(tmp_path: Path) -> None:
    runs = quick_bench(tmp_path / "runs")
    assert main(["table", str(runs.folder), f"out={tmp_path / 'out'}"]) == 0
    assert not (tmp_path / "out" / "table.html").exists()
