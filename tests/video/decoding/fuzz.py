"""Reads broken copies of small videos, one after another in this process, and tells how it fared.

Run:     python tests/video/decoding/fuzz.py COPIES SCRATCH VIDEO...
A copy has some bits turned over, lacks its end, or both; every fourth is broken in its first 2,000 bytes, where headers
are. Prints one JSON object: how many copies gave frames and how many an error, the slowest, and what this process held
(bytes, open files) at a fifth of the way and at its end. Anything but frames or a VideoError ends it.
"""

import gc
import json
import os
import random
import sys
import time
from pathlib import Path

import numpy as np

from vssl.video.decoding.decode import PyAVReader, VideoError

HEADER = 2000


def broken(content: bytes, numbers: random.Random) -> bytes:
    damaged = bytearray(content)
    kind = numbers.randrange(4)
    if kind in (0, 2):
        end = min(len(damaged), HEADER) if numbers.randrange(4) == 0 else len(damaged)
        for _ in range(numbers.choice((1, 8, 64))):
            damaged[numbers.randrange(end)] ^= 1 << numbers.randrange(8)
    if kind in (1, 2):
        del damaged[numbers.randrange(len(damaged)) :]
    if kind == 3:  # a piece stands where another should
        size = numbers.randrange(1, max(2, len(damaged) // 4))
        source, target = (numbers.randrange(len(damaged) - size + 1) for _ in range(2))
        damaged[target : target + size] = damaged[source : source + size]
    return bytes(damaged)


def read(path: str, numbers: random.Random) -> str:
    """A clip at a random place, then the whole file; the verdict of the last."""
    try:
        with PyAVReader().open(path) as video:
            count = len(video.times)
            wanted = np.unique(np.array([numbers.randrange(count) for _ in range(8)]))
            frames = video.frames(wanted)
            assert frames.shape == (len(wanted), video.height, video.width, 3), frames.shape
            assert frames.dtype == np.uint8
            assert (np.diff(video.times) > 0).all() or count == 1, "times do not rise"
    except VideoError as error:
        if not str(error).startswith(path) or "\n" in error.reason:
            sys.exit(f"this is no message of one line that names its file: {error}")
    try:
        survey = PyAVReader().survey(path)
    except VideoError as error:
        return error.verdict
    assert 0 < survey.decoded <= len(survey.times)
    return "damaged" if survey.damage else "ok"


def held() -> dict[str, int]:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {"bytes": pages * os.sysconf("SC_PAGE_SIZE"), "files": len(os.listdir("/proc/self/fd"))}


def main(copies: int, scratch: Path, originals: list[Path]) -> None:
    verdicts: dict[str, int] = {}
    slowest, first = (0.0, ""), {}
    for number in range(copies):
        numbers = random.Random(number)
        original = originals[number % len(originals)]
        path = scratch / f"copy_{number}{original.suffix}"
        path.write_bytes(broken(original.read_bytes(), numbers))
        begun = time.perf_counter()
        verdict = read(str(path), numbers)
        slowest = max(slowest, (time.perf_counter() - begun, f"{original.name}, copy {number}"))
        verdicts[verdict] = verdicts.get(verdict, 0) + 1
        path.unlink()
        if number == copies // 5:
            first = held()
    print(json.dumps({"verdicts": verdicts, "slowest_s": slowest, "first": first, "last": held()}))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), [Path(name) for name in sys.argv[3:]])
