"""The same table on a screen, in markdown, in a spreadsheet and in a paper."""

import csv
import io
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from markdown import markdown as html_of
from rich.console import Console

from tests.report.factory import Runs, messy_folder, quick_bench
from vssl.report.grid import duration
from vssl.report.notes import interval_legend
from vssl.report.table import Table, comparison

KNN = ("motion", "knn")
NASTY = r"50% of $x_1$ & \begin{a} #3 | <b> *c* [d] ~e^f `g h` {"


def on_screen(table: Table, width: int, notes: Sequence[str] = ()) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(table.to_screen(notes))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def body(markdown: str) -> list[list[str]]:
    """Cells of a GitHub table, header first, the line of dashes left out."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return cells[:1] + cells[2:]


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


@pytest.fixture
def messy(tmp_path: Path) -> Table:
    return comparison(messy_folder(tmp_path).folder)


@pytest.fixture
def nasty(runs: Runs) -> Table:
    """Names, settings and errors that hold what markdown and LaTeX mean something by."""
    for method in ("byol", "dino"):
        runs.run(method, {KNN: 0.5}, names={"data": "a_b&c|d"})
    runs.run("moco_v3", {KNN: 0.4}, names={"data": "a_b&c|d"}, views__clip__pad=NASTY)
    runs.run("simsiam", status="failed", error=f"ValueError: {NASTY}")
    return comparison(runs.folder)


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_every_number_is_on_the_screen_at_any_width(messy: Table, width: int) -> None:
    text = on_screen(messy, width, notes=["a note"])
    assert max(map(len, text.splitlines())) <= width
    for slot in [*messy.results, *messy.costs]:
        assert slot.head in text
        for entry in slot.entries:
            assert entry.text in text and f"{entry.low}–{entry.high}".strip("–") in text
    assert "…" not in text and text.rstrip().endswith("a note")


def test_columns_stay_whole_and_in_order_where_they_are_split(messy: Table) -> None:
    wide, narrow = on_screen(messy, 200), on_screen(messy, 80)
    assert wide.count("chance") == 1 and narrow.count("mean_frame") == 2
    [heads] = [line.split() for line in narrow.splitlines() if " steps " in line and " time " in line]
    assert heads == ["n", "steps", "samples", "time", "TFLOP", "wait"]


def test_digits_stand_in_line_whatever_marks_follow(runs: Runs) -> None:
    runs.run("videomae", {KNN: 0.5})
    runs.run("simsiam", {KNN: 0.16})
    runs.baseline("random", {KNN: 0.15})
    lines = on_screen(comparison(runs.folder), 100).splitlines()
    values = ("50.0", "16.0°", "15.0", "12.5")
    starts = [found.start() for value in values for line in lines if (found := re.search(rf" {value}(?!–)", line))]
    assert len(starts) == 4 and len(set(starts)) == 1


def test_markup_in_names_is_shown_as_it_is(runs: Runs) -> None:
    runs.run("videomae", {KNN: 0.5})
    runs.run("simsiam", status="failed", error="KeyError: [bold]x[/bold] [/]")
    assert "KeyError: [bold]x[/bold] [/]" in on_screen(comparison(runs.folder), 120)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0 s"), (0.01, "<0.1 s"), (1.71, "1.7 s"), (59.94, "59.9 s"), (59.96, "1.0 min"), (246.0, "4.1 min"),
        (3599.9, "60.0 min"), (3600.0, "1.0 h"), (95_400.0, "26.5 h"), (4e7, "11,111.1 h"),
    ],
)  # fmt: skip
def test_durations_read_well_at_every_scale(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_costs_that_are_nothing_everywhere_are_left_out(runs: Runs) -> None:
    runs.run("videomae", {KNN: 0.5})
    table = comparison(runs.folder)
    assert [slot.head for slot in table.costs] == ["steps", "samples", "time", "TFLOP", "wait"]
    for path in runs.folder.glob("*/record.json"):
        path.write_text(path.read_text().replace('"data_wait_share": 0.03', '"data_wait_share": 0.0'))
    table = comparison(runs.folder)
    assert [slot.head for slot in table.costs] == ["steps", "samples", "time", "TFLOP"]
    assert "Cost of training: samples count repeats." in table.lines
    for path in runs.folder.glob("*/record.json"):
        path.write_text(path.read_text().replace('"data_wait_share": 0.0', '"data_wait_share": 0.001'))
    assert comparison(runs.folder).costs[-1].entries[0].text == "<1%", "a little is not nothing"


def test_a_t_interval_ends_where_accuracy_does(runs: Runs) -> None:
    for seed, top1 in enumerate((0.2, 0.5, 0.9)):
        runs.run("videomae", {KNN: top1}, seed=seed)
    assert "53.3 ± 35.1 [0.0, 100.0]" in comparison(runs.folder).to_markdown()


def test_markdown_says_what_the_table_says(messy: Table) -> None:
    text = messy.to_markdown(notes=["a note"])
    cells = body(text)
    assert cells[0][:5] == ["method", "n", "motion knn", "motion knn<sup>e</sup>", "motion linear"]
    assert {len(line) for line in cells} == {len(cells[0])}
    assert [line[0] for line in cells[4:6]] == ["dino<sup>a</sup>", "videomae<sup>b</sup>"]
    assert cells[1][2] == "**58.3 ± 2.5** [52.1, 64.6]" and cells[2][2] == "21.0 / 21.0°"
    assert cells[-1][:3] == ["*chance*", "", "12.5"]
    assert "- <sup>d</sup> budget: 120 steps, not 12.3 TFLOP" in text and text.endswith("- **a note**\n")
    assert "- ⚠ simsiam, seed 2: failed: WorkError: the loss is nan at step 12" in text


def test_markdown_shows_every_letter_as_it_is(nasty: Table) -> None:
    page = html_of(nasty.to_markdown(), extensions=["tables"])
    shown = re.sub(r"<[^>]*>", "", page).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert f"ValueError: {NASTY}" in re.sub(r"\\([|~&$<])", r"\1", shown)  # GitHub's escapes that this reader leaves
    assert "<em>c</em>" not in page and "<b>" not in page
    assert page.count("<table>") == 1 and page.count("<tr>") == 1 + len(nasty.rows) + 1
    assert "`" not in comparison(Path("nowhere")).to_markdown()


def test_a_bar_in_a_name_opens_no_cell(runs: Runs) -> None:
    for kind in ("a|b", "c"):
        runs.run("videomae", {KNN: 0.5}, method__mask=kind)
    cells = body(comparison(runs.folder).to_markdown())
    assert {line[0] for line in cells[1:3]} == {r"videomae (mask=a\|b)", "videomae (mask=c)"}
    assert {len(line) for line in cells} == {len(cells[0])}


def test_code_in_notes_stays_code(runs: Runs) -> None:
    runs.run("videomae", {KNN: 0.2})
    runs.baseline("random", {KNN: 0.2})
    table = comparison(runs.folder)
    assert "untrained encoder `random`." in table.to_markdown()
    assert r"untrained encoder \texttt{random}." in table.to_latex()


def test_csv_holds_numbers_a_script_can_use(messy: Table) -> None:
    lines = list(csv.DictReader(io.StringIO(messy.to_csv())))
    first, second = lines[0], lines[1]
    assert (first["row"], first["n"], first["seeds"]) == ("videomae", "3", "0 1 2")
    assert float(first["motion/knn top1"]) == pytest.approx((0.56 + 0.58 + 0.61) / 3, abs=1e-12)
    assert first["motion/knn values"] == "0.56 0.58 0.61" and first["motion/knn interval"].startswith("95% t interval")
    assert float(second["motion/linear std"]) == pytest.approx(0.03 / 2**0.5)
    assert second["motion/linear not_above_random"] == "1" and first["motion/linear not_above_random"] == "0"
    assert (first["seconds"], float(first["flop"])) == ("150.0", 12.2e12)
    assert next(line["differs"] for line in lines if line["row"] == "dino").startswith("first view: ")
    assert (lines[-1]["kind"], lines[-1]["motion/knn top1"]) == ("chance", "0.125")
    assert next(line for line in lines if line["row"] == "moco_v3")["motion/knn top1"] == ""


def test_csv_quotes_what_holds_its_own_signs(runs: Runs) -> None:
    for method in ("byol", "dino"):
        runs.run(method, {KNN: 0.5})
    runs.run("simsiam", {KNN: 0.5}, views__clip__pad='a "b", c')
    lines = list(csv.DictReader(io.StringIO(comparison(runs.folder).to_csv())))
    assert lines[2]["differs"] == 'first view: pad=a "b", c, not none'


def test_latex_rows_have_the_columns_they_announce(messy: Table) -> None:
    text = messy.to_latex(notes=["a note"])
    columns = re.search(r"\\begin\{tabular\}\{(l[lr]*)\}", text)
    assert columns is not None
    inside = text.split(r"\toprule")[1].split(r"\bottomrule")[0]
    for line in inside.splitlines():
        if line.endswith(r"\\"):
            spanned = sum(int(span) - 1 for span in re.findall(r"\\multicolumn\{(\d+)\}", line))
            assert len(re.findall(r"(?<!\\)&", line)) + spanned + 1 == len(columns[1]), line
    assert r"\textbf{58.3 $\pm$ 2.5} {\scriptsize [52.1, 64.6]}" in text
    assert r"dino\textsuperscript{a}" in text and r"a note\par" in text


def test_latex_escapes_every_special_letter(nasty: Table) -> None:
    text = nasty.to_latex()
    assert r"a\_b\&c|d" in text
    expected = (
        r"50\% of \$x\_1\$ \& \textbackslash{}begin\{a\} \#3 | \textless{}b\textgreater{} *c* {[}d{]} "
        r"\textasciitilde{}e\textasciicircum{}f \textasciigrave{}g h\textasciigrave{} \{"
    )
    assert f"ValueError: {expected}" in text
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_compiles(messy: Table, nasty: Table, tmp_path: Path) -> None:
    for table in (messy, nasty):
        page = rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{table.to_latex()}\end{{document}}"
        (tmp_path / "page.tex").write_text(page)
        subprocess.run(["pdflatex", "-halt-on-error", "page.tex"], cwd=tmp_path, check=True, capture_output=True)


def test_all_ways_show_the_same_numbers(tmp_path: Path) -> None:
    table = comparison(quick_bench(tmp_path).folder)
    screen, markdown, latex = on_screen(table, 200), table.to_markdown(), table.to_latex()
    for slot in [*table.results, *table.costs]:
        for entry in slot.entries:
            assert entry.text in screen and entry.text in markdown
            assert entry.text.replace("%", r"\%").replace("–", "--") in latex


def test_every_way_says_that_features_collapsed(runs: Runs) -> None:
    health = {"feature_std": 0.01, "effective_rank": 1.1, "collapsed": True, "since": 40}
    runs.run("simsiam", {KNN: 0.5}, health=health)
    runs.run("videomae", {KNN: 0.4})
    table = comparison(runs.folder)
    seen = "features collapsed since step 40: effective rank 1.1, standard deviation 0.01 of 1"
    screen = " ".join(on_screen(table, 100).split())
    assert "simsiamᵃ" in screen and f"ᵃ {seen}" in screen
    markdown, latex = table.to_markdown(), table.to_latex()
    assert body(markdown)[1][0] == "simsiam<sup>a</sup>" and f"- <sup>a</sup> {seen}" in markdown
    assert r"simsiam\textsuperscript{a}" in latex and rf"\textsuperscript{{a}} {seen}\par" in latex
    lines = list(csv.DictReader(io.StringIO(table.to_csv())))
    assert [line["collapsed"] for line in lines] == [seen, "", ""] and lines[0]["differs"] == ""


def test_every_way_says_that_a_number_is_of_one_seed(runs: Runs) -> None:
    runs.run("videomae", {KNN: 0.5, ("shape", "knn"): 0.4})
    runs.run("videomae", {KNN: 0.6}, seed=1)
    runs.run("videomae", {KNN: 0.7}, seed=2)
    runs.run("simsiam", {KNN: 0.3})
    table = comparison(runs.folder)
    of_row, of_cell = "n = 1 (one seed): value and 95% bootstrap over videos", "40.0 (n = 1)"
    for text in (on_screen(table, 120), table.to_markdown(), table.to_latex()):
        assert of_row.replace("%", "") in " ".join(text.replace("\\%", "").replace("%", "").split())
        assert of_cell in text
    first, second = list(csv.DictReader(io.StringIO(table.to_csv())))[:2]
    assert first["shape/knn interval"] == second["motion/knn interval"] == "95% bootstrap over videos"
    assert (first["n"], first["shape/knn values"]) == ("3", "0.4") and second["n"] == "1"
    assert interval_legend([row.cells[table.columns[0].key] for row in table.rows]).count("(n = 1)") == 1, "plots"


def test_an_empty_folder_is_a_table_in_every_format(tmp_path: Path) -> None:
    table = comparison(tmp_path)
    for text in (table.to_markdown(), table.to_latex(), on_screen(table, 80)):
        assert "no finished encoder" in text
    assert table.to_csv().strip() == ""
