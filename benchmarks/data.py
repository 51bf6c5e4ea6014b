"""Where the time of a data layer goes: decoding, augmentation, a whole loader; ours and others', in one run.

Run:     python benchmarks/data.py [--clips FOLDER] [--rounds 5] [--smoke]
Clips:   H.264 of 320 x 240, ten seconds; of every NAME_g12.mp4 there is a NAME_g250.mp4, the same frames with a
         keyframe every 12 and every 250. Without --clips such files are made of moving noise.
Prints:  medians, and the ratio of each to ours: above 1 it takes longer. Competitors take turns, in an order that is
         drawn anew for each clip; one thread each. Frames asked for: 16, every 4th, from a random place.
Peers:   pip install torchcodec decord opencv-python-headless pytorchvideo kornia; what does not load is named.
"""

import argparse
import random
import statistics
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from vssl import _torchvision  # noqa: F401  (before anything that imports torchvision)

# isort: split
import av
import numpy as np
import torch
from numpy.typing import NDArray
from peers import AUGMENTERS, READERS, Opener, Read
from rich.console import Console
from rich.table import Table
from timing import timed
from torch import Tensor

from vssl.video.augment import apply, draw
from vssl.video.crops import crop_boxes, crops_resize
from vssl.video.decode import PyAVReader
from vssl.video.views import Augment

FRAMES, STRIDE, SIZE = 16, 4, 112
GOPS = (12, 250)
OURS = "ours"


def main(words: list[str]) -> None:
    options = arguments(words)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.clips or made_clips(Path(scratch), seconds=4 if options.smoke else 10)
        rounds = 1 if options.smoke else options.rounds
        console, missing = Console(), dict[str, str]()
        for gop in GOPS:
            clips = sorted(str(path) for path in folder.glob(f"*_g{gop}.mp4"))
            if not clips:
                sys.exit(f"there is no *_g{gop}.mp4 in {folder}")
            for title, times in (
                (f"one clip, opened per sample, GOP {gop}", decoding(clips, rounds, kept_open=False, missing=missing)),
                (f"one clip, files kept open, GOP {gop}", decoding(clips, rounds, kept_open=True, missing=missing)),
                (f"two views of one video, GOP {gop}", two_views(clips, rounds)),
            ):
                console.print(as_table(title, times, 1e3, "ms"))
        console.print(
            as_table(f"augmentation of 8 clips to {SIZE} pixels", augmentation(rounds, missing), 1e3 / 8, "ms a clip")
        )
    for name, reason in missing.items():
        console.print(f"not measured: {name}: {reason}", highlight=False)


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, help="folder of NAME_g12.mp4 and NAME_g250.mp4")
    parser.add_argument("--rounds", type=int, default=5, help="random places in each clip")
    parser.add_argument("--smoke", action="store_true", help="short clips, one round: does the program work?")
    return parser.parse_args(words)


def made_clips(folder: Path, seconds: int) -> Path:
    """Two pairs of clips: noise that drifts before noise that stands, so that motion has to be coded."""
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


def read_all(read: Read, wanted: list[NDArray[np.int64]]) -> list[Any]:
    return [read(indices) for indices in wanted]


def augmentation(rounds: int, missing: dict[str, str]) -> dict[str, list[float]]:
    """Seconds for 8 clips of 16 x 240 x 320: crop, flip, jitter, grey, blur, as probable and as strong in all."""
    clips = torch.randint(0, 256, (8, FRAMES, 3, 240, 320), dtype=torch.uint8)
    work: dict[str, Callable[[Tensor], Tensor]] = {OURS: our_augmentation()}
    work |= loaded({name: partial(make, SIZE) for name, make in AUGMENTERS.items()}, missing)
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(4 * rounds):
        for name in random.sample(list(work), len(work)):
            result = timed(times[name], work[name], clips)
            assert result.shape[-2:] == (SIZE, SIZE) and result.is_floating_point(), (name, result.shape)
    return times


def our_augmentation() -> Callable[[Tensor], Tensor]:
    calls, augment = [0], Augment()

    def work(clips: Tensor) -> Tensor:
        calls[0] += 1
        keys = torch.arange(len(clips)) + calls[0] * len(clips)
        cut = [
            crops_resize(clip, crop_boxes(key, 0, augment, *clip.shape[-2:], SIZE, FRAMES), SIZE)
            for key, clip in zip(keys.tolist(), clips, strict=True)
        ]
        return apply(torch.stack(cut), draw(keys, 0, augment, flip_safe=True))

    return work


def loaded(makers: dict[str, Callable[[], Any]], missing: dict[str, str]) -> dict[str, Any]:
    found = {}
    for name, make in makers.items():
        try:
            found[name] = make()
        except (ImportError, OSError, RuntimeError) as error:
            missing[name] = (str(error).strip() or type(error).__name__).splitlines()[0]
    return found


def frames_in(clip: str) -> int:
    with PyAVReader().open(clip) as video:
        return len(video.times)


def as_table(title: str, times: dict[str, list[float]], scale: float, unit: str) -> Table:
    table = Table(title=title, title_justify="left", min_width=62)
    table.add_column("")
    table.add_column(unit, justify="right")
    table.add_column("to the first", justify="right")
    base = next(iter(times.values()))
    for name, own in times.items():
        relative = statistics.median(mine / first for mine, first in zip(own, base, strict=True))
        table.add_row(name, f"{scale * statistics.median(own):.1f}", f"{relative:.2f}")
    return table


if __name__ == "__main__":
    main(sys.argv[1:])
