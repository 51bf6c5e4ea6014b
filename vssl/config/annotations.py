"""Type annotations, taken apart and told in messages."""

import dataclasses
import types
from typing import Any, Literal, Union, get_args, get_origin


def members(annotation: Any) -> tuple[Any, ...]:
    """The alternatives of a union; the annotation itself where it is none. Aliases are followed."""
    annotation = getattr(annotation, "__value__", annotation)  # `type Name = ...`
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(inner for member in get_args(annotation) for inner in members(member))
    return (annotation,)


def takes_mapping(annotation: Any) -> bool:
    """Whether a mapping can be meant for this annotation: a class of ours or a dictionary."""
    scalars = (int, float, bool, str, type(None), list, tuple)
    return (isinstance(annotation, type) and annotation not in scalars) or get_origin(annotation) is dict


def is_record(annotation: Any) -> bool:
    """Whether it is a dataclass, which a mapping without `_target_` can describe."""
    return isinstance(annotation, type) and dataclasses.is_dataclass(annotation)


def told(annotation: Any) -> str:
    """`int`, `float | null`, `'pyav' | 'prepared'`, `(float, float)`, `list of str`."""
    options = members(annotation)
    if len(options) > 1:
        return " | ".join(told(option) for option in options)
    (option,) = options
    origin, inner = get_origin(option), get_args(option)
    if origin is Literal:
        return " | ".join(shown(value) for value in inner)
    if origin is tuple and Ellipsis not in inner:
        return f"({', '.join(told(part) for part in inner)})"
    if origin is dict:
        return f"mapping to {told(inner[1])}"
    if origin is not None and inner:
        return f"list of {told(inner[0])}"
    if option is type(None):
        return "null"
    return str(getattr(option, "__name__", option))


def shown(value: Any) -> str:
    """A value as a YAML reader knows it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)
