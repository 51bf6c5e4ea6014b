"""Which trials a bench consists of: its points times the axes of the command line."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vssl.config.bind import bind
from vssl.config.compose import Composed, compose
from vssl.config.errors import ConfigError
from vssl.config.overrides import split_axes
from vssl.records.hashes import data_settings, hash_of

# Not part of what a trial is: where it runs, who watches, how it is evaluated, which bench asked for it.
_LEFT_OUT = ("run", "logger", "eval", "bench")
# What the points of a bench may differ in, by the first of these words that they hold.
_COMPARED = ("method", "backbone")


@dataclass(frozen=True)
class Trial:
    """One pretraining of a plan, bound and checked; nothing of it has run."""

    composed: Composed
    bound: dict[str, Any]

    @property
    def id(self) -> str:
        """Hash of the bound configuration; equal trials of two plans are one trial."""
        node = {key: value for key, value in self.bound.items() if key not in _LEFT_OUT}
        node["data"] = data_settings(node["data"])
        return hash_of(node)[:16]

    @property
    def name(self) -> str:
        return f"{self.composed.choices['method']}, {self.backbone}, seed {self.bound['seed']}"

    @property
    def backbone(self) -> str:
        return self.composed.choices["backbone"]


@dataclass(frozen=True)
class Plan:
    """A bench: its trials in order, the encoders without training to be evaluated beside them, and its note."""

    trials: tuple[Trial, ...]
    encoders: tuple[str, ...]
    note: str


def plan(name: str, overrides: Sequence[str], paths: Mapping[str, str], config_dirs: Sequence[Path] = ()) -> Plan:
    """Compose and bind every trial of `bench=name`.

    The user's values win over a point's. Where the points differ in their method, `method=a,b` keeps those of these
    methods and adds a bare point for a method that the bench has none for; so does `backbone=a,b` where they differ in
    their backbone.

    Raises:
        ConfigError: of any trial, before one of them has begun.
    """
    fixed, axes = split_axes(overrides)
    common = [word for word in fixed if _key(word) not in _COMPARED]
    node = compose([f"bench={name}", *common], paths=paths, config_dirs=config_dirs).tree.get("bench") or {}
    points = [[str(word) for word in point] for point in node.get("points", [])]
    if not points:
        raise ConfigError(f"bench={name}: the file names no points")
    compared = next((key for key in _COMPARED if _value(points[0], key)), "method")
    wanted = axes.pop(compared, None) or [word for word in fixed if _key(word) == compared]
    fixed = [word for word in fixed if _key(word) != compared]
    trials = [
        _trial(name, point, [*fixed, *combination], paths, config_dirs)
        for combination in itertools.product(*axes.values())
        for point in _chosen(points, compared, wanted)
    ]
    return Plan(tuple({trial.id: trial for trial in trials}.values()), tuple(node.get("encoders", [])), node["note"])


def _trial(
    name: str, point: Sequence[str], own: Sequence[str], paths: Mapping[str, str], config_dirs: Sequence[Path]
) -> Trial:
    taken = {_key(word) for word in own}
    words = [f"bench={name}", *(word for word in point if _key(word) not in taken), *own]
    composed = compose(words, paths=paths, config_dirs=config_dirs)
    return Trial(composed, bind(composed.tree))


def _chosen(points: list[list[str]], compared: str, wanted: list[str]) -> list[list[str]]:
    """The points of the choices in `wanted`, words such as `method=byol`; all where it is empty."""
    if not wanted:
        return points
    by_choice = {_value(point, compared): point for point in points}
    return [by_choice.get(word.partition("=")[2], [word]) for word in wanted]


def _value(point: Sequence[str], key: str) -> str | None:
    return next((word.partition("=")[2] for word in point if _key(word) == key), None)


def _key(word: str) -> str:
    return word.partition("=")[0].lstrip("+~")
