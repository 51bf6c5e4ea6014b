"""Axes of a chart: from values to places between 0 and 1, with ticks where a reader expects them."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from vssl.report.differences import shown

_FAR = 8  # from this ratio of the largest to the smallest an axis of settings is logarithmic
_MOST_TICKS = 6

Told = Callable[[float], str]


@dataclass(frozen=True)
class Axis:
    """One axis.

    Args:
        low, high: its ends; of a logarithmic one both are above 0.
        ticks: (value, how it is told).
    """

    title: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    log: bool = False

    def at(self, value: float) -> float:
        """0 at `low`, 1 at `high`; what lies outside is put at the end."""
        low, high, value = (math.log(max(one, 1e-300)) if self.log else one for one in (self.low, self.high, value))
        return min(1.0, max(0.0, (value - low) / (high - low)))


def linear(title: str, values: Iterable[float], zero: bool = False, told: Told = shown) -> Axis:
    """Its ends are ticks. `zero`: it begins, or ends, at 0 at the latest."""
    found = [*values, *([0.0] if zero else [])] or [0.0]
    low, high = min(found), max(found)
    if low == high:
        low, high = low - (0 if zero else 0.5), high + (1.0 if zero else 0.5)
    step = _step(high - low)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [round(place * step, 12) for place in range(first, last + 1)]
    # A value may lie beyond the last tick by less than can be seen.
    return Axis(title, min(low, ticks[0]), max(high, ticks[-1]), tuple((tick, told(tick)) for tick in ticks))


def logarithmic(title: str, values: Iterable[float], told: Told = shown, round_values: Sequence[float] = ()) -> Axis:
    """Values above 0 only; some room is left at both ends. `round_values` are ticks where two or more fit."""
    found = [value for value in values if value > 0] or [1.0]
    room = 1.25 if max(found) > 2 * min(found) else 2.0
    low, high = min(found) / room, max(found) * room
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [tick for tick in round_values if low <= tick <= high]
    for digits in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
        if len(ticks) >= 2:
            break
        ticks = [tick for power in powers for digit in digits if low <= (tick := digit * 10.0**power) <= high]
    every = math.ceil(len(ticks) / _MOST_TICKS)
    return Axis(title, low, high, tuple((tick, told(tick)) for tick in ticks[::every]), log=True)


def settings(title: str, values: Sequence[float]) -> Axis:
    """Of a numeric setting: every value is a tick; logarithmic where they lie far apart."""
    values = sorted(set(values))
    log = values[0] > 0 and values[-1] >= _FAR * values[0]
    room = 0.06 * (values[-1] - values[0]) or 0.5
    low, high = (values[0] / 1.4, values[-1] * 1.4) if log else (values[0] - room, values[-1] + room)
    every = math.ceil(len(values) / _MOST_TICKS)
    return Axis(title, low, high, tuple((value, shown(float(value))) for value in values[::every]), log)


def categories(title: str, names: Sequence[str]) -> Axis:
    """The first name at 0, the next at 1, with half a place at both ends."""
    return Axis(title, -0.5, len(names) - 0.5, tuple((float(place), name) for place, name in enumerate(names)))


def _step(span: float) -> float:
    """1, 2 or 5 times a power of ten, so that it takes five steps at most."""
    size = 10.0 ** math.floor(math.log10(span / 5))
    return next(size * digit for digit in (1, 2, 5, 10) if size * digit * 5 >= span * (1 - 1e-9))
