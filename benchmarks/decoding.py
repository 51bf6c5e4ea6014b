"""Reading frames of clips, as `benchmarks/data.py` measures it: ours and others', one view and two."""

import random
from functools import partial
from pathlib import Path
from typing import Any

from vssl import _torchvision  # noqa: F401  (before anything that imports torchvision)

# isort: split
import av
import numpy as np
from numpy.typing import NDArray
from peers import READERS, Opener, Read, loaded
from timing import timed

from vssl.video.decoding.decode import PyAVReader
from vssl.video.upkeep.fast_copy import CopySettings, copy

FRAMES, STRIDE = 16, 4
GOPS = (12, 250)
OURS = "ours"


def made_clips(folder: Path, seconds: int) -> Path:
    """Two pairs of clips: noise that drifts before noise that stands, so that motion has to be coded."""
    folder.mkdir()
    for seed in range(2):
        numbers = np.random.default_rng(seed)
        wall, drift = (np.kron(numbers.integers(0, 255, (90, 120, 3)), np.ones((8, 8, 1))) for _ in range(2))
        for gop in GOPS:
            with av.open(str(folder / f"noise{seed}_g{gop}.mp4"), "w") as container:
                stream = container.add_stream(
                    "libx264", rate=25, options={"crf": "25", "g": str(gop), "bf": "3", "sc_threshold": "0"}
                )
                stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
                for index in range(25 * seconds):
                    frame = wall[:240, :320].copy()
                    frame[60:180, 80:240] = drift[index : index + 120, 2 * index % 600 : 2 * index % 600 + 160]
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(frame.astype(np.uint8), format="rgb24")))
                container.mux(stream.encode())
    return folder


def ours(path: str) -> Read:
    def read(indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        with PyAVReader().open(path) as video:
            return video.frames(indices)

    return read


def ours_kept_open(path: str) -> Read:
    opened = PyAVReader().open(path)
    video = opened.__enter__()

    def read(indices: NDArray[np.int64], _keeps: Any = opened) -> NDArray[np.uint8]:
        return video.frames(indices)

    return read


def decoding(clips: list[str], rounds: int, kept_open: bool, missing: dict[str, str]) -> dict[str, list[float]]:
    """Seconds for one clip of frames, by library; every library gives the same number of frames of the same size."""
    openers = {OURS: ours_kept_open if kept_open else ours, **loaded(READERS, missing)}
    times: dict[str, list[float]] = {name: [] for name in openers}
    for clip in clips:
        numbers = random.Random(clip.rpartition("/")[2])
        length = frames_in(clip)
        readers = {name: opener(clip) for name, opener in openers.items()} if kept_open else {}
        for _ in range(rounds):
            start = numbers.randrange(length - (FRAMES - 1) * STRIDE)
            indices = start + np.arange(FRAMES) * STRIDE
            for name in numbers.sample(list(openers), len(openers)):
                read = readers[name] if kept_open else partial(open_and_read, openers[name], clip)
                shape = timed(times[name], read, indices).shape
                assert shape == (FRAMES, 240, 320, 3), (name, clip, shape)
    return times


def open_and_read(opener: Opener, clip: str, indices: NDArray[np.int64]) -> Any:
    return opener(clip)(indices)


def two_views(clips: list[str], rounds: int) -> dict[str, list[float]]:
    """Seconds for two clips of frames at random places of one video: from one decode, and from one each."""
    times: dict[str, list[float]] = {"in one decode": [], "in two": []}
    for clip in clips:
        numbers, length, read = random.Random(clip.rpartition("/")[2]), frames_in(clip), ours(clip)
        for _ in range(rounds):
            starts = [numbers.randrange(length - (FRAMES - 1) * STRIDE) for _ in range(2)]
            views = [start + np.arange(FRAMES) * STRIDE for start in starts]
            ways = {"in one decode": [np.union1d(*views)], "in two": views}
            for name in numbers.sample(list(ways), 2):
                timed(times[name], read_all, read, ways[name])
    return times


def prepared(clips: list[str], rounds: int, folder: Path) -> dict[str, list[float]]:
    """Seconds for a clip of frames of the original, and of the copy that `vssl data prepare` makes of it."""
    times: dict[str, list[float]] = {"original": [], "prepared copy": []}
    for clip in clips:
        fast = folder / clip.rpartition("/")[2]
        copy(clip, str(fast), CopySettings())
        numbers, length = random.Random(fast.name), frames_in(clip)
        for _ in range(rounds):
            indices = numbers.randrange(length - (FRAMES - 1) * STRIDE) + np.arange(FRAMES) * STRIDE
            ways = {"original": clip, "prepared copy": str(fast)}
            for name in numbers.sample(list(ways), 2):
                timed(times[name], ours(ways[name]), indices)
    return times


def read_all(read: Read, wanted: list[NDArray[np.int64]]) -> list[Any]:
    return [read(indices) for indices in wanted]


def frames_in(clip: str) -> int:
    with PyAVReader().open(clip) as video:
        return len(video.times)
