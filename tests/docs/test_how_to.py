"""The how-to pages do what they say: their files are put where they say, and their commands and code are run."""

import inspect
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from tests.conftest import write_grey_video
from vssl.cli.main import main
from vssl.video.upkeep.check import VERDICTS

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
FILE = re.compile(r"^`([\w./]+)`:[^`]*?\n\n```\w+\n(.*?)```", re.DOTALL | re.MULTILINE)
COMMANDS = re.compile(r"```sh\n(.*?)```", re.DOTALL)


@pytest.fixture
def package(tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The reader's folder: on Python's path, with videos of their own."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").touch()
    for name in ("nod", "wave"):
        for number in range(24):
            write_grey_video(tmp_path / f"gestures/{name}_{number:02d}.mp4", frames=20)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "mine"]:
        del sys.modules[name]


@pytest.mark.parametrize("page", sorted(HOW_TO.glob("add-*.md")), ids=lambda path: path.stem)
def test_a_page_in_the_readers_own_package(page: Path, package: Path) -> None:
    text = page.read_text(encoding="utf-8")
    files = dict(FILE.findall(text))
    code, config, test = files  # one of each, as CONTRIBUTING.md promises
    assert (Path(code).suffix, Path(config).suffix, Path(test).stem[:5]) == (".py", ".yaml", "test_")
    for name, content in files.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(content, encoding="utf-8")
    commands = [shlex.split(line) for block in COMMANDS.findall(text) for line in block.splitlines()]
    assert commands
    for program, *words in commands:
        assert program == "vssl" and main(words) == 0, words
    assert list((package / "runs").glob("*/checkpoints/backbone.safetensors"))
    empty = package / "empty"
    empty.mkdir()
    for check in _tests(files[test], test):
        check(**{name: empty for name in inspect.signature(check).parameters if name == "tmp_path"})


def test_checking_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        write_grey_video(tmp_path / f"clips/{number}.mp4", frames=5)
    (tmp_path / "lists").mkdir()
    listed = "path,label\n0.mp4,a\n1.mp4,b\n2.mp4,a\n"
    (tmp_path / "lists" / "all.csv").write_text(listed)
    monkeypatch.chdir(tmp_path)
    text = (HOW_TO / "check-your-videos.md").read_text(encoding="utf-8")
    commands = [shlex.split(line) for block in COMMANDS.findall(text) for line in block.splitlines()]
    assert len(commands) == 3
    for program, *words in commands:
        assert program == "vssl" and main(words) == 0, words
    (tmp_path / "clips" / "1.mp4").write_text("no video")
    assert main(commands[1][1:]) == 1
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(code, "check-your-videos.md", "exec"), {})
    assert (tmp_path / "lists" / "good.csv").read_text() == listed.replace("1.mp4,b\n", "")
    rows = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    assert set(rows) == set(VERDICTS)


def _tests(code: str, name: str) -> list[Callable[..., None]]:
    """The test functions of a file's text; an argument can only be `tmp_path`."""
    namespace: dict[str, object] = {}
    exec(compile(code, name, "exec"), namespace)
    found = [cast(Callable[..., None], value) for key, value in namespace.items() if key.startswith("test_")]
    assert found, name
    return found
