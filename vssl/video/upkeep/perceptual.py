"""A perceptual hash of a video: what stays when it is re-encoded, resized or slightly cropped.

Difference hash: a frame is reduced to 8 rows of 9 grey levels, and each bit says whether a level is above the one to
its left: 64 bits. A video has five such frames, spread evenly over its inside: the first and last frame, often black,
are not among them. The distance of two videos is the share of their 320 bits that differ: near 0 for copies, about 0.5
for videos that have nothing in common.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vssl.video.decoding.decode import PyAVReader
from vssl.video.decoding.errors import Limits, VideoError
from vssl.video.upkeep.pool import Trouble
from vssl.video.upkeep.video_set import Place, bounds

FRAMES, ROWS, COLUMNS = 5, 8, 8
BITS = FRAMES * ROWS * COLUMNS
RULE = "difference hash, 5 frames inside the video, 9 x 8 triangle filter"
FLAT_LEVELS = 8  # a frame whose grey levels differ by less says nothing: its bits are noise
MOST_FLAT = 2  # of the frames of a video that is compared
_BLOCK = 4096  # videos of each side compared at a time: 64 MB of distances


@dataclass(frozen=True)
class FrameHash:
    """What a video looks like.

    Args:
        bits: 80 hex digits; empty where the frames are too flat to be told from others.
    """

    bits: str


def hash_video(place: Place, limits: Limits) -> FrameHash | Trouble:
    """Never raises over the file; needs five frames of it."""
    try:
        with PyAVReader(limits).open(place[0], *bounds(place)) as video:
            wanted = np.linspace(0, len(video.times) - 1, FRAMES + 2)[1:-1].round().astype(np.int64)
            chosen = np.unique(wanted)  # fewer where the video is shorter than five frames
            frames = [video.frames(chosen[number : number + 1])[0].copy() for number in range(len(chosen))]
    except VideoError as error:
        return Trouble(error.verdict, error.reason)
    except MemoryError:
        return Trouble("too_large", "decoding it needs more memory than a worker may take")
    small = [_reduced(frames[int(np.searchsorted(chosen, one))]) for one in wanted]
    if sum(float(np.ptp(one)) < FLAT_LEVELS for one in small) > MOST_FLAT:
        return FrameHash("")
    return FrameHash(np.packbits(np.stack([one[:, 1:] > one[:, :-1] for one in small])).tobytes().hex())


def _reduced(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    grey = Image.fromarray(frame).convert("F")  # not "L": rounded levels make noise of flat regions
    return np.asarray(grey.resize((COLUMNS + 1, ROWS), Image.Resampling.BILINEAR))


def signs(hashes: list[str]) -> NDArray[np.float32]:
    """[N, 320] of -1 and 1: their products count equal bits, by matrix multiplication and exactly."""
    packed = np.frombuffer(bytes.fromhex("".join(hashes)), dtype=np.uint8).reshape(len(hashes), BITS // 8)
    return np.unpackbits(packed, axis=1).astype(np.float32) * 2 - 1


def nearest(one: NDArray[np.float32], other: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each row of `other` the row of `one` (not empty) that is nearest, the first of several, and its distance."""
    place = np.zeros(len(other), dtype=np.int64)
    equal = np.full(len(other), -np.inf, dtype=np.float32)
    for begin in range(0, len(other), _BLOCK):
        rows = slice(begin, begin + _BLOCK)
        for first in range(0, len(one), _BLOCK):
            product = other[rows] @ one[first : first + _BLOCK].T
            best = product.argmax(axis=1)
            value = product[np.arange(len(best)), best]
            better = value > equal[rows]
            place[rows][better] = best[better] + first
            equal[rows][better] = value[better]
    return place, (BITS - equal.astype(np.float64)) / (2 * BITS)
