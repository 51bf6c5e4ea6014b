"""What differs between two configurations or stamps, in words."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

SHOWN = 3
_LONGEST = 40


def flat(tree: object, prefix: str = "") -> dict[str, object]:
    """Nested mappings as {dotted key: leaf}; a sequence is a leaf, an empty mapping is left out."""
    if not isinstance(tree, Mapping):
        return {prefix: tree}
    return {
        key: leaf
        for name, value in tree.items()
        for key, leaf in flat(value, f"{prefix}.{name}" if prefix else str(name)).items()
    }


def differing(trees: Sequence[Mapping[str, Any]]) -> list[str]:
    """Dotted keys whose values are not the same in all of `trees`, sorted."""
    leaves = [flat(tree) for tree in trees]
    keys = sorted({key for leaf in leaves for key in leaf})
    return [key for key in keys if any(leaf.get(key) != leaves[0].get(key) for leaf in leaves[1:])]


def told(own: Mapping[str, Any], reference: Mapping[str, Any], prefix: str = "") -> str:
    """`"k=5, not 20; temperature=0.1, not 0.07"`; at most `SHOWN` of them. Empty where nothing differs."""
    keys = differing([own, reference])
    mine, theirs = flat(own), flat(reference)
    parts = [f"{prefix}{key}={', not '.join(_both(mine.get(key), theirs.get(key)))}" for key in keys[:SHOWN]]
    more = [f"{len(keys) - SHOWN} more"] if len(keys) > SHOWN else []
    return "; ".join(parts + more)


def _both(own: object, other: object) -> tuple[str, str]:
    """Both in short, or in full where short they look the same."""
    short = shown(own), shown(other)
    return short if short[0] != short[1] else (str(own), str(other))


def shown(value: object) -> str:
    """A value in one short piece: hashes by their first 8 digits, long lists cut."""
    if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value):
        return value[:8]
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        value = "[" + ", ".join(shown(one) for one in value) + "]"
    text = "none" if value is None else str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
