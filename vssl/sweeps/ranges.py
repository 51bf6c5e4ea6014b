"""Ranges that a search chooses numbers from, in Hydra's words: `interval(0,1)`, `tag(log,interval(1e-4,1e-2))`."""

from dataclasses import dataclass

from vssl.config.errors import ConfigError
from vssl.config.overrides import parse

DIGITS = 4  # of a chosen number: enough to tell two points apart, few enough to be typed


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included.

    Args:
        whole: whether only whole numbers are meant.
        step: from one number to the next; None: anything between.
        log: whether equal ratios are equally likely, and not equal differences.
        listed: whether it stands for a list of numbers, so that a grid can take it too.
    """

    low: float
    high: float
    whole: bool = False
    step: float | None = None
    log: bool = False
    listed: bool = False

    def rounded(self, value: float) -> float:
        """The number as it is told: whole, or of `DIGITS` digits, and never outside."""
        if self.whole:
            return int(value)
        digits = DIGITS if self.step is None else 10  # 0.7, not 0.7000000000000001
        return min(self.high, max(self.low, float(f"{value:.{digits}g}")))

    def told(self) -> str:
        counted = "" if self.step in (None, 1) else f" in steps of {number(self.step or 0.0)}"
        return f"{number(self.low)} to {number(self.high)}{counted}{', log' if self.log else ''}"


def range_of(word: str) -> Range | None:
    """What `key=interval(...)`, `key=range(...)` or `key=tag(log,...)` ranges over; None of any other word.

    Raises:
        ConfigError: nothing lies between the ends, or a logarithm is asked for of what is not above 0.
    """
    from hydra.core.override_parser.types import IntervalSweep, RangeSweep

    value = parse(word).value() if "(" in word else None
    if isinstance(value, IntervalSweep):
        assert value.start is not None and value.end is not None, "Hydra's grammar needs both"
        whole = isinstance(value.start, int)
        found = Range(value.start, value.end, whole, 1 if whole else None, "log" in value.tags)
    elif isinstance(value, RangeSweep):
        numbers = list(value.range())
        if not numbers:
            raise ConfigError(f"{word}: nothing lies from {value.start} up to and without {value.stop}")
        whole = all(isinstance(one, int) for one in numbers)
        found = Range(numbers[0], numbers[-1], whole, value.step, "log" in value.tags, True)
    else:
        return None
    if found.low >= found.high:
        raise ConfigError(f"{word}: nothing lies between {number(found.low)} and {number(found.high)}")
    if found.log and (found.low <= 0 or found.step not in (None, 1)):
        raise ConfigError(f"{word}: log needs ends above 0, and no step other than 1")
    return found


def number(value: float) -> str:
    """In the shortest words that give exactly this number again."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 1e6 else str(value)
