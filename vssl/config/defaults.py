"""Defaults of a signature as plain data: an object becomes the mapping that would describe it."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vssl.config.annotations import members
from vssl.config.imports import target_of
from vssl.config.nodes import TARGET
from vssl.config.schema import NOTHING, schema_of


def plain_default(default: Any, annotation: Any) -> Any:
    """`Schedule(warmup=0.1)` becomes `{"warmup": 0.1, ...}`, with `_target_` where the annotation names another class.

    Raises:
        AttributeError: the object does not keep a constructor argument under its name; such a default cannot be stored.
    """
    if default is None or default is NOTHING or isinstance(default, bool | int | float | str):
        return default
    if isinstance(default, Path):
        return str(default)
    if isinstance(default, list | tuple):
        return type(default)(plain_default(item, Any) for item in default)
    if isinstance(default, Mapping):
        return {key: plain_default(value, Any) for key, value in default.items()}
    cls: type = type(default)
    described = cls in members(annotation) and dataclasses.is_dataclass(cls)
    head = {} if described else {TARGET: target_of(cls)}
    arguments = schema_of(cls).arguments
    return head | {name: plain_default(getattr(default, name), part.annotation) for name, part in arguments.items()}


def filled_up(given: Any, default: Any) -> Any:
    """A mapping without a class of its own changes single values of a default object and leaves its others."""
    if not isinstance(given, Mapping) or not isinstance(default, Mapping) or TARGET in given:
        return given
    merged = {key: filled_up(value, default.get(key)) for key, value in given.items()}
    return {**default, **merged}
