"""From a bound configuration back to the words that make it: names of the groups, and whatever they do not say.

Nothing is imported for it: defaults are read from the source, and what cannot be found there is said in full.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from vssl.config.compose import compose
from vssl.config.errors import UserError
from vssl.config.folders import ConfigFolders, read_yaml
from vssl.config.nodes import TARGET
from vssl.config.overrides import quoted
from vssl.config.paths import is_path
from vssl.config.signatures import ClassText, describe
from vssl.report.differences import flat

GROUPS = ("method", "backbone", "data", "views")
"""Whose choice a record names."""
_NODES = ("seed", "clip", "data", "views", "backbone", "method", "optim", "train", "budget", "trainer")
_FIRST = ("clip", "budget")  # others refer to the clip, and one budget takes the place of another
_PLAIN = re.compile(r"[A-Za-z_][\w./-]*")
_OWN_WORDS = ("null", "true", "false", "none", "yes", "no", "on", "off", "inf", "nan")
_MISSING = object()

Tree = Mapping[str, Any]


def recipe(config: Tree, names: Mapping[str, str]) -> list[str]:
    """Words for `vssl pretrain`.

    Args:
        config: bound configuration of a run.
        names: {group: choice}, as its record has them.
    Raises:
        UserError: a choice that is not among the installed ones.
    """
    chosen = _chosen(config, names)
    composed = composed_of(tuple(chosen))
    first = [word for node in _FIRST for word in _node(node, config.get(node), composed.get(node))]
    first = [word for word in first if not word.endswith("=null")]
    composed = composed_of((*chosen, *first))
    words = [word for node in _NODES for word in _node(node, config.get(node), composed.get(node))]
    return [*chosen, *first, *words]


def settings(node: str, own: object, composed: object) -> list[str]:
    """Words for all leaves of one node that its composed form and its class do not say."""
    return list(_node(node, own, composed))


@cache
def composed_of(words: tuple[str, ...]) -> dict[str, Any]:
    """The tree that some choices make, before any value is set."""
    return compose(words).tree


def _chosen(config: Tree, names: Mapping[str, str]) -> list[str]:
    """The groups that the record names, and those of which these propose another class."""
    words = [f"{group}={name}" for group in GROUPS if (name := names.get(group))]
    tree = composed_of(tuple(words))
    for group in ("optim", "train"):
        target = (config.get(group) or {}).get(TARGET)
        if target and target != (tree.get(group) or {}).get(TARGET):
            words += [f"{group}={choice}" for choice in _choices(group, target)[:1]]
    return words


def _choices(group: str, target: str) -> list[str]:
    files = ConfigFolders.find().files[group]
    return [choice for choice, path in files.items() if read_yaml(path).get(TARGET) == target]


def paths_of(config: Tree) -> list[str]:
    """Words for the paths that a configuration holds, run settings apart."""
    leaves = flat({node: config.get(node) for node in _NODES})
    return [_word(key, value) for key, value in leaves.items() if is_path(key) and value is not None]


def _node(key: str, own: object, composed: object) -> Iterator[str]:
    if not isinstance(own, Mapping):
        if own != composed:
            yield _word(key, own)
        return
    known = composed if isinstance(composed, Mapping) else {}
    defaults = _defaults(own.get(TARGET) or known.get(TARGET))
    for name, value in own.items():
        place = f"{key}.{name}"
        there = known.get(name, defaults.get(name, _MISSING))
        if name == TARGET:
            if value != known.get(TARGET, value):
                yield _word(place, value)
        elif isinstance(value, Mapping):
            yield from _node(place, value, there)
        elif there is _MISSING or not _equal(value, there):
            yield _word(place, value)


def _defaults(target: object) -> dict[str, Any]:
    """Of a constructor: those written as plain values, and those of the plain classes that its arguments are of."""
    text = _described(target) if isinstance(target, str) else None
    if text is None:
        return {}
    module = str(target).rpartition(".")[0]
    found: dict[str, Any] = {}
    for argument in text.arguments:
        if argument.default is None:
            continue
        try:
            found[argument.name] = ast.literal_eval(argument.default)
        except ValueError:  # a call of a class: its own defaults
            inner = argument.annotation.partition(" ")[0]
            if argument.default == f"{inner}()":
                found[argument.name] = _defaults(f"{module}.{inner}")
    return found


@cache
def _described(target: str) -> ClassText | None:
    try:
        return describe(target)
    except UserError:
        return None


def _equal(own: object, other: object) -> bool:
    if isinstance(own, list | tuple) and isinstance(other, list | tuple):
        return len(own) == len(other) and all(map(_equal, own, other))
    return own == other and isinstance(own, bool) == isinstance(other, bool)


def _word(key: str, value: object) -> str:
    return f"{key}={value if is_path(key) and value is not None else _value(value)}"


def _value(value: object) -> str:
    """In the grammar of overrides."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_value, value)) + "]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{name}:{_value(one)}" for name, one in value.items()) + "}"
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and value.lower() not in _OWN_WORDS
        return value if plain else quoted(value)
    return repr(value)


def same(config: Tree, other: Tree) -> bool:
    """Whether two bound configurations train the same."""
    return flat({node: config.get(node) for node in _NODES}) == flat({node: other.get(node) for node in _NODES})
