"""What a record says about code and machine."""

import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from vssl.records import environment as module
from vssl.records.environment import commit, environment


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=n", "-c", "user.email=n@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "a.py").write_text("a = 1\n")
    git(folder, "add", "a.py")
    git(folder, "commit", "-q", "-m", "one")
    return folder


def test_the_commit_and_whether_it_is_what_ran(checkout: Path) -> None:
    head = git(checkout, "rev-parse", "HEAD")
    (checkout / "notes.txt").write_text("not tracked, not code")
    assert commit(checkout) == head
    (checkout / "a.py").write_text("a = 2\n")
    assert commit(checkout) == f"{head}+changes"


def test_no_commit_of_somebody_elses_checkout(checkout: Path, tmp_path: Path) -> None:
    inside = checkout / "environment/site-packages"
    inside.mkdir(parents=True)
    assert commit(inside) is None
    empty = tmp_path / "empty"
    empty.mkdir()
    git(empty, "init", "-q")
    assert commit(empty) is None  # no commit yet
    assert commit(tmp_path / "nowhere") is None


def test_no_git_no_commit(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert commit(checkout) is None


def test_it_is_plain_data_that_describes_this_machine() -> None:
    found = environment()
    assert json.loads(json.dumps(found)) == found
    versions = found["versions"]
    assert isinstance(versions, dict) and versions["numpy"] == version("numpy")
    assert found["python"] == ".".join(str(part) for part in sys.version_info[:3])
    assert found["cores"] == len(os.sched_getaffinity(0))
    memory = found["memory_bytes"]
    assert isinstance(memory, int) and 2**28 < memory < 2**50  # bytes, not pages or KiB


def test_a_library_that_is_not_there_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_torch(name: str) -> str:
        if name == "torch":
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(module, "version", without_torch)
    versions = environment()["versions"]
    assert isinstance(versions, dict) and "torch" not in versions and versions["av"] == "1.0"
