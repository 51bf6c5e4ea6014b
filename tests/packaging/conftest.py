"""Copies of the clone to build from, and an interpreter that sees only what a test gives it."""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

CLONE = Path(__file__).parents[2]
SHIPPED = ("vssl", "methods", "datamodules", "configs", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def clone() -> Path:
    return CLONE


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what gets packaged: building leaves `build/` and `*.egg-info` behind, which belong into no clone."""
    folder = tmp_path_factory.mktemp("source with a space").resolve()
    for name in SHIPPED:
        if (CLONE / name).is_dir():
            shutil.copytree(CLONE / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(CLONE / name, folder / name)
    return folder


@pytest.fixture
def run_outside(tmp_path: Path) -> Run:
    """`run_outside(*arguments, path=[...])`: python in an empty folder, the given folders before the dependencies.

    `-S` leaves out `.pth` files, so that an editable install of the clone, if there is one, is not seen.
    """

    def run(*arguments: str, path: list[Path]) -> subprocess.CompletedProcess[str]:
        dependencies = Path(sysconfig.get_path("purelib"))
        where = os.pathsep.join(str(folder) for folder in [*path, dependencies])
        environment = {**os.environ, "PYTHONPATH": where, "VSSL_CACHE": str(tmp_path / "cache")}
        command = [sys.executable, "-S", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return run
