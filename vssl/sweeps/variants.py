"""Thousands of bound configurations from a few compositions.

Hydra takes some 50 ms for one configuration. Where axes choose no group, what each of their values changes is found
once, by composing with it and comparing; the trials of a product are then put together from these differences, and each
node is bound once a variant. Where differences touch each other, every trial is composed by itself.
"""

import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from vssl.config.bind import bind
from vssl.config.compose import Composed, compose
from vssl.config.errors import ConfigError
from vssl.config.folders import ConfigFolders
from vssl.config.overrides import parse
from vssl.config.sets import set_named
from vssl.records.hashes import data_settings, file_hash, hash_of
from vssl.records.weights import weights_file
from vssl.sweeps.axes import Axis, Setting, key_of

Leaf = tuple[str, ...]
Changes = dict[Leaf, Any]

# Not part of what a trial is: where it runs, who watches, which sweep asked for it.
LEFT_OUT = ("run", "logger", "sweep", "launcher")
_GONE = object()


@dataclass(frozen=True)
class Variant:
    """One configuration of a sweep, bound and checked.

    Args:
        settings: of every axis, in the order of the axes.
        words: `key=value` that make it on the command line, without paths.
        hashes: {node: hash} of what a number depends on.
    """

    settings: tuple[Setting, ...]
    words: tuple[str, ...]
    bound: dict[str, Any]
    choices: dict[str, str]
    hashes: dict[str, str]


@dataclass(frozen=True)
class Composer:
    """What all trials of a sweep are composed from.

    Args:
        head: words that come first: the file of the sweep, its scale.
        fixed: the user's words, which win over those of an axis.
        paths: {key: path}, verbatim.
    """

    head: tuple[str, ...]
    fixed: tuple[str, ...]
    paths: Mapping[str, str]
    config_dirs: tuple[Path, ...] = ()

    def words(self, settings: Sequence[Setting]) -> tuple[str, ...]:
        taken = {key_of(word) for word in self.fixed}
        named = [word for setting in settings if len(setting.words) == 1 for word in setting.words]
        taken |= {key_of(word) for word in named}  # a word of an axis of its own wins over a point's
        grouped = [word for setting in settings if len(setting.words) > 1 for word in setting.words]
        kept = [word for word in grouped if key_of(word) not in taken]
        return _one_budget([[*self.head], kept, named, [*self.fixed]])

    def compose(self, settings: Sequence[Setting]) -> Composed:
        return compose(self.words(settings), paths=self.paths, config_dirs=self.config_dirs)

    @cached_property
    def folders(self) -> ConfigFolders:
        return ConfigFolders.find(self.config_dirs)

    def chooses(self, axis: Axis) -> bool:
        """Whether a setting of it chooses a file of a group, or takes something away."""
        words = [word for setting in axis.settings for word in setting.words]
        keys = {word.partition("=")[0].lstrip("+") for word in words}
        return any(key in self.folders.groups or key.startswith("~") or set_named(key) for key in keys)


def variants(composer: Composer, axes: Sequence[Axis]) -> Iterator[Variant]:
    """Every combination of settings, in the order of a product.

    Raises:
        ConfigError: of any of them.
    """
    choosing = [place for place, axis in enumerate(axes) if composer.chooses(axis)]
    families: dict[tuple[int, ...], _Family] = {}
    for places in itertools.product(*(range(len(axis.settings)) for axis in axes)):
        family = tuple(places[one] for one in choosing)
        if family not in families:
            first = [place if one in choosing else 0 for one, place in enumerate(places)]
            free = [one for one in range(len(axes)) if one not in choosing]
            families[family] = _Family(composer, axes, first, free)
        yield families[family].variant(places)


