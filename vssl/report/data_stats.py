"""What lists of videos are made of, as one picture: classes, durations, rates, frame sizes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from vssl.records.atomic import atomic

MOST_NAMED = 40  # classes that have a bar and a name each; of more the counts are a curve
MOST_BARS = 12  # rates or sizes that have a bar each; the rest is one
MOST_LISTS = 5  # that have a colour of their own
_COLOURS = ("#3b6fb6", "#4f9d69", "#d08a3e", "#a58bc0", "#8a8a8a")
_INK, _PALE = "#333333", "#e6e6e6"
_LETTERS = 26  # of a name


@dataclass(frozen=True)
class Drawn:
    """One list.

    Args:
        classes: {class: videos}.
        duration_s, fps: (n,) of videos; NaN where unknown.
        sizes: {(width, height): videos}.
    """

    name: str
    classes: Mapping[str, int]
    duration_s: NDArray[np.float64]
    fps: NDArray[np.float64]
    sizes: Mapping[tuple[int, int], int]


def draw_stats(title: str, lists: Sequence[Drawn], path_png: Path) -> None:
    """Writes the picture. Raises WorkError where the operating system refuses."""
    shown = [*lists[: MOST_LISTS - 1], _rest(lists[MOST_LISTS - 1 :])] if len(lists) > MOST_LISTS else list(lists)
    names = _names(shown)
    named = 0 < len(names) <= MOST_NAMED
    figure = Figure(figsize=(11, max(6.4, 1.6 + 0.19 * len(names)) if named else 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold", color=_INK, parse_math=False)
    halves: Any = figure.subfigures(1, 2, width_ratios=(1, 1.15))
    left, right = halves
    panel = left.subplots()
    _classes(panel, shown, names)
    durations, rates, sizes = right.subplots(3, 1)
    _durations(durations, shown)
    _bars(rates, "frames a second", [_rates(one.fps) for one in shown], _by_number)
    _bars(sizes, "frame size, pixels", [_sizes(one.sizes) for one in shown], _by_count)
    if len(shown) > 1:
        handles = [Patch(facecolor=colour, linewidth=0) for colour, _ in zip(_COLOURS, shown, strict=False)]
        labels = [_short(one.name, 40) for one in shown]
        figure.legend(handles, labels, loc="outside lower left", ncols=min(5, len(shown)), fontsize=8, frameon=False)
    with atomic(path_png) as temporary:
        figure.savefig(temporary, format="png", dpi=130, facecolor="white")


def _rest(lists: Sequence[Drawn]) -> Drawn:
    classes: dict[str, int] = {}
    sizes: dict[tuple[int, int], int] = {}
    for one in lists:
        for name, count in one.classes.items():
            classes[name] = classes.get(name, 0) + count
        for size, count in one.sizes.items():
            sizes[size] = sizes.get(size, 0) + count
    duration_s, fps = (np.concatenate([getattr(one, name) for one in lists]) for name in ("duration_s", "fps"))
    return Drawn(f"{len(lists)} more lists", classes, duration_s, fps, sizes)


def _names(lists: Sequence[Drawn]) -> list[str]:
    """Classes by the number of their videos, the largest first."""
    total: dict[str, int] = {}
    for one in lists:
        for name, count in one.classes.items():
            total[name] = total.get(name, 0) + count
    return sorted(total, key=lambda name: (-total[name], name))


def _classes(panel: Any, lists: Sequence[Drawn], names: Sequence[str]) -> None:
    if not names:
        panel.text(0.5, 0.5, "no classes", ha="center", va="center", color=_INK, transform=panel.transAxes)
        panel.set_axis_off()
        return
    counts = np.array([[one.classes.get(name, 0) for name in names] for one in lists])
    places, below = np.arange(len(names)), np.zeros(len(names))
    if len(names) <= MOST_NAMED:
        for colour, row in zip(_COLOURS, counts, strict=False):
            panel.barh(places, row, left=below, height=0.72, color=colour, linewidth=0)
            below = below + row
        for place, total in zip(places, below, strict=True):
            panel.annotate(f"{int(total):,}", (total, place), (3, 0), textcoords="offset points", va="center",
                           fontsize=7, color=_INK)  # fmt: skip
        panel.set_yticks(places, [_short(name, _LETTERS) for name in names], fontsize=7.5, parse_math=False)
        panel.set_ylim(max(len(names), 8) - 0.4, -0.6)
        panel.set_xlim(0, 1.12 * max(1, below.max()))
        panel.set_xlabel("videos", fontsize=8, color=_INK)
        panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    else:
        for colour, row in zip(_COLOURS, counts, strict=False):
            panel.bar(places, row, bottom=below, width=1.0, color=colour, linewidth=0)
            below = below + row
        panel.set_xlim(-0.5, len(names) - 0.5)
        panel.set_ylim(0, 1.12 * below.max())
        panel.set_xlabel(f"{len(names)} classes, the largest first", fontsize=8, color=_INK)
        panel.set_ylabel("videos", fontsize=8, color=_INK)
        few = 5
        told = ["largest"] + [f"{_short(names[at], _LETTERS)}  {int(below[at]):,}" for at in range(few)]
        told += ["", "smallest"] + [f"{_short(names[at], _LETTERS)}  {int(below[at]):,}" for at in range(-few, 0)]
        panel.text(0.98, 0.98, "\n".join(told), ha="right", va="top", fontsize=7.5, color=_INK, parse_math=False,
                   transform=panel.transAxes,
                   bbox={"facecolor": "white", "edgecolor": _PALE, "boxstyle": "square,pad=0.5"})  # fmt: skip
    largest, smallest = int(below.max()), int(below.min())
    videos = f"{smallest:,} to {largest:,} videos" if smallest < largest else f"videos in each: {largest:,}"
    many = f"{len(names)} classes, {videos}" if len(names) > 1 else "1 class"
    _plain(panel, many, "x" if len(names) <= MOST_NAMED else "y")


def _durations(panel: Any, lists: Sequence[Drawn]) -> None:
    values = [one.duration_s[np.isfinite(one.duration_s)] for one in lists]
    known = np.concatenate(values)
    if len(known) == 0:
        _nothing(panel, "duration, s")
        return
    low, high = float(known.min()), float(known.max())
    wide = low > 0 and high / low > 100  # seconds beside hours
    if high - low < 0.1:  # all as long: one bar, not a line
        low, high = low - 0.5, high + 0.5
    bins = np.geomspace(low, high, 41) if wide else np.linspace(low, high, min(41, len(known) | 1) + 1)
    panel.hist(values, bins=bins, stacked=True, color=_COLOURS[: len(lists)], linewidth=0)
    if wide:
        panel.set_xscale("log")
    _plain(panel, f"duration, s (median {np.median(known):.3g}, in all {known.sum() / 3600:.3g} h)", "y")
    panel.yaxis.set_major_locator(MaxNLocator(4, integer=True))


def _rates(fps: NDArray[np.float64]) -> dict[str, int]:
    names, counts = np.unique([f"{value:.4g}" for value in fps[np.isfinite(fps)]], return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


def _sizes(sizes: Mapping[tuple[int, int], int]) -> dict[str, int]:
    return {f"{width}x{height}": count for (width, height), count in sizes.items()}


def _by_number(names: Sequence[str], total: Mapping[str, int]) -> list[str]:
    return sorted(names, key=float)


def _by_count(names: Sequence[str], total: Mapping[str, int]) -> list[str]:
    return sorted(names, key=lambda name: -total[name])


def _bars(panel: Any, what: str, counted: Sequence[Mapping[str, int]], order: Any) -> None:
    """A bar a value; of many values the commonest, then all others in one."""
    total: dict[str, int] = {}
    for one in counted:
        for name, count in one.items():
            total[name] = total.get(name, 0) + count
    if not total:
        _nothing(panel, what)
        return
    common = sorted(total, key=lambda name: -total[name])[: MOST_BARS if len(total) <= MOST_BARS else MOST_BARS - 1]
    names = order(common, total)
    others = [name for name in total if name not in set(common)]
    below = np.zeros(len(names) + bool(others))
    for colour, one in zip(_COLOURS, counted, strict=False):
        row = [one.get(name, 0) for name in names] + ([sum(one.get(name, 0) for name in others)] if others else [])
        panel.bar(np.arange(len(row)), row, bottom=below, width=0.72, color=colour, linewidth=0)
        below = below + row
    for place, top in enumerate(below.tolist()):
        panel.annotate(f"{int(top):,}", (place, top), (0, 2), textcoords="offset points", ha="center", fontsize=7,
                       color=_INK)  # fmt: skip
    labels = [*names, *([f"{len(others)} others"] if others else [])]
    crowded = max(map(len, labels)) * len(labels) > 80
    panel.set_xticks(np.arange(len(labels)), labels, rotation=30 if crowded else 0, ha="right" if crowded else "center")
    panel.set_xlim(-0.6, max(len(labels), 6) - 0.4)
    panel.set_ylim(0, 1.2 * below.max())
    _plain(panel, what, "y")
    panel.yaxis.set_major_locator(MaxNLocator(4, integer=True))


def _nothing(panel: Any, what: str) -> None:
    panel.text(0.5, 0.5, "no video can be read", ha="center", va="center", color=_INK, transform=panel.transAxes)
    _plain(panel, what, "y")
    panel.set_xticks([])
    panel.set_yticks([])


def _plain(panel: Any, title: str, grid: str) -> None:
    panel.set_title(title, fontsize=9, color=_INK, loc="left")
    panel.tick_params(which="both", length=0, labelsize=7.5, colors=_INK)
    panel.grid(axis=grid, color=_PALE, linewidth=0.8)
    panel.set_axisbelow(True)
    for side in ("top", "right", "left", "bottom"):
        panel.spines[side].set_visible(False)


def _short(name: str, letters: int) -> str:
    kept = "".join(letter if letter.isprintable() else "?" for letter in name)
    return kept if len(kept) <= letters else f"{kept[: letters - 1]}…"
