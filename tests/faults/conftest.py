"""Commands as processes, and small disks; both are gone when a test ends."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.tools import Disk, MakeDisk, Vssl


@pytest.fixture(scope="session")
def launcher() -> "Iterator[subprocess.Popen[str]]":
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("launcher.py")],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    yield process
    assert process.stdin is not None
    process.stdin.close()
    process.wait()


@pytest.fixture
def vssl(launcher: "subprocess.Popen[str]", tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vssl]:
    command = Vssl(launcher, tmp_path_factory.mktemp("streams"))
    yield command
    command.end()


@pytest.fixture
def make_disk(tmp_path: Path) -> Iterator[MakeDisk]:
    made: list[Disk] = []

    def make(size: int) -> Disk:
        disk = Disk(tmp_path / f"disk{len(made)}")
        made.append(disk)
        disk.mount(size)
        return disk

    yield make
    for disk in made:
        disk.unmount()
