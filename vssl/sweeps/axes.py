"""Axes: what the trials of a sweep differ in, from files and from the command line."""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from vssl.config.errors import ConfigError, nearest
from vssl.config.overrides import quoted, split_axes
from vssl.config.problems import listed
from vssl.sweeps.ranges import Range, number, range_of
from vssl.sweeps.settings import Sweep

# What the points of a file may differ in, by the first of these words that they hold.
_COMPARED = ("method", "backbone")
_PLAIN = re.compile(r"[\w.+-]+")


@dataclass(frozen=True)
class Setting:
    """One value of an axis.

    Args:
        told: how it is called in names and tables.
        words: `key=value` that make it.
    """

    told: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Axis:
    """Args:
    key: a key of the configuration, a name of the file's own, or None for its points.
    settings: its values; of a range the two ends.
    range: what a search chooses numbers from; None: an axis of single values.
    """

    key: str | None
    settings: tuple[Setting, ...]
    range: Range | None = None

    @property
    def keys(self) -> set[str]:
        """All keys of the configuration that it sets."""
        return {key_of(word) for setting in self.settings for word in setting.words}

    def at(self, value: float) -> Setting:
        """Of a number of the range, or the place of a setting."""
        return self.settings[int(value)] if self.range is None else _given(f"{self.key}={number(value)}")

    def told(self) -> str:
        return self.range.told() if self.range else listed([setting.told for setting in self.settings])


def axes_of(settings: Sweep, words: Sequence[str]) -> tuple[list[str], list[Axis]]:
    """Fixed words and axes of a sweep; what the command line says replaces an axis of the file with the same key.

    Where the points of the file differ in their method, `method=a,b` keeps those of these methods and adds a bare point
    for a method that the file has none for; so does `backbone=a,b` where they differ in their backbone.

    Raises:
        ConfigError: two axes that set the same key, an unknown label, an interval where nothing is searched.
    """
    words, ranges = _split_ranges(_with_texts(settings, words), settings.search is not None)
    fixed, given = split_axes(words)
    own = {key: [*values] for key, values in given.items()}
    named = {key: values for key, values in settings.axes.items() if isinstance(values, Mapping)}
    for word in [word for word in fixed if key_of(word) in named]:
        fixed.remove(word)
        own[key_of(word)] = [word]
    axes: list[Axis] = []
    if settings.points:
        points = [tuple(str(word) for word in point) for point in settings.points]
        compared = next((key for key in _COMPARED if _value(points[0], key)), "method")
        wanted = own.pop(compared, None) or [word for word in fixed if key_of(word) == compared]
        fixed = [word for word in fixed if key_of(word) != compared]
        axes.append(_points(_chosen(points, compared, wanted), compared))
    for key, values in settings.axes.items():
        if key in ranges or isinstance(values, str):
            continue
        if isinstance(values, Mapping):
            axes.append(_named(key, values, own.pop(key, None)))
        elif key in own:
            axes.append(Axis(key, tuple(_given(word) for word in own.pop(key))))
        elif key not in {key_of(word) for word in fixed}:
            axes.append(Axis(key, tuple(Setting(_told(value), (word_of(key, value),)) for value in values)))
    axes += [Axis(key, tuple(_given(word) for word in values)) for key, values in own.items()]
    axes += [_ranging(key, found) for key, found in ranges.items()]
    # Seeds vary slowest, so that a sweep which is cut short has whole comparisons.
    axes.sort(key=lambda axis: axis.key != "seed")
    _refuse_clashes(axes, fixed)
    return fixed, axes


def word_of(key: str, value: Any) -> str:
    """`key=value` in the override grammar for a value of a YAML file."""
    return f"{key}={_grammar(value)}"


def key_of(word: str) -> str:
    return word.partition("=")[0].lstrip("+~")


def _with_texts(settings: Sweep, words: Sequence[str]) -> list[str]:
    """The words of the command line, and before them those axes of the file that are told as text."""
    said = {key_of(word) for word in words}
    texts = {key: text for key, text in settings.axes.items() if isinstance(text, str) and key not in said}
    return [*(f"{key}={text}" for key, text in texts.items()), *words]


def _split_ranges(words: Sequence[str], searching: bool) -> tuple[list[str], dict[str, Range]]:
    """Divides words into others and ranges, by their key. A grid takes a `range` for its values, and no interval."""
    others, ranges = [], {}
    for word in words:
        found = range_of(word)
        if found is None or (found.listed and not searching):
            others.append(word)
        elif not searching:
            hint = f"sweep.search=tpe sweep.trials=20 tries points of it; a grid takes values, {key_of(word)}=1,2,3"
            raise ConfigError(f"{word}: an interval holds no single values to make a grid of", hint)
        else:
            ranges[key_of(word)] = found
    return others, ranges


def _ranging(key: str, found: Range) -> Axis:
    return Axis(key, tuple(_given(f"{key}={number(end)}") for end in (found.low, found.high)), found)


def _points(points: Sequence[Sequence[str]], compared: str) -> Axis:
    return Axis(None, tuple(Setting(_value(point, compared) or point[0], tuple(point)) for point in points))


def _named(key: str, values: Mapping[str, Any], given: Sequence[str] | None) -> Axis:
    labels = [word.partition("=")[2] for word in given] if given else list(values)
    for label in labels:
        if label not in values:
            known = nearest(label, values) or f"; there are {listed(list(values))}"
            raise ConfigError(f"{key}={label}: the sweep has no such setting{known}")
    return Axis(key, tuple(Setting(label, tuple(str(word) for word in values[label])) for label in labels))


def _given(word: str) -> Setting:
    return Setting(word.partition("=")[2], (word,))


def _chosen(points: list[tuple[str, ...]], compared: str, wanted: list[str]) -> list[tuple[str, ...]]:
    """The points of the choices in `wanted`, words such as `method=byol`; all where it is empty."""
    if not wanted:
        return points
    by_choice = {_value(point, compared): point for point in points}
    return [by_choice.get(word.partition("=")[2], (word,)) for word in wanted]


def _refuse_clashes(axes: Sequence[Axis], fixed: Sequence[str]) -> None:
    """What the user said wins over a point of the file; between axes, and against one, nothing wins."""
    named = [axis for axis in axes if axis.key is not None]
    for axis in named:
        if clashing := [word for word in fixed if _at(key_of(word)) in {_at(key) for key in axis.keys}]:
            raise ConfigError(f"the axis {axis.key} and {clashing[0]} set the same", "leave one of them out")
    for one, other in itertools.combinations(named, 2):
        if both := sorted({_at(key) for key in one.keys} & {_at(key) for key in other.keys}):
            raise ConfigError(f"the axes {one.key} and {other.key} both set {listed(both)}", "leave one of them out")


def _at(key: str) -> str:
    """All budgets are one place: there is exactly one."""
    return "budget" if key.startswith("budget.") else key


def _value(point: Sequence[str], key: str) -> str | None:
    return next((word.partition("=")[2] for word in point if key_of(word) == key), None)


def _told(value: Any) -> str:
    return value if isinstance(value, str) else _grammar(value)


def _grammar(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_grammar(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_grammar(item) for item in value) + "]"
    if isinstance(value, str) and not (_PLAIN.fullmatch(value) and yaml.safe_load(value) == value):
        return quoted(value)
    return str(value)
