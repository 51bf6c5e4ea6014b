"""What an evaluation costs beside reading videos: a grid against one probe, several protocols against one extraction.

Run:     python benchmarks/evaluation.py [--videos 400] [--rounds 3] [--smoke]
Videos:  H.264 of 96 x 128, made here, in eight classes; ViT-nano, untrained; one thread. Half of them are tested on.
Prints:  medians of seconds, and the median ratio within a round, for each limit that the project sets itself.
         Competitors take turns, and each begins with an empty cache.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from vssl import _torchvision  # noqa: F401  (before anything that imports torchvision)

# isort: split
import av
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from vssl.backbones.vit import VisionTransformer
from vssl.evaluation.attentive import Attentive
from vssl.evaluation.features import features
from vssl.evaluation.knn import Knn
from vssl.evaluation.linear import Linear
from vssl.evaluation.protocol import Protocol, Task
from vssl.evaluation.retrieval import Retrieval
from vssl.evaluation.temporal import Temporal
from vssl.video.decoding.decode import PyAVReader
from vssl.video.lists.samples import Samples
from vssl.video.views import Clip

CLASSES = 8
GRID = Linear(lrs=(0.01, 0.03, 0.1, 0.3, 1.0), weight_decays=(0.0, 1e-3, 1e-2, 1e-1))  # 20 points
SINGLE = Linear(lrs=(0.1,), weight_decays=(0.0,))
TEMPORAL, ATTENTIVE = Temporal(), Attentive()
CACHES = ("features", "grid", "single", "together", "inputs", "temporal", "tokens", "attentive")


@dataclass
class Row:
    """Seconds of a round each, of what is measured and of what it is measured against."""

    name: str
    limit: float | None
    own: list[float] = field(default_factory=list)
    base: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        return statistics.median(own / base for own, base in zip(self.own, self.base, strict=True))


def main(words: list[str]) -> None:
    options = arguments(words)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    encoder = VisionTransformer(frames=8, size=64, patch_size=16, embed_dim=128, depth=4, heads=2)
    rows = [
        Row(f"eval=linear of {len(GRID.grid)} settings, against one of a single setting", 1.3),
        Row("the same with the features at hand: training alone", None),
        Row("knn, linear and retrieval, against one extraction of features", 1.5),
        Row("temporal, against the extraction of its distinct inputs", 1.2),
        Row(f"attentive of {len(ATTENTIVE.grid)} settings, against the extraction of tokens", None),
    ]
    with tempfile.TemporaryDirectory() as scratch:
        lists = made(Path(scratch) / "videos", 24 if options.smoke else options.videos)
        for number in range(1 if options.smoke else options.rounds):
            round_of(rows, encoder, task_of(lists, Path(scratch) / str(number)), Path(scratch))
    Console().print(as_table(rows))


def round_of(rows: list[Row], encoder: VisionTransformer, task: Task, out: Path) -> None:
    grid, training, together, temporal, attentive = rows
    tasks = {name: replace(task, cache=task.cache / name) for name in CACHES}
    for times, name, probe in ((grid.own, "grid", GRID), (grid.base, "single", SINGLE)):
        times.append(timed(partial(asked, (probe,), encoder, tasks[name], out)))
    for times, name, probe in ((training.own, "grid", GRID), (training.base, "single", SINGLE)):
        times.append(timed(partial(asked, (probe,), encoder, tasks[name], out)))
    together.base.append(timed(partial(extracted, encoder, tasks["features"])))
    together.own.append(timed(partial(asked, (Knn(), GRID, Retrieval()), encoder, tasks["together"], out)))
    temporal.base.append(timed(partial(inputs_of, TEMPORAL, encoder, tasks["inputs"])))
    temporal.own.append(timed(partial(asked, (TEMPORAL,), encoder, tasks["temporal"], out)))
    attentive.base.append(timed(partial(extracted, encoder, tasks["tokens"], tokens=True)))
    attentive.own.append(timed(partial(asked, (ATTENTIVE,), encoder, tasks["attentive"], out)))


def extracted(encoder: VisionTransformer, task: Task, tokens: bool = False) -> None:
    for samples in (task.train, task.select, task.test):
        features(encoder, samples, task, tokens=tokens)


def inputs_of(temporal: Temporal, encoder: VisionTransformer, task: Task) -> None:
    """Training clips as they are, test clips as they are and in every changed form."""
    extracted(encoder, task)
    for change in temporal.changes(task).values():
        features(encoder, task.test, task, temporal.test_views(change))


def asked(protocols: tuple[Protocol, ...], encoder: VisionTransformer, task: Task, out: Path) -> None:
    """As `vssl evaluate` does it."""
    for protocol in protocols:
        protocol.run(encoder, task, out)


def timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def made(folder: Path, count: int) -> tuple[Samples, Samples, Samples]:
    """Train, select and test: noise of a brightness that tells the class."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for place in range(count):
        with av.open(str(folder / f"{place:05d}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"crf": "25", "g": "12"})
            stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
            for _ in range(40):
                image = rng.integers(0, 90, (96, 128, 3), dtype=np.uint8) + np.uint8(20 * (place % CLASSES))
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())
    names = np.array([str(folder / f"{place:05d}.mp4") for place in range(count)])
    nothing = np.full(count, np.nan)
    label = {"label": np.arange(count) % CLASSES}
    every = Samples(names, names, nothing, nothing, label, names, np.full(count, -1))
    bounds = count * 3 // 8, count // 2
    train, select, test = np.split(np.arange(count), bounds)
    return every.take(train), every.take(select), every.take(test)


def task_of(lists: tuple[Samples, Samples, Samples], cache: Path) -> Task:
    train, select, test = lists
    return Task(
        train=train, select=select, test=test, label="label", classes=tuple(map(str, range(CLASSES))),
        clip=Clip(frames=8, stride=2, size=64), flip_safe=False, reader=PyAVReader(), cache=cache,
    )  # fmt: skip


def as_table(rows: list[Row]) -> Table:
    table = Table(title="evaluation", title_justify="left")
    for name in ("", "s", "base, s", "ratio", "at most"):
        table.add_column(name, justify="left" if not name else "right")
    for row in rows:
        own, base = (f"{statistics.median(times):.2f}" for times in (row.own, row.base))
        table.add_row(row.name, own, base, f"{row.ratio:.2f}", "" if row.limit is None else f"{row.limit:.1f}")
    return table


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=400, help="made videos")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="few videos, one round: does the program work?")
    return parser.parse_args(words)


if __name__ == "__main__":
    main(sys.argv[1:])
