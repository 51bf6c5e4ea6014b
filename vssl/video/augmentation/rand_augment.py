"""RandAugment for clips: which operations, in which order, how strong. Drawn here, on the host; applied elsewhere.

Source: Cubuk et al. 2019, arXiv:1909.13719, in the form in which VideoMAE fine-tunes: its `rand_augment.py` is that
of facebookresearch/SlowFast (slowfast/datasets/rand_augment.py), after timm's `auto_augment.py`. Operations are drawn
from 15, with replacement; each has a chance, a strength and a sign of its own, which all frames of the clip share.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vssl.video.checks import at_least, within

Floats = NDArray[np.floating[Any]]
Numbers = Callable[[str, int], NDArray[np.float64]]
"""Of a name and n: n uniform numbers in [0, 1) for each clip, (..., n); the same name gives the same numbers."""

COLOUR_OPERATIONS = (
    "autocontrast", "equalise", "invert", "posterise", "solarise", "solarise_add", "colour", "contrast", "brightness",
    "sharpness",
)  # fmt: skip
PLACE_OPERATIONS = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
OPERATIONS = COLOUR_OPERATIONS + PLACE_OPERATIONS
NO_OPERATION = len(OPERATIONS)

_HIGHEST = 10.0  # magnitudes end here


@dataclass(frozen=True)
class RandAugment:
    """`rand-m7-n4-mstd0.5-inc1` by default.

    Args:
        magnitude: mean strength of an operation, 0 to 10.
        count: operations drawn for a clip, one after the other, with replacement.
        magnitude_std: standard deviation of the strength; it is cut off at 0 and 10.
        increasing: posterising, solarising and the four enhancements grow with the magnitude; without it they shrink,
            as in the first release.
        probability: that an operation which was drawn is applied.
    """

    magnitude: float = 7.0
    count: int = 4
    magnitude_std: float = 0.5
    increasing: bool = True
    probability: float = 0.5

    def __post_init__(self) -> None:
        within(0.0, _HIGHEST, "magnitude", self.magnitude)
        at_least(1, "count", self.count)
        within(0.0, _HIGHEST, "magnitude_std", self.magnitude_std)
        within(0.0, 1.0, "probability", self.probability)


@dataclass(frozen=True)
class Chosen:
    """What is done to B clips in each of n turns; (B, n), or (B, T, n) where each frame has draws of its own.

    `operation` is a place in `OPERATIONS`, `NO_OPERATION` where none is applied; `argument` is in the operation's own
    unit (see `_INCREASING`), 0 where it has none.
    """

    operation: NDArray[np.int64]
    argument: NDArray[np.float32]

    def rows(self) -> NDArray[np.float32]:
        """(B, 2 n) float32, or (B, T * 2 n), for the digest."""
        both = np.stack([self.operation.astype(np.float32), self.argument], axis=-1)
        return both.reshape(len(both), int(np.prod(both.shape[1:])))

    def by_frame(self) -> "Chosen":
        """(B, T, n) draws as those of B * T clips."""
        turns = self.operation.shape[-1]
        return Chosen(self.operation.reshape(-1, turns), self.argument.reshape(-1, turns))

    def told(self, row: int) -> list[str]:
        """What is done to one clip, in order: `rotate 21.3`; by clip only."""
        pairs = zip(self.operation[row].tolist(), self.argument[row].tolist(), strict=True)
        return [f"{OPERATIONS[place]} {argument:.3g}" for place, argument in pairs if place < NO_OPERATION]


def choose(settings: RandAugment, numbers: Numbers) -> Chosen:
    """The draws; `probability` and the strengths change none of the operations that are drawn."""
    operation = (numbers("rand operation", settings.count) * len(OPERATIONS)).astype(np.int64)
    # A uniform number is never 1, so that no logarithm is of 0 (Box and Muller).
    radius, angle = np.moveaxis(numbers("rand level", 2 * settings.count).reshape(*operation.shape, 2), -1, 0)
    normal = np.sqrt(-2 * np.log(1 - radius)) * np.cos(2 * np.pi * angle)
    share = np.clip(settings.magnitude + settings.magnitude_std * normal, 0, _HIGHEST) / _HIGHEST
    sign = np.where(numbers("rand sign", settings.count) < 0.5, -1.0, 1.0)
    argument = np.zeros(operation.shape, np.float32)
    for name, law in (_INCREASING if settings.increasing else _SHRINKING).items():
        rows = operation == OPERATIONS.index(name)
        argument[rows] = law(share[rows], sign[rows])
    applied = numbers("rand applied", settings.count) < settings.probability
    return Chosen(np.where(applied, operation, NO_OPERATION), np.where(applied, argument, np.float32(0)))


def matrices(chosen: Chosen, turn: int) -> NDArray[np.float32]:
    """(B, 6): where a frame that is turned, sheared or moved is read, in its own coordinates.

    They run from -1 to 1 over its height and width: at (x, y) stands what was at (m0 x + m1 y + m2, m3 x + m4 y + m5).
    """
    argument = chosen.argument[:, turn].astype(np.float64)
    turned, right, down = np.radians(argument), np.ones_like(argument), np.zeros_like(argument)
    laws = {
        "rotate": (np.cos(turned), -np.sin(turned), down, np.sin(turned), np.cos(turned), down),
        # About the upper left corner, as in the source.
        "shear_x": (right, argument, argument, down, right, down),
        "shear_y": (right, down, down, argument, right, argument),
        "translate_x": (right, down, 2 * argument, down, right, down),
        "translate_y": (right, down, down, down, right, 2 * argument),
    }
    found = np.zeros((len(argument), 6))
    for name in PLACE_OPERATIONS:
        rows = chosen.operation[:, turn] == OPERATIONS.index(name)
        found[rows] = np.stack(laws[name], axis=1)[rows]
    return found.astype(np.float32)


Law = Callable[[Floats, Floats], Floats]


def _enhanced(share: Floats, sign: Floats) -> Floats:
    return 1 + 0.9 * share * sign


def _first_enhanced(share: Floats, _: Floats) -> Floats:
    return 0.1 + 1.8 * share


_INCREASING: Mapping[str, Law] = {
    "rotate": lambda share, sign: 30 * share * sign,  # degrees, anticlockwise
    "posterise": lambda share, _: 4 - np.trunc(4 * share),  # highest bits that are kept
    "solarise": lambda share, _: 256 - np.trunc(256 * share),  # grey level from which on it is inverted
    "solarise_add": lambda share, _: np.trunc(110 * share),  # grey levels, added below 128
    "colour": _enhanced,  # factor
    "contrast": _enhanced,
    "brightness": _enhanced,
    "sharpness": _enhanced,
    "shear_x": lambda share, sign: 0.3 * share * sign,  # pixels to the left for each pixel downwards
    "shear_y": lambda share, sign: 0.3 * share * sign,
    "translate_x": lambda share, sign: 0.45 * share * sign,  # shares of the width, to the left
    "translate_y": lambda share, sign: 0.45 * share * sign,
}
_SHRINKING: Mapping[str, Law] = {
    **_INCREASING,
    "posterise": lambda share, _: np.trunc(4 * share),
    "solarise": lambda share, _: np.trunc(256 * share),
    "colour": _first_enhanced,
    "contrast": _first_enhanced,
    "brightness": _first_enhanced,
    "sharpness": _first_enhanced,
}