class _Family:
    """All trials that choose the same files: one composition, and what each setting of a free axis changes in it."""

    def __init__(self, composer: Composer, axes: Sequence[Axis], first: list[int], free: list[int]) -> None:
        self.composer, self.axes, self.first, self.free = composer, axes, first, free
        self.base = self._composed(first)
        self.tree = _without_own(self.base.tree)
        self.changes = {axis: self._changes_of(axis) for axis in free if len(axes[axis].settings) > 1}
        self.apart = self._are_apart()
        self._bound: dict[tuple[object, ...], tuple[Any, str]] = {}

    def variant(self, places: Sequence[int]) -> Variant:
        settings = self._settings(places)
        if self.apart:
            parts = {node: self._node(node, places) for node in self.tree}
        else:
            tree = _without_own(self._composed(list(places)).tree)
            parts = {node: _bound_node(node, tree[node]) for node in tree}
        bound = {node: part for node, (part, _) in parts.items()}
        hashes = {node: digest for node, (_, digest) in parts.items() if node not in LEFT_OUT}
        return Variant(settings, self.composer.words(settings), bound, self.base.choices, hashes)

    def _node(self, node: str, places: Sequence[int]) -> tuple[Any, str]:
        touching = [axis for axis in self.changes if any(leaf[0] == node for leaf in self._touched[axis])]
        key = (node, *((axis, places[axis]) for axis in touching))
        if key not in self._bound:
            given = copy.deepcopy({node: self.tree[node]})
            for axis in touching:
                _apply(given, {leaf: new for leaf, new in self.changes[axis][places[axis]].items() if leaf[0] == node})
            self._bound[key] = _bound_node(node, given[node])
        return self._bound[key]

    def _changes_of(self, axis: int) -> list[Changes]:
        """What each setting changes in `tree`. Two of a plain key tell what the others do."""
        settings = self.axes[axis].settings
        changes: list[Changes] = [{}]
        for place, setting in enumerate(settings[1:], 1):
            plain = _plain_change(setting)
            if place > 1 and plain and list(changes[1]) == list(plain):
                changes.append(plain)
                continue
            there = [place if one == axis else first for one, first in enumerate(self.first)]
            changes.append(_differences(self.tree, _without_own(self._composed(there).tree)))
        return changes

    @cached_property
    def _touched(self) -> dict[int, set[Leaf]]:
        return {axis: {leaf for change in changes for leaf in change} for axis, changes in self.changes.items()}

    def _are_apart(self) -> bool:
        """Whether no two axes touch the same place; proven on the combination of all last settings."""
        for one, other in itertools.combinations(self._touched.values(), 2):
            if any(a[: len(b)] == b[: len(a)] for a in one for b in other):
                return False
        if len(self.changes) < 2:
            return True
        last = [len(self.axes[axis].settings) - 1 if axis in self.changes else at for axis, at in enumerate(self.first)]
        made = copy.deepcopy(self.tree)
        for axis, changes in self.changes.items():
            _apply(made, changes[last[axis]])
        return not _differences(made, _without_own(self._composed(last).tree))

    def _composed(self, places: Sequence[int]) -> Composed:
        return self.composer.compose(self._settings(places))

    def _settings(self, places: Sequence[int]) -> tuple[Setting, ...]:
        return tuple(axis.settings[place] for axis, place in zip(self.axes, places, strict=True))


def _one_budget(layers: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """All words, of budgets those of the last layer that names one: there they replace the others."""
    naming = [place for place, layer in enumerate(layers) if any(map(_is_budget, layer))]
    return tuple(
        word for place, layer in enumerate(layers) for word in layer if not _is_budget(word) or place == naming[-1]
    )


def _is_budget(word: str) -> bool:
    return key_of(word).startswith("budget.")


def _without_own(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A tree without what is the sweep's and not the trial's."""
    return {node: value for node, value in tree.items() if node not in ("sweep", "launcher")}


def _bound_node(node: str, given: Any) -> tuple[Any, str]:
    bound = bind({node: given})[node]
    if node in LEFT_OUT:
        return bound, ""
    return bound, hash_of(_settings(node, bound))


def _settings(node: str, bound: Any) -> Any:
    """What of a node a number depends on: files by their content, no path."""
    if node == "data" and isinstance(bound, Mapping):
        return data_settings(bound)
    if node == "backbone" and isinstance(bound, Mapping) and (path := bound.get("weights")):
        file = weights_file(Path(path))
        return {**bound, "weights": file_hash(file) if file.is_file() else None}
    return bound


def _plain_change(setting: Setting) -> Changes | None:
    """{key: value} of one word with a value that nothing is made of; None of anything else."""
    if len(setting.words) != 1:
        return None
    override = parse(setting.words[0])
    value = override.value()
    if isinstance(value, str):
        value = None if "${" in value else str(value)
        return {tuple(key_of(setting.words[0]).split(".")): value} if value is not None else None
    is_plain = value is None or isinstance(value, bool | int | float)
    return {tuple(key_of(setting.words[0]).split(".")): value} if is_plain else None


def _differences(there: Any, now: Any, where: Leaf = ()) -> Changes:
    if isinstance(there, dict) and isinstance(now, dict):
        found: Changes = {}
        for key in {**there, **now}:
            found |= _differences(there.get(key, _GONE), now.get(key, _GONE), (*where, key))
        return found
    same = type(there) is type(now) and there == now
    return {} if same else {where: now}


def _apply(tree: dict[str, Any], changes: Changes) -> None:
    for leaf, value in changes.items():
        node: Any = tree
        for key in leaf[:-1]:
            node = node[key]
        if value is _GONE:
            node.pop(leaf[-1], None)
        else:
            node[leaf[-1]] = copy.deepcopy(value)


def refuse_empty(axes: Sequence[Axis]) -> None:
    """Raises ConfigError where an axis has no setting."""
    if empty := [axis.key or "points" for axis in axes if not axis.settings]:
        raise ConfigError(f"the axis {empty[0]} has no values, so that the product is empty")
