"""A wheel works where there is no clone; an editable install follows the clone. Both are built offline."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from vssl import __version__

Run = Callable[..., subprocess.CompletedProcess[str]]


def offline(*command: str, cwd: Path) -> None:
    environment = {**os.environ, "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = ("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source))
    offline(*build, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed").resolve()
    offline("-m", "pip", "install", "--no-deps", "--target", str(folder), str(wheel), cwd=folder)
    return folder


@pytest.fixture(scope="module")
def editable(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `pip install -e` would put into site-packages."""
    folder = tmp_path_factory.mktemp("editable").resolve()
    offline("-c", f"from setuptools import build_meta; build_meta.build_editable({str(folder)!r})", cwd=source)
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(folder)
    return folder


def files(folder: Path, pattern: str) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob(pattern)}


def test_wheel_holds_code_and_configurations_and_nothing_else(wheel: Path, clone: Path) -> None:
    code = {f"{top}/{name}" for top in ("vssl", "methods", "datamodules") for name in files(clone / top, "*.py")}
    configurations = {f"vssl/configs/{name}" for name in files(clone / "configs", "*.yaml")}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert configurations
    page = {"vssl/report/html/style.css", "vssl/report/html/script.js"}
    assert held == code | configurations | page | {"vssl/py.typed", "vssl/report/reference.yaml"}


def test_wheel_says_what_it_is(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        information = {name.rpartition("/")[2]: archive.read(name).decode() for name in archive.namelist()}
    assert f"Version: {__version__}" in information["METADATA"]
    assert "License-Expression: Apache-2.0" in information["METADATA"]
    assert "Requires-Python: >=3.11" in information["METADATA"]
    assert information["entry_points.txt"] == "[console_scripts]\nvssl = vssl.cli.main:main\n"
    assert "Apache License" in information["LICENSE"]


def test_wheel_prints_help_outside_the_clone(installed: Path, run_outside: Run) -> None:
    done = run_outside("-m", "vssl", "--help", path=[installed])
    assert done.returncode == 0, done.stderr
    assert "simsiam" in done.stdout  # a choice: it comes from the YAML files in the wheel


def test_wheel_composes_its_own_configurations(installed: Path, run_outside: Run) -> None:
    done = run_outside("-m", "vssl", "config", "method=simsiam", "scale=smoke", path=[installed])
    assert done.returncode == 0, done.stderr
    assert str(installed / "vssl" / "configs" / "config.yaml") in done.stdout
    assert "_target_: methods.simsiam.SimSiam" in done.stdout


EDITED = """
import site; site.addsitedir({folder!r})
import vssl, methods, datamodules
from vssl.config.folders import config_root
from vssl.cli.main import main
print(vssl.__file__, methods.__file__, datamodules.__file__, config_root(), sep="\\n")
raise SystemExit(main(["config", "method=simsiam"]))
"""


def test_editable_install_reads_code_and_configurations_of_the_clone(
    editable: Path, source: Path, run_outside: Run
) -> None:
    # First on the path: its finder has the same name as that of an editable install of this clone.
    done = run_outside("-c", EDITED.format(folder=str(editable)), path=[editable])
    assert done.returncode == 0, done.stderr
    of_clone = [source / top / "__init__.py" for top in ("vssl", "methods", "datamodules")]
    assert done.stdout.splitlines()[:4] == [str(path) for path in [*of_clone, source / "configs"]]
