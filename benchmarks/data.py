"""Where the time of a data layer goes: decoding, augmentation, a whole loader; ours and others', in one run.

Run:     python benchmarks/data.py [--clips FOLDER] [--rounds 5] [--workers 2] [--flat 10000] [--smoke]
Clips:   H.264 of 320 x 240, ten seconds; of every NAME_g12.mp4 there is a NAME_g250.mp4, the same frames with a
         keyframe every 12 and every 250. Without --clips such files are made of moving noise.
Prints:  medians, and the ratio of each to the first: above 1 it takes longer. Competitors take turns, in an order that
         is drawn anew for each clip; one thread each. Frames asked for: 16, every 4th, from a random place.
Loader:  that of a run (VideoMAE on ViT-S, batches of 8), alone, and in a training; memory over --flat clips.
GPU:     where there is one, augmentation of a batch that stands on it, and the training's waiting.
Peers:   pip install torchcodec decord opencv-python-headless pytorchvideo kornia; what does not load is named.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from vssl import _torchvision  # noqa: F401  (before anything that imports torchvision)

# isort: split
import torch
from augmenting import from_crops, from_frames
from decoding import GOPS, decoding, made_clips, prepared, two_views
from loading import device, flow, waiting
from rich.console import Console
from rich.table import Table

SIZE = 112


def main(words: list[str]) -> None:
    options = arguments(words)
    torch.set_num_threads(1)
    console, missing = Console(), dict[str, str]()
    rounds = 1 if options.smoke else options.rounds
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.clips or made_clips(Path(scratch) / "made", seconds=4 if options.smoke else 10)
        copies = Path(scratch) / "copies"
        copies.mkdir()
        for gop in GOPS:
            clips = sorted(str(path) for path in folder.glob(f"*_g{gop}.mp4"))
            if not clips:
                sys.exit(f"there is no *_g{gop}.mp4 in {folder}")
            for title, times in (
                (f"one clip, opened per sample, GOP {gop}", decoding(clips, rounds, kept_open=False, missing=missing)),
                (f"one clip, files kept open, GOP {gop}", decoding(clips, rounds, kept_open=True, missing=missing)),
                (f"two views of one video, GOP {gop}", two_views(clips, rounds)),
                (f"one clip of a prepared copy, GOP {gop}", prepared(clips, rounds, copies)),
            ):
                console.print(as_table(title, times, 1e3, "ms"))
        times = from_frames(rounds, missing, SIZE)
        console.print(as_table(f"augmentation of 8 clips to {SIZE} pixels", times, 1e3 / 8, "ms a clip"))
        if torch.cuda.is_available():
            for size in (SIZE, 2 * SIZE):
                title = f"augmentation of 64 clips of {size} pixels on {device()}"
                console.print(as_table(title, from_crops(rounds, missing, size), 1e3 / 64, "ms a clip"))
        loaders(console, only_gop(folder, GOPS[0], Path(scratch) / "videos"), options)
    for name, reason in missing.items():
        console.print(f"not measured: {name}: {reason}", highlight=False)


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, help="folder of NAME_g12.mp4 and NAME_g250.mp4")
    parser.add_argument("--rounds", type=int, default=5, help="random places in each clip")
    parser.add_argument("--workers", type=int, default=2, help="processes of the loader")
    parser.add_argument("--flat", type=int, default=10_000, help="clips over which memory is looked at")
    parser.add_argument("--smoke", action="store_true", help="short clips, one round: does the program work?")
    return parser.parse_args(words)


def only_gop(folder: Path, gop: int, target: Path) -> Path:
    """A folder with eight videos at least, as the loader's batches need them; fewer are repeated under other names."""
    target.mkdir()
    originals = sorted(folder.glob(f"*_g{gop}.mp4"))
    for number in range(max(8, len(originals))):
        original = originals[number % len(originals)]
        shutil.copy(original, target / f"{number}_{original.name}")
    return target


def loaders(console: Console, videos: Path, options: argparse.Namespace) -> None:
    clips = 64 if options.smoke else options.flat
    read = flow(videos, options.workers, clips, SIZE)
    memory = ", ".join(f"{size:.0f} MB after {count:,} clips" for count, size in read.megabytes.items())
    console.print(f"loader alone, {options.workers} workers: {read.clips_a_second:.1f} clips/s; {memory}")
    trained = waiting(videos, options.workers, 32 if options.smoke else SIZE, 3 if options.smoke else 40)
    console.print(
        f"training on {device()}, {options.workers} workers: {trained.clips_a_second:.1f} clips/s, "
        f"waiting for clips {trained.wait_share:.1%} of the time"
    )


def as_table(title: str, times: dict[str, list[float]], scale: float, unit: str) -> Table:
    table = Table(title=title, title_justify="left", min_width=62)
    table.add_column("")
    table.add_column(unit, justify="right")
    table.add_column("to the first", justify="right")
    base = next(iter(times.values()))
    for name, own in times.items():
        relative = statistics.median(mine / first for mine, first in zip(own, base, strict=True))
        table.add_row(name, f"{scale * statistics.median(own):.2f}", f"{relative:.2f}")
    return table


if __name__ == "__main__":
    main(sys.argv[1:])
