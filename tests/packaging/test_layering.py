"""Imports point one way: the contracts in setup.cfg hold, and each of them fails on a wrong arrow."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

LINT = (
    "import sys; from importlinter.cli import lint_imports; "
    "sys.exit(lint_imports(config_filename='setup.cfg', no_cache=True))"
)


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", LINT], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def code(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's modules as they are, without their tests."""
    folder = tmp_path_factory.mktemp("code")
    for name in ("vssl", "methods", "datamodules"):
        shutil.copytree(clone / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(clone / "setup.cfg", folder)
    return folder


def test_contracts_are_kept(code: Path) -> None:
    done = lint_imports(code)
    assert done.returncode == 0, done.stdout + done.stderr


def test_lstcl_may_import_three_methods_and_no_fourth(code: Path, tmp_path: Path) -> None:
    shutil.copytree(code, tmp_path, dirs_exist_ok=True)
    with (tmp_path / "methods/lstcl.py").open("a", encoding="utf-8") as file:
        file.write("import methods.videomae\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1
    assert "What two methods share lies in vssl BROKEN" in done.stdout.replace("\n", " ")


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("vssl/records/wrong.py", "import vssl.video.draws", "Parts of vssl import only parts below them"),
        ("vssl/new_part.py", "", "Parts of vssl import only parts below them"),
        ("vssl/training/wrong.py", "import methods.simsiam", "vssl knows no method and no data set"),
        ("methods/wrong.py", "import datamodules.video_list", "Methods do not import each other, and no data set"),
        ("methods/wrong.py", "import methods.simsiam", "What two methods share lies in vssl"),
        ("datamodules/wrong.py", "import methods.simsiam", "Data sets do not import methods"),
        ("vssl/report/wrong.py", "import vssl.method", "Tables, statistics, records and configuration need no torch"),
    ],
)
def test_wrong_arrow_is_seen(module: str, line: str, contract: str, code: Path, tmp_path: Path) -> None:
    shutil.copytree(code, tmp_path, dirs_exist_ok=True)
    (tmp_path / module).write_text(f"{line}\n", encoding="utf-8")
    done = lint_imports(tmp_path)
    assert done.returncode == 1
    told = done.stdout.replace("\n", " ")
    assert f"{contract} BROKEN" in told or "not listed as layers" in told, done.stdout
