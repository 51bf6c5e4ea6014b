"""Shared fixtures: real mp4 files made on the spot, the real data where it is at hand, quiet threads."""

import os
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: tests run side by side on few cores

from vssl import _torchvision  # noqa: F401

# isort: split
import av
import numpy as np
import pytest
import torch

SHARED = Path(__file__).parents[2] / "shared" / "data"

MakeVideo = Callable[..., Path]


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def shared_data() -> Path:
    """Folder of real clips, odd files and official lists; tests that need it are skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"real data is not at hand: {SHARED} does not exist")
    return SHARED


@pytest.fixture
def make_video() -> MakeVideo:
    return write_grey_video


def write_grey_video(
    path: Path, frames: int = 24, size: tuple[int, int] = (48, 64), fps: int = 25, gop: int = 12
) -> Path:
    """An H.264 file whose frame i is uniformly grey, level `16 + 7 i mod 208`: a decoded frame tells its own index.

    Args:
        size: (height, width) in pixels.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "10", "g": str(gop), "bf": "2"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(frames):
            image = np.full((height, width, 3), grey_level(index), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def grey_level(index: int) -> int:
    return 16 + 7 * index % 208


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("VSSL_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tests that only read what it holds: the made set is written once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def tiny(shared_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Overrides of a run that takes a second, in a working directory of its own."""
    monkeypatch.setenv("VSSL_CACHE", str(shared_cache))
    monkeypatch.chdir(tmp_path)
    return ["backbone=vit_nano", "backbone.patch_size=8", "backbone.depth=1", "scale=smoke", "run.threads=1"]
