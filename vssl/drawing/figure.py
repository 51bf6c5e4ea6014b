"""What all diagrams share: an empty figure with a title, plain panels, a file."""

import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from vssl.records.atomic import atomic

COLOURS = ("#3b6fb6", "#c8553d", "#4f9d69", "#8a5fb0", "#b8862b", "#4aa3a2", "#a3476b", "#777777")
INK, PALE, FAINT = "#333333", "#666666", "#e6e6e6"
HALO = [withStroke(linewidth=2, foreground="white")]  # behind letters that stand on lines
DPI = 160


def new_figure(title: str, width_in: float, height_in: float, note: str = "") -> Figure:
    """An empty figure with its title at the top left and a note below."""
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    wrapped = "\n".join(textwrap.wrap(title, int(width_in * 11.5)))
    figure.suptitle(wrapped, x=0.01, ha="left", fontsize=10, fontweight="bold", color=INK, parse_math=False)
    if note:
        text = "\n".join(line for part in note.splitlines() for line in textwrap.wrap(part, int(width_in * 16)))
        figure.supxlabel(text, x=0.01, ha="left", fontsize=7.5, color=PALE, parse_math=False)
    return figure


def plain(panel: Any, grid: bool = True) -> None:
    """Small grey ticks without marks, no frame, a faint grid behind what is drawn."""
    panel.tick_params(length=0, labelsize=8, colors=INK)
    if grid:
        panel.grid(color=FAINT, linewidth=0.8)
        panel.set_axisbelow(True)
    for side in ("top", "right", "left", "bottom"):
        panel.spines[side].set_visible(False)


def save(figure: Figure, path_png: Path) -> None:
    with atomic(path_png) as temporary, warnings.catch_warnings():
        # A font that lacks a letter of a class's name shows a box in its place.
        warnings.filterwarnings("ignore", message=r".*missing from font", category=UserWarning)
        figure.savefig(temporary, format="png", dpi=DPI, facecolor="white")


def short(name: str, letters: int) -> str:
    """The beginning of a name; `$` is no sign of a formula in it."""
    cut = name if len(name) <= letters else f"{name[: letters - 1]}…"
    return cut.replace("$", r"\$")


def ranked(values: Sequence[float]) -> list[int]:
    """Places from the largest value to the smallest, of equals the first."""
    return sorted(range(len(values)), key=lambda place: -values[place])
