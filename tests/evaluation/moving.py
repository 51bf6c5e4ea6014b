"""Videos in which a bright square goes right, left, down or up: which way, no single frame tells."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vssl.evaluation.protocol import Task
from vssl.video.lists.samples import Samples
from vssl.video.views import Clip

SIDE, FRAMES = 16, 24
WAYS = ("right", "left", "down", "up")


@dataclass
class Going:
    """One such video; its background and the square's lane are drawn from `seed`."""

    way: int
    seed: int
    times: NDArray[np.float64] = field(default_factory=lambda: np.arange(FRAMES) / 25)
    height: int = SIDE
    width: int = SIDE

    def frames(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        rng = np.random.default_rng(self.seed)
        ground = rng.integers(0, 120, size=(SIDE, SIDE, 3), dtype=np.uint8)
        lane = int(rng.integers(0, SIDE - 2))
        shown = np.repeat(ground[None], len(indices), axis=0)
        for picture, index in zip(shown, indices, strict=True):
            along = int(index) * (SIDE - 3) // (FRAMES - 1)
            along = along if self.way in (0, 2) else SIDE - 3 - along
            row, column = (lane, along) if self.way in (0, 1) else (along, lane)
            picture[row : row + 3, column : column + 3] = 255
        return shown


class Cinema:
    """A Reader whose file names are `<way>-<seed>`; it remembers what was opened."""

    def __init__(self) -> None:
        self.opened: list[str] = []

    @contextmanager
    def open(self, path: str, start_s: float = np.nan, end_s: float = np.nan) -> Iterator[Going]:
        self.opened.append(Path(path).name)
        way, seed = Path(path).name.split("-")
        yield Going(int(way), int(seed))


def samples(folder: Path, first: int, count: int) -> Samples:
    label = np.arange(count) % len(WAYS)
    names = [f"{way}-{first + place}" for place, way in enumerate(label)]
    for name in names:
        (folder / name).write_bytes(b"")
    return Samples(
        id=np.array(names), path=np.array([str(folder / name) for name in names]), start_s=np.full(count, np.nan),
        end_s=np.full(count, np.nan), labels={"way": label}, group=np.array(names), fold=np.full(count, -1),
    )  # fmt: skip


def task(folder: Path, videos: tuple[int, int, int] = (60, 20, 60), **settings: object) -> Task:
    firsts = (0, videos[0], videos[0] + videos[1])
    lists = [samples(folder, first, count) for first, count in zip(firsts, videos, strict=True)]
    return Task(
        *lists, label="way", classes=WAYS, clip=Clip(frames=8, stride=2, size=SIDE), flip_safe=False, reader=Cinema(),
        cache=folder / "cache", **settings,  # type: ignore[arg-type]
    )  # fmt: skip
