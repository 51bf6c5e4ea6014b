"""Keys that only one command knows, from words to arguments of the classes that they belong to."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vssl.cli.arguments import Arguments


def own_arguments(words: Iterable[str], classes: Mapping[str, Sequence[type]]) -> dict[type, dict[str, Any]]:
    """`{class: arguments}`, checked against the constructors' annotations.

    Args:
        words: `key=value`, every key known to be one of the command's own.
        classes: by what stands before the last dot of a key, dot included; no two of a prefix share an argument.
    Raises:
        ConfigError: a value is of a wrong kind; all of them in one message.
    """
    from vssl.config.problems import refuse_if_any
    from vssl.config.schema import schema_of
    from vssl.config.values import Binder

    binder = Binder()
    given: dict[type, dict[str, Any]] = {cls: {} for group in classes.values() for cls in group}
    for word in words:
        key, _, text = word.partition("=")
        prefix, name = _divided(key)
        (cls,) = (cls for cls in classes[prefix] if name in schema_of(cls).arguments)
        given[cls][name] = binder.value(_plain(text), schema_of(cls).arguments[name].annotation, key).plain()
    refuse_if_any(binder.problems)
    return given


def take_own(arguments: Arguments, command: str, keys: Iterable[str], prefix: str) -> tuple[list[str], tuple[str, ...]]:
    """Divides the overrides of a command that takes the configuration as well: its own words, and all others.

    Args:
        prefix: that all of its own keys begin with; a key under it that is not among `keys` is refused.
    Raises:
        UserError: an unknown key, with the nearest right one.
    """
    from vssl.config.errors import UserError, nearest

    keys = list(keys)
    own = [word for word in arguments.overrides if word.lstrip("+~").startswith(prefix)]
    for word in own:
        key = word.partition("=")[0]
        if key not in keys or "=" not in word:
            suggestion = nearest(key.lstrip("+~"), keys)
            takes = ", ".join(f"{name}=" for name in keys)
            raise UserError(f"{command} does not take {word}{suggestion}; it takes {takes}")
    return own, tuple(word for word in arguments.overrides if word not in own)


def _divided(key: str) -> tuple[str, str]:
    before, dot, name = key.rpartition(".")
    return before + dot, name


def _plain(text: str) -> float | bool | str:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
