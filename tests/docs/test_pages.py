"""What the pages under docs/ show is what the code takes: commands bind, tables of defaults are the signatures'."""

import dataclasses
import inspect
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from vssl.cli.main import main
from vssl.cli.own_keys import own_arguments
from vssl.config.bind import import_target
from vssl.config.paths import take_paths
from vssl.report.beside import Beside
from vssl.report.selection import Selection
from vssl.sweeps.plan import plan

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
ROW = re.compile(r"^\| `(\w+)` \| (.*?) \|", re.MULTILINE)
LEFT_OUT = {"self", "encoder", "num_classes", "shared"}  # provided, or told on another page

# The how-to pages have files of their own beside their commands: test_how_to.py runs them.
SHOWN = [
    (str(page.relative_to(ROOT)), line)
    for page in sorted((ROOT / "docs").rglob("*.md"))
    if page.parent.name != "how-to"
    for block in BLOCK.findall(page.read_text(encoding="utf-8"))
    for line in block.splitlines()
    if line.startswith("vssl ")
]
DESCRIBED = sorted(
    (page, ROOT / "configs" / group / f"{page.stem}.yaml")
    for folder, group in (("methods", "method"), ("protocols", "eval"))
    for page in (ROOT / "docs" / folder).glob("*.md")
    if page.stem not in ("baselines", "online-probe")  # no group of configs/ stands behind these
)


@pytest.mark.parametrize(("page", "line"), SHOWN)
def test_a_command_binds(page: str, line: str) -> None:
    _, name, *words = shlex.split(line, comments=True)
    settings = [word for word in words if "=" in word]
    if name in ("bench", "sweep"):  # where a comma is an axis
        if words[0] not in ("status", "clean"):
            file = None if "=" in words[0] else words[0]
            assert plan(name, file, *take_paths(settings)).trials
        return
    if name == "table":  # which takes no configuration
        assert own_arguments([word for word in settings if not word.startswith("out=")], {"": [Beside, Selection]})
        return
    assert main(["config", *settings]) == 0


@pytest.mark.parametrize(("page", "config"), DESCRIBED, ids=lambda path: path.stem)
def test_the_table_of_defaults_is_the_signature(page: Path, config: Path) -> None:
    node = yaml.safe_load(config.read_text(encoding="utf-8"))
    parameters = inspect.signature(import_target(node["_target_"]).__init__).parameters.values()
    # A second file for one class has values of its own, which its page shows.
    expected = {one.name: node.get(one.name, _plain(one.default)) for one in parameters if one.name not in LEFT_OUT}
    shown = {name: _value(text) for name, text in ROW.findall(page.read_text(encoding="utf-8"))}
    assert shown == expected


def _plain(default: Any) -> Any:
    if dataclasses.is_dataclass(default):
        return type(default).__name__  # the page says in words what is in it
    return [_plain(one) for one in default] if isinstance(default, tuple) else default


def _value(text: str) -> Any:
    text = text.strip("`")
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
