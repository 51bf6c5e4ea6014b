"""A world in memory: videos whose 8 x 8 pixels are the features, and an encoder that hands them on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vssl.backbones.mean_frame import MeanFrame
from vssl.evaluation.protocol import Task
from vssl.video.decoding.errors import VideoError
from vssl.video.lists.samples import Samples
from vssl.video.views import Clip

SIDE, FRAMES = 8, 4


@dataclass
class Still:
    """A video that shows one image [H, W, 3] in every frame."""

    image: NDArray[np.uint8]
    times: NDArray[np.float64] = field(default_factory=lambda: np.arange(FRAMES) / 25)
    height: int = SIDE
    width: int = SIDE

    def frames(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        return np.repeat(self.image[None], len(indices), axis=0)


@dataclass
class Gallery:
    """A Reader whose paths are names of images; it remembers what was opened, and in which order."""

    images: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    opened: list[str] = field(default_factory=list)

    @contextmanager
    def open(self, path: str, start_s: float = np.nan, end_s: float = np.nan) -> Iterator[Still]:
        self.opened.append(Path(path).name)
        if Path(path).name not in self.images:
            raise VideoError(path, "unreadable", "moov atom not found")
        yield Still(self.images[Path(path).name])


@dataclass
class World:
    """Videos of `classes` classes with their labels; `task` asks for them."""

    folder: Path
    reader: Gallery = field(default_factory=Gallery)

    def samples(self, split: str, images: NDArray[np.uint8], **labels: NDArray[np.int64]) -> Samples:
        names = [f"{split}{place:04d}" for place in range(len(images))]
        for name, image in zip(names, images, strict=True):
            self.reader.images[name] = image
            (self.folder / name).write_bytes(b"")  # lists are told apart by ids and file sizes
        return Samples(
            id=np.array(names, dtype=np.str_),
            path=np.array([str(self.folder / name) for name in names], dtype=np.str_),
            start_s=np.full(len(names), np.nan),
            end_s=np.full(len(names), np.nan),
            labels={name: np.asarray(label, dtype=np.int64) for name, label in labels.items()},
            group=np.array(names, dtype=np.str_),
            fold=np.full(len(names), -1),
        )

    def task(self, train: Samples, select: Samples, test: Samples, label: str = "motion", **settings: object) -> Task:
        return Task(
            train=train, select=select, test=test, label=label,
            classes=tuple(f"class {place}" for place in range(1 + max(s.labels[label].max() for s in (train, test)))),
            clip=Clip(frames=2, stride=1, size=SIDE), flip_safe=False, reader=self.reader, cache=self.folder / "cache",
            **settings,  # type: ignore[arg-type]
        )  # fmt: skip

    def blobs(
        self, videos: tuple[int, int, int] = (120, 40, 80), classes: int = 4, noise: float = 60.0, **settings: object
    ) -> Task:
        """One random image a class plus noise, in train, select and test."""
        rng = np.random.default_rng(0)
        centres = rng.uniform(60, 200, size=(classes, SIDE, SIDE, 3))
        lists = []
        for split, count in zip(("train", "select", "test"), videos, strict=True):
            label = np.arange(count) % classes
            images = (centres[label] + noise * rng.normal(size=(count, SIDE, SIDE, 3))).clip(0, 255).astype(np.uint8)
            lists.append(self.samples(split, images, motion=label, shape=label % 2))
        return self.task(*lists, **settings)


@pytest.fixture
def world(tmp_path: Path) -> World:
    folder = tmp_path / "videos"
    folder.mkdir()
    return World(folder)


@pytest.fixture
def pixels() -> MeanFrame:
    """An encoder whose features are the pixels themselves (normalised): D = 3 * 8 * 8."""
    return MeanFrame(size=SIDE)


MakeRandom = Callable[..., NDArray[np.uint8]]


@pytest.fixture
def random_images() -> MakeRandom:
    def make(count: int, seed: int = 0) -> NDArray[np.uint8]:
        return np.random.default_rng(seed).integers(0, 256, size=(count, SIDE, SIDE, 3), dtype=np.uint8)

    return make
