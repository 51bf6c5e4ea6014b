"""Exactly one budget: of several places that name one, the highest wins."""

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from vssl.config.folders import read_yaml
from vssl.config.problems import refuse_if_any

LIMITS = ("epochs", "steps", "samples", "clips", "flops", "seconds")
# From the highest place down, below the command line, above the main file.
GROUPS = ("scale", "experiment", "bench", "sweep")


def places(
    given: Iterable[tuple[str, Any]], chosen: Mapping[str, Path], main: Mapping[str, Any]
) -> list[tuple[str, tuple[str, ...]]]:
    """(place, limits named there) for every place that names a limit, from the highest down.

    Args:
        given: dotted keys and values of the command line.
        chosen: the file chosen of each group.
        main: the main configuration file.
    """
    command_line: dict[str, Any] = {}
    for key, value in given:
        if key.startswith("budget."):
            command_line[key.removeprefix("budget.")] = value
        elif key == "budget" and isinstance(value, Mapping):
            command_line.update(value)
    nodes: list[tuple[str, Mapping[str, Any]]] = [("the command line", command_line)]
    nodes += [(str(chosen[group]), read_yaml(chosen[group]).get("budget") or {}) for group in GROUPS if group in chosen]
    nodes.append(("the main configuration", main.get("budget") or {}))
    named = [(place, tuple(name for name in LIMITS if node.get(name) is not None)) for place, node in nodes]
    return [(place, limits) for place, limits in named if limits]


def keep_highest(budget: MutableMapping[str, Any], named: Sequence[tuple[str, tuple[str, ...]]]) -> None:
    """Removes from the composed node every limit that the highest place does not name.

    Raises:
        ConfigError: that place names two.
    """
    if not named:
        return
    place, limits = named[0]
    if len(limits) > 1:
        refuse_if_any([f"budget: {place} gives {' and '.join(limits)}; exactly one of {', '.join(LIMITS)} is a budget"])
    for name in LIMITS:
        if name not in limits:
            budget.pop(name, None)
