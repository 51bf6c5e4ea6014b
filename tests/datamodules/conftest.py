"""The official lists, unpacked, and trees of real files beside lists that are cut down to them."""

import gzip
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import write_grey_video


@pytest.fixture
def official(shared_data: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Copies the official lists of one set into a folder of the test's own, as their archives unpack."""

    def unpack(name: str) -> Path:
        folder = tmp_path / "official" / name
        folder.mkdir(parents=True)
        for file in (shared_data / "annotations" / name).iterdir():
            if file.name.endswith(".tar.gz"):
                with tarfile.open(file) as archive:
                    archive.extractall(folder, filter="data")
            elif file.suffix == ".gz":
                (folder / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
            elif file.is_file():
                shutil.copy(file, folder)
        return folder

    return unpack


@pytest.fixture
def videos(tmp_path: Path) -> Callable[..., Path]:
    """Writes real mp4 files of 12 small frames, one each name, below the folder `root`."""

    def write(*names: str) -> Path:
        root = tmp_path / "root"
        for name in names:
            write_grey_video(root / name, frames=12, size=(32, 32))
        return root

    return write


@pytest.fixture
def touched(tmp_path: Path) -> Callable[..., Path]:
    """Writes empty files below the folder `root`: lists never open one."""

    def write(*names: str) -> Path:
        root = tmp_path / "root"
        root.mkdir(exist_ok=True)
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).touch()
        return root

    return write
