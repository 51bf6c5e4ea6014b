"""The constructor's signature is the schema: what may be given to a class, and what is filled in."""

import dataclasses
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, get_type_hints

from vssl.config.errors import ConfigError

NOTHING: Any = inspect.Parameter.empty


@dataclass(frozen=True)
class Argument:
    """One parameter of a constructor; `default` is `NOTHING` where it must be given."""

    annotation: Any
    default: Any = NOTHING


@dataclass(frozen=True)
class Schema:
    """All that a constructor takes by name.

    Args:
        arguments: those with names of their own, inherited ones last.
        extra: the annotation of `**views: View`, which takes any further key; `NOTHING` where the list is closed.
    """

    arguments: dict[str, Argument]
    extra: Any = NOTHING


@cache
def schema_of(cls: type) -> Schema:
    """The schema of a class.

    `**shared` without an annotation stands for the arguments of the next class with a constructor of its own.

    Raises:
        ConfigError: an annotation names what does not exist at run time.
    """
    arguments: dict[str, Argument] = {}
    for owner in _constructors(cls):
        hints = _hints(owner)
        parameters = list(inspect.signature(owner.__init__).parameters.values())[1:]  # type: ignore[misc]
        for parameter in parameters:
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                argument = Argument(hints.get(parameter.name, Any), _default(owner, parameter))
                arguments.setdefault(parameter.name, argument)
        rest = next((parameter for parameter in parameters if parameter.kind is parameter.VAR_KEYWORD), None)
        if rest is None:
            return Schema(arguments)
        if rest.name in hints:
            return Schema(arguments, hints[rest.name])
    return Schema(arguments)


def _constructors(cls: type) -> Iterator[type]:
    return (owner for owner in cls.__mro__ if "__init__" in vars(owner) and owner is not object)


def _hints(owner: type) -> dict[str, Any]:
    try:
        return get_type_hints(owner.__init__)  # type: ignore[misc]
    except NameError as error:
        hint = "import what the annotations of a constructor name at the top of its module, not under TYPE_CHECKING"
        raise ConfigError(f"{owner.__module__}.{owner.__qualname__}: {error} at run time", hint) from error


def _default(owner: type, parameter: inspect.Parameter) -> Any:
    if dataclasses.is_dataclass(owner):
        made = {field.name: field.default_factory for field in dataclasses.fields(owner)}
        factory = made.get(parameter.name, dataclasses.MISSING)
        if factory is not dataclasses.MISSING:
            return factory()
    return parameter.default
