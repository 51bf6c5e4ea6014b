"""The data sets of a mix: `data.sets.NAME` is composed from the group `data`, and takes what `data` takes."""

import re
from collections.abc import Mapping
from typing import Any

from vssl.config.errors import ConfigError

GROUP, SETS = "data", "data.sets"
HANDED_DOWN = "num_videos"  # what is given to the mix itself holds for each of its sets
_OF_SET = re.compile(r"data\.sets\.([A-Za-z_]\w*)(?:\.|$)")


def refuse_odd_name(word: str) -> None:
    """Raises ConfigError where `data.sets.NAME=...` has a name that is none; the grammar would say less."""
    key = word.partition("=")[0].lstrip("+~")
    if key.startswith(f"{SETS}.") and not _OF_SET.match(key):
        name = key.removeprefix(f"{SETS}.")
        raise ConfigError(f"{SETS}: a set is named {name!r}, allowed are letters, digits and _")


def set_named(key: str) -> str | None:
    """`shapes` of `data.sets.shapes`, where a choice of `data` is made; None of every other key."""
    found = _OF_SET.fullmatch(key)
    return found[1] if found else None


def as_alone(key: str) -> str:
    """`data.root` of `data.sets.shapes.root`: the key as it would be without a mix."""
    return _OF_SET.sub(f"{GROUP}.", key, count=1)


def hand_down(tree: Mapping[str, Any]) -> None:
    """Moves a number of videos from the mix to its sets, in place; those that give one of their own keep it."""
    node = tree.get(GROUP)
    sets = node.get("sets") if isinstance(node, Mapping) else None
    if not isinstance(node, dict) or not isinstance(sets, Mapping) or HANDED_DOWN not in node:
        return
    value = node.pop(HANDED_DOWN)
    for one in sets.values():
        if isinstance(one, dict):
            one.setdefault(HANDED_DOWN, value)
