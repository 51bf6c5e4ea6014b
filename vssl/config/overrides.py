"""`key=value` arguments: Hydra's grammar, our messages."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from vssl.config.errors import ConfigError, nearest
from vssl.config.folders import ConfigFolders
from vssl.config.problems import listed, refuse_if_any
from vssl.config.sets import GROUP, refuse_odd_name, set_named

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

SET_GROUP = "eval"  # the one group of which several choices may be made at once
_KEY = r"[+~]*[A-Za-z_][\w./@]*"
_OVERRIDE = re.compile(rf"(?:{_KEY}=.*|~[A-Za-z_][\w./@]*)", re.DOTALL)


def is_override(word: str) -> bool:
    """Whether an argument is `key=value` (or `~key`): what stands before its first `=` is a Hydra key."""
    return _OVERRIDE.fullmatch(word) is not None


@dataclass(frozen=True)
class Choice:
    """`group=choice`; several choices in `SET_GROUP`, none for `group=null` and `~group`."""

    group: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Member:
    """`data.sets.NAME=choice`: a choice of the group `data`, composed at that key."""

    key: str
    choice: str


@dataclass(frozen=True)
class Value:
    """`a.b=value`, and `~a.b`, where nothing is left at the key."""

    key: str
    value: Any
    action: Literal["set", "delete"] = "set"


def read_overrides(words: Sequence[str], folders: ConfigFolders) -> list[Choice | Member | Value]:
    """Every override, checked against the groups and choices that there are.

    Raises:
        ConfigError: syntax, unknown group or choice, an axis where there can be none; all of them in one message.
    """
    found: list[Choice | Member | Value] = []
    problems: list[str] = []
    for word in words:
        try:
            found.append(_read(word, folders))
        except ConfigError as error:
            problems.append(str(error))
    refuse_if_any(problems)
    return found


def split_axes(words: Iterable[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Divides overrides into fixed ones and axes: `seed=0,1,2` gives `{"seed": ["seed=0", "seed=1", "seed=2"]}`.

    `eval=knn,linear` is a set and no axis.
    """
    fixed: list[str] = []
    axes: dict[str, list[str]] = {}
    for word in words:
        override = parse(word)
        key = override.get_key_element().lstrip("+")
        if not override.is_sweep_override() or key == SET_GROUP:
            fixed.append(word)
            continue
        values = [str(value) for value in override.sweep_string_iterator()]
        axes[key] = [f"{key}={value}" for value in values]
    return fixed, axes


def parse(word: str) -> "Override":
    """One override by Hydra's grammar.

    Raises:
        ConfigError: it is none; says how to quote the value.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    if not is_override(word):
        raise ConfigError(f"{word!r} is not of the form key=value")
    try:
        return OverridesParser.create().parse_override(word)
    except HydraException as error:
        key, _, value = word.partition("=")
        raise ConfigError(
            f"{key}: the value {value!r} cannot be read; with special characters it must stand in quotes",
            f"'{key}={quoted(value)}'",
        ) from error


def quoted(text: str) -> str:
    """The text as a quoted value of Hydra's grammar, where a backslash is special before a quote only."""
    escaped = re.sub(r'(\\*)("|\Z)', lambda found: found[1] * 2 + ('\\"' if found[2] else ""), text)
    return f'"{escaped}"'


def _read(word: str, folders: ConfigFolders) -> Choice | Member | Value:
    refuse_odd_name(word)
    override = parse(word)
    key = override.key_or_group
    if key in folders.groups:
        return _choice(key, override, folders)
    if "/" in key or override.package is not None:
        name = override.get_key_element().lstrip("+~")
        hint = f"a folder or file of that name is given as ./{word}" if "/" in key else None
        raise ConfigError(f"{name}: there is no such group; the groups are {listed(folders.groups)}", hint)
    if override.is_sweep_override():
        raise ConfigError(
            f"{word}: a comma makes an axis; only sweep and bench take axes",
            f"a list is given as '{key}=[...]', a comma in a text as '{key}=\"...\"'",
        )
    if override.is_delete():
        return Value(key, None, "delete")
    value = override.value()
    if set_named(key) and not isinstance(value, dict):
        return Member(key, _known(key, GROUP, str(value), folders))
    return Value(key, value)


def _choice(group: str, override: "Override", folders: ConfigFolders) -> Choice:
    if override.package is not None:
        raise ConfigError(f"{group}@{override.package}: give the group alone, {group}=...")
    return Choice(group, tuple(_known(group, group, name, folders) for name in _names(group, override)))


def _known(key: str, group: str, name: str, folders: ConfigFolders) -> str:
    choices = folders.choices(group)
    if name not in choices:
        raise ConfigError(
            f"{key}={name}: {group} has no choice '{name}'{nearest(name, choices)}; choices: {listed(choices)}"
        )
    return name


def _names(group: str, override: "Override") -> tuple[str, ...]:
    if override.is_sweep_override():
        if group != SET_GROUP:
            raise ConfigError(f"{override.input_line}: a comma makes an axis; only sweep and bench take axes")
        return tuple(override.sweep_string_iterator())
    value = None if override.is_delete() else override.value()
    if value is None:
        return ()
    if isinstance(value, list):
        if group != SET_GROUP:
            raise ConfigError(f"{override.input_line}: of {group} one choice is made; only {SET_GROUP} takes several")
        return tuple(str(name) for name in value)
    return (str(value),)
