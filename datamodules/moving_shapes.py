"""Moving shapes: a made data set of real H.264 files in which only the order of the frames tells the motion.

The state of a video is a point on four circles: x, y, turn and size (on a log scale; past the largest follows the
smallest). It starts anywhere, uniformly, and a motion walks along one circle, one way or the other, at constant speed.
A uniform point on a circle stays uniform when it is shifted, so a single frame has the same distribution for every
motion; and a motion backwards is its opposite, so the mean frame of a clip has the same distribution for the two.

    motion       right left  down up  clockwise anticlockwise  grow shrink
    shape        circle square triangle cross, with one half darker so that turning shows
    colour       red lime cyan violet, a quarter of the hue circle apart
    texture, background                             vary the appearance; no labels

All factors are balanced and independent of each other. The files are written once, into the cache.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from vssl.datamodule import Split, VideoDataModule
from vssl.records.atomic import writable, write_text
from vssl.records.folders import cache_dir
from vssl.records.hashes import hash_of
from vssl.records.locks import waiting_lock
from vssl.video.decoding.encode import write_video
from vssl.video.lists.samples import Samples

Level = TypeVar("Level")
Floats = NDArray[np.floating[Any]]
Pattern = Callable[[Floats, Floats], Floats]

VERSION = 1  # raise it with any change that alters a pixel or a label: it is part of the folder's name
INDEX = "clips.csv"  # written last: a folder that has it is complete
WRITERS = 2  # threads; numpy frees the interpreter lock and PyAV mostly does not, so a third gains nothing

FPS = 25
# Every frame a keyframe. Predicted frames carry traces of their neighbours: with a keyframe in 12, a random forest read
# the motion off one decoded frame for 17 % of 2,000 test videos; off the frames as drawn, or with this, for 12.5 %.
GOP = 1
RADII = (0.16, 0.36)  # smallest and largest, as a share of the frame's width
SPEEDS = (1 / 32, 1 / 16)  # circles a frame: 1 to 2 pixels of 32, 11 to 22 degrees, 2.6 to 5.2 % of size
DARK_HALF = 0.4  # brightness beside the other half's 1

# The circle of the state that a motion walks along (x, y, turn, size), and which way. y points down, as pixels do.
MOTIONS = {
    "right": (0, 1),
    "left": (0, -1),
    "down": (1, 1),
    "up": (1, -1),
    "clockwise": (2, 1),
    "anticlockwise": (2, -1),
    "grow": (3, 1),
    "shrink": (3, -1),
}
# Distance from the outline, negative inside, in coordinates where the radius is 1 and +u points to the bright half.
SHAPES: dict[str, Pattern] = {
    "circle": lambda u, v: np.hypot(u, v) - 0.8,
    "square": lambda u, v: np.maximum(abs(u), abs(v)) - 0.7,
    "triangle": lambda u, v: np.maximum(-u, 0.5 * u + 0.866 * abs(v)) - 0.5,
    "cross": lambda u, v: np.maximum(np.maximum(abs(u), abs(v)) - 0.95, np.minimum(abs(u), abs(v)) - 0.3),
}
COLOURS = {
    "red": (0.95, 0.24, 0.24),
    "lime": (0.59, 0.95, 0.24),
    "cyan": (0.24, 0.95, 0.95),
    "violet": (0.59, 0.24, 0.95),
}
TEXTURES: dict[str, Pattern] = {
    "plain": lambda u, v: np.ones_like(u),
    "stripes": lambda u, v: 0.85 + 0.15 * np.sin(10 * v),
    "rings": lambda u, v: 0.85 + 0.15 * np.cos(12 * np.hypot(u, v)),
    "checks": lambda u, v: 0.85 + 0.15 * np.sin(8 * u) * np.sin(8 * v),
}
# RGB of the top and of the bottom row, with a linear change between them.
BACKGROUNDS = {
    "black": ((0.03, 0.03, 0.03), (0.03, 0.03, 0.03)),
    "grey": ((0.16, 0.16, 0.16), (0.16, 0.16, 0.16)),
    "navy": ((0.04, 0.06, 0.18), (0.04, 0.06, 0.18)),
    "dusk": ((0.03, 0.03, 0.10), (0.20, 0.10, 0.06)),
}
FACTORS: dict[str, Mapping[str, Any]] = {
    "motion": MOTIONS,
    "shape": SHAPES,
    "colour": COLOURS,
    "texture": TEXTURES,
    "background": BACKGROUNDS,
}
LABELS = ("motion", "shape", "colour")
SPLITS = ("train", "test", "unlabelled")


class MovingShapes(VideoDataModule):
    """Shapes that move, turn, grow or shrink on a dark background, each video a piece of an endless movement.

    Flips and reversed time exchange the motions, so `flip_safe` and `reverse_safe` stay false. With `root` the videos
    are kept there, otherwise in the cache.

    Args:
        num_videos: training videos.
        num_test: test videos; a fifth of `num_videos` if None, at least one a motion.
        seed: of the videos: another seed is another data set. The seed of the training is another key.
        size: height and width of the videos in pixels, even.
        frames: length of each video, at 25 a second.
    """

    def __init__(
        self,
        num_videos: int = 2000,
        num_test: int | None = None,
        seed: int = 0,
        size: int = 32,
        frames: int = 24,
        **shared,
    ) -> None:
        super().__init__(**shared)
        motions = len(MOTIONS)
        if num_test is None:
            num_test = max(num_videos // 5, motions)
        lowest = {"num_videos": motions, "num_test": motions, "seed": 0, "size": 16, "frames": 2}
        given = {"num_videos": num_videos, "num_test": num_test, "seed": seed, "size": size, "frames": frames}
        for name, value in given.items():
            if value < lowest[name]:
                raise ValueError(f"{name} must be at least {lowest[name]}; got {value}")
        if size % 2:
            raise ValueError(f"size must be even, because H.264 stores colour at half resolution; got {size}")
        self.videos = {"train": num_videos, "test": num_test, "unlabelled": 0}
        self.seed, self.size, self.frames = seed, size, frames

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        return {label: tuple(FACTORS[label]) for label in LABELS}

    def samples(self, split: Split) -> Samples:
        """The videos of a split; what is missing of them is written first.

        Raises:
            UserError: the folder cannot be made or written to.
            WorkError: the operating system refused a later write, such as for want of space.
        """
        plan = make_plan(self.videos[split], self.frames, (self.seed, SPLITS.index(split)))
        folder = self.folder(split)
        write_missing(plan, self.size, folder, f"moving_shapes {split}")
        names = _names(plan)
        return Samples(
            id=np.array([f"{split}/{name}" for name in names], dtype=np.str_),
            path=np.array([str(folder / name) for name in names], dtype=np.str_),
            start_s=np.full(len(plan), np.nan),
            end_s=np.full(len(plan), np.nan),
            labels={label: plan.factors[label] for label in LABELS},
            group=np.array([f"{split}/{name}" for name in names], dtype=np.str_),
            fold=np.full(len(plan), -1, dtype=np.int64),
        )

    def folder(self, split: Split) -> Path:
        """Where the videos of a split lie: named by everything that they depend on."""
        settings = [VERSION, split, self.videos[split], self.seed, self.size, self.frames]
        home = Path(self.root) if self.root else cache_dir() / "moving_shapes"
        return home / f"{split}-{hash_of(settings)[:16]}"


@dataclass(frozen=True)
class Plan:
    """What N videos of T frames show.

    factors: {name: int64 [N]}, places in the tables of `FACTORS`.
    states: float64 [N, T, 4] in [0, 1): x, y, turn and size of the shape, each on its circle.
    """

    factors: dict[str, NDArray[np.int64]]
    states: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.states)


def make_plan(videos: int, frames: int, seed: tuple[int, ...]) -> Plan:
    """Draws factors and states. Levels of a factor occur equally often, up to one video, in an order of its own."""
    draws = _uniforms(len(FACTORS) + 5, videos, seed)
    orders, start, pace = np.argsort(draws[:-5], axis=1, kind="stable"), draws[-5:-1].T, draws[-1]
    factors = {name: order % len(FACTORS[name]) for name, order in zip(FACTORS, orders, strict=True)}
    circle, way = np.array(list(MOTIONS.values()))[factors["motion"]].T
    speed = way * (SPEEDS[0] + (SPEEDS[1] - SPEEDS[0]) * pace)
    states = np.repeat(start[:, None], frames, axis=1)
    states[np.arange(videos), :, circle] += speed[:, None] * np.arange(frames)
    return Plan(factors, states % 1.0)


def render(plan: Plan, index: int, size: int) -> NDArray[np.uint8]:
    """The frames of one video, RGB uint8 [T, size, size, 3]; edges are smoothed over one pixel."""
    level = {name: levels[index] for name, levels in plan.factors.items()}
    x, y, turn, growth = plan.states[index].astype(np.float32).T[:, :, None, None]  # each [T, 1, 1]
    pixel = (np.arange(size, dtype=np.float32) + 0.5) / size
    dx = (pixel[None, None, :] - x + 0.5) % 1.0 - 0.5  # the frame's opposite edges meet
    dy = (pixel[None, :, None] - y + 0.5) % 1.0 - 0.5
    radius = RADII[0] * (RADII[1] / RADII[0]) ** growth
    cos, sin = np.cos(2 * np.pi * turn) / radius, np.sin(2 * np.pi * turn) / radius
    u, v = cos * dx + sin * dy, cos * dy - sin * dx  # [T, H, W]

    inside = _edge(-_pick(SHAPES, level["shape"])(u, v) * radius * size)
    light = DARK_HALF + (1 - DARK_HALF) * _edge(u * radius * size)
    light *= _pick(TEXTURES, level["texture"])(u, v)
    colour = np.array(_pick(COLOURS, level["colour"]), dtype=np.float32)
    top, bottom = np.array(_pick(BACKGROUNDS, level["background"]), dtype=np.float32)
    behind = top + (bottom - top) * pixel[:, None, None]  # [H, 1, 3]
    frames = behind + inside[..., None] * (light[..., None] * colour - behind)
    return np.rint(255 * frames).astype(np.uint8)


def write_missing(plan: Plan, size: int, folder: Path, title: str) -> None:
    """Writes the videos that `folder` lacks, then the index, so that a folder with an index is complete.

    Each file appears by one rename, and what a killed run left is whole and is kept. A second process waits for the
    first: files written twice would be of another time, and prepared twice.
    """
    if len(plan) == 0 or (folder / INDEX).exists():
        return
    writable(folder)
    console = Console(stderr=True)
    with waiting_lock(folder, console.print):
        if (folder / INDEX).exists():
            return
        names = _names(plan)
        missing = [index for index, name in enumerate(names) if not (folder / name).exists()]

        def write(index: int) -> None:
            write_video(folder / names[index], render(plan, index, size), fps=FPS, gop=GOP)

        with ThreadPoolExecutor(WRITERS) as pool:
            written = pool.map(write, missing)
            for _ in track(written, f"Writing {title}", len(missing), console=console):
                pass
        write_text(folder / INDEX, _index(plan, names))


def _index(plan: Plan, names: list[str]) -> str:
    levels = [[list(FACTORS[name])[level] for level in plan.factors[name]] for name in FACTORS]
    rows = [("path", *FACTORS), *zip(names, *levels, strict=True)]
    return "".join(",".join(row) + "\n" for row in rows)


def _names(plan: Plan) -> list[str]:
    return [f"{index:05d}.mp4" for index in range(len(plan))]


def _pick(table: Mapping[str, Level], place: int) -> Level:
    return list(table.values())[place]


def _edge(distance: Floats) -> Floats:
    """0 outside, 1 inside, linear over the pixel between them; `distance` from the edge in pixels, positive inside."""
    return np.clip(0.5 + distance, 0, 1)


def _uniforms(rows: int, columns: int, seed: tuple[int, ...]) -> NDArray[np.float64]:
    """[rows, columns] in [0, 1). From raw bits: numpy promises these, not its distributions, to stay as they are."""
    bits = np.random.PCG64(np.random.SeedSequence(seed)).random_raw(rows * columns)
    return (bits >> np.uint64(11)).reshape(rows, columns).astype(np.float64) * 2.0**-53
