"""How much faster random clips of copies are read than those of their originals, on this machine."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vssl.video.decoding.decode import PyAVReader
from vssl.video.decoding.errors import Limits

FRAMES, STRIDE = 16, 4
SPAN = (FRAMES - 1) * STRIDE + 1
VIDEOS, ROUNDS = 12, 5  # a sample, and clips of each
Pair = tuple[str, str, float, float]  # original, copy, span


@dataclass(frozen=True)
class Speed:
    """Medians over all clips, in seconds.

    Args:
        videos: that are long enough for a clip.
    """

    videos: int
    original_s: float
    copy_s: float

    @property
    def ratio(self) -> float:
        return self.original_s / self.copy_s


def clip_speed(pairs: Sequence[Pair], limits: Limits) -> Speed:
    """Reads clips of 16 frames, 4 apart, at random places, opening the file for each, in turn from both files."""
    draw, reader = np.random.default_rng(0), PyAVReader(limits)
    taken: tuple[list[float], list[float]] = ([], [])
    starts = []
    for pair in pairs:
        with reader.open(pair[1]) as video:
            starts.append(len(video.times) - SPAN + 1)
    long_enough = [(pair, room) for pair, room in zip(pairs, starts, strict=True) if room > 0]
    for _ in range(ROUNDS):
        for (original, copied, *span), room in long_enough:
            index = draw.integers(room) + STRIDE * np.arange(FRAMES)
            taken[0].append(_seconds(reader, original, span, index))
            taken[1].append(_seconds(reader, copied, (), index))
    if not long_enough:
        return Speed(0, 0.0, 0.0)
    return Speed(len(long_enough), float(np.median(taken[0])), float(np.median(taken[1])))


def _seconds(reader: PyAVReader, path: str, span: Sequence[float], index: NDArray[np.int64]) -> float:
    begun = time.perf_counter()
    with reader.open(path, *span) as video:
        video.frames(index)
    return time.perf_counter() - begun
