"""The page in a real browser: it sorts on clicks and keys, loads nothing, and fits a narrow window."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.report.answers import answer
from tests.report.factory import messy_folder
from tests.report.html.browser import NAMES, Browser, browser, found
from vssl.report.html.page import write_page
from vssl.report.table import Table, comparison

PROGRAM = found()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason=f"no browser is installed: none of {', '.join(NAMES)}")

HOSTILE = "<script>window.hurt=1</script><img src=x onerror='window.hurt=1'>"
NAMES_SHOWN = (
    "[...document.querySelectorAll('#table tbody')].map(b => [...b.rows].map(r => r.querySelector('a').textContent))"
)


def head(place: int) -> str:
    return f"#table thead tr:last-child th:nth-child({place + 1}) button"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = messy_folder(tmp_path_factory.mktemp("browser") / "runs")
    runs.run(HOSTILE.replace("/", "⁄"), {("motion", "knn"): 0.5})
    right = np.random.default_rng(0).random((2, 400)) < [[0.8], [0.5]]
    for seed, place in enumerate(sorted(runs.folder.glob("videomae-*"))[:2]):
        answer(place, right[seed].tolist())
    return runs.folder


@pytest.fixture(scope="module")
def table(folder: Path) -> Table:
    return comparison(folder)


@pytest.fixture(scope="module")
def file(table: Table, folder: Path) -> Path:
    return write_page(table, folder, folder)


@pytest.fixture(scope="module")
def opened(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(PROGRAM or "", tmp_path_factory.mktemp("profile")) as one:
        yield one


@pytest.fixture
def page(opened: Browser, file: Path) -> Browser:
    opened.asked.clear()
    opened.told.clear()
    opened.resize(1400, 900)
    opened.open(file)
    return opened


def bodies(table: Table) -> list[list[tuple[str, float | None]]]:
    """(name, value of the first column) of the rows, a list a section."""
    key = table.columns[0].key
    sections = dict.fromkeys(row.section for row in table.rows)
    return [
        [(row.name, row.cells[key].mean if key in row.cells else None) for row in table.rows if row.section == section]
        for section in sections
    ]


def values_of(shown: list[list[str]], table: Table) -> list[list[float | None]]:
    """The values in the order shown; several rows may be called the same, so that each is taken once."""
    left = [list(body) for body in bodies(table)]
    found_: list[list[float | None]] = []
    for names, body in zip(shown, left, strict=True):
        assert sorted(names) == sorted(name for name, _ in body)
        found_.append([dict(body)[name] for name in names])
    return found_


def test_it_opens_without_a_word_and_loads_nothing_but_itself(page: Browser, file: Path, table: Table) -> None:
    assert page.told == []
    assert page.asked == [file.as_uri()]
    assert page.run("document.title") == table.title
    assert page.run(NAMES_SHOWN) == [[name for name, _ in body] for body in bodies(table)]


def test_a_hostile_name_is_inert(page: Browser) -> None:
    assert "<script>" in page.run("document.querySelector('#table').textContent")
    assert page.run("window.hurt === undefined")


def test_its_policy_stops_scripts_and_requests_of_others(page: Browser) -> None:
    page.run("document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.hurt=1'}))")
    page.run("new Promise(done => fetch('https://example.org').then(() => done(1), () => done(0)))")
    assert page.run("window.hurt === undefined")
    assert any("Content Security Policy" in line for line in page.told)


def test_a_click_sorts_within_each_body(page: Browser, table: Table) -> None:
    page.click(head(2))
    assert page.run(f"document.querySelector('{head(2)}').parentNode.ariaSort") == "descending"
    for body in values_of(page.run(NAMES_SHOWN), table):
        known = [value for value in body if value is not None]
        assert body == sorted(known, reverse=True) + [None] * (len(body) - len(known))


def test_a_second_click_turns_the_order_and_keeps_the_unknown_last(page: Browser, table: Table) -> None:
    before = page.run(NAMES_SHOWN)
    page.click(head(2))
    page.click(head(2))
    assert page.run(f"document.querySelector('{head(2)}').parentNode.ariaSort") == "ascending"
    shown = page.run(NAMES_SHOWN)
    assert shown != before
    for body in values_of(shown, table):
        known = [value for value in body if value is not None]
        assert body == sorted(known) + [None] * (len(body) - len(known))


def test_names_sort_by_letters_and_only_one_header_says_so(page: Browser) -> None:
    page.click(head(2))
    page.click(head(0))
    assert page.run("document.querySelectorAll('#table th[aria-sort=ascending]').length") == 1
    assert page.run("document.querySelectorAll('#table th[aria-sort=descending]').length") == 0
    shown = page.run(NAMES_SHOWN)
    assert shown == [sorted(body, key=str.lower) for body in shown]


def test_the_keyboard_reaches_and_sorts(page: Browser) -> None:
    page.run("document.querySelector('#table').parentNode.focus()")
    for _ in range(3):
        page.press("Tab", 9)
    focused = "document.activeElement.textContent"
    assert page.run(focused) == page.run(f"document.querySelector('{head(2)}').textContent")
    page.press("Enter", 13, "\r")
    assert page.run("document.activeElement.parentNode.ariaSort") == "descending"


def test_a_name_leads_to_its_command(page: Browser) -> None:
    page.click("#table tbody tr:first-child th a")
    assert re.fullmatch(r"#command-\d+", page.run("location.hash"))
    assert page.run("document.querySelector(location.hash).getBoundingClientRect().top") < 900


def test_a_command_is_copied_from_a_file_without_a_network(page: Browser) -> None:
    page.run("document.querySelectorAll('#commands details').forEach(one => one.open = true)")
    page.click("#commands .command button")
    page.run("new Promise(done => setTimeout(done, 100))")
    assert page.run("document.querySelector('#commands .command button').textContent") == "copied"


@pytest.mark.parametrize("width", [1400, 420])
def test_it_fits_the_window(page: Browser, width: int, tmp_path: Path) -> None:
    page.resize(width, 900)
    assert page.run("document.documentElement.scrollWidth") <= width
    picture = page.screenshot()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 20_000  # a page with words and charts, not an empty one


def test_no_text_of_a_chart_leaves_it(page: Browser) -> None:
    page.run("document.querySelectorAll('details').forEach(one => one.open = true)")
    outside = page.run(
        """[...document.querySelectorAll('.panels svg')].flatMap(svg => {
          const all = svg.getBoundingClientRect();
          return [...svg.querySelectorAll('text')].map(one => [one, one.getBoundingClientRect()])
            .filter(([_, box]) => box.left < all.left - 1 || box.right > all.right + 1 || box.bottom > all.bottom + 1)
            .map(([one]) => one.textContent);
        })"""
    )
    assert outside == []


def test_light_and_dark_are_told_apart(page: Browser) -> None:
    colours = []
    for scheme in ("light", "dark"):
        page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        colours.append(
            page.run("getComputedStyle(document.body).backgroundColor + getComputedStyle(document.body).color")
        )
    page.call("Emulation.setEmulatedMedia", features=[])
    assert colours[0] != colours[1]
