"""2,000 broken copies of small videos: each ends in frames or in one typed error, soon, and leaves nothing behind."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.conftest import SHARED

COPIES = 2000
CODECS = {
    "mp4": "libx264", "mkv": "libx264", "ts": "libx264", "avi": "mpeg4", "webm": "libvpx-vp9", "mov": "mjpeg",
    "gif": "gif",
}  # fmt: skip
PIXELS = {"mjpeg": "yuvj420p", "gif": "rgb8"}


def original(path: Path, codec: str) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (24, 6, 8, 3), dtype=np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, PIXELS.get(codec, "yuv420p")
        stream.gop_size = 8
        for image in noise:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("fuzz")
    originals = [original(folder / f"made.{suffix}", codec) for suffix, codec in CODECS.items()]
    if SHARED.is_dir():
        originals += [path for path in sorted((SHARED / "odd").iterdir()) if 0 < path.stat().st_size < 60_000]
    (folder / "copies").mkdir()
    # A process of its own: a crash would take this one with it, and memory is counted.
    words = [sys.executable, str(Path(__file__).with_name("fuzz.py")), str(COPIES), str(folder / "copies")]
    done = subprocess.run([*words, *map(str, originals)], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stderr[-3000:]}"
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_every_copy_ends_in_frames_or_one_typed_error(told: dict[str, Any]) -> None:
    verdicts = told["verdicts"]
    assert sum(verdicts.values()) == COPIES
    # Both ends are met: what breaks nothing, or every copy, would prove nothing.
    assert min(verdicts["ok"], verdicts["damaged"], verdicts["unreadable"]) > COPIES // 50, verdicts


def test_none_hangs(told: dict[str, Any]) -> None:
    assert told["slowest_s"][0] < 20, told["slowest_s"]


def test_memory_and_open_files_do_not_grow(told: dict[str, Any]) -> None:
    assert told["last"]["files"] == told["first"]["files"]
    assert told["last"]["bytes"] < told["first"]["bytes"] + 30e6, told
