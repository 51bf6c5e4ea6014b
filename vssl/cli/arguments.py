"""The words after a command: FIRST, `key=value`, flags."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vssl.config.errors import UserError, nearest
from vssl.config.overrides import is_override
from vssl.config.paths import is_path, take_paths
from vssl.config.problems import listed

HELP = ("--help", "-h")
TRACEBACK = "--traceback"
CONFIG_DIR = "--config-dir"


@dataclass(frozen=True)
class Arguments:
    """What a command was asked for.

    Args:
        first: the one folder, file or name that it is about.
        more: further ones, of a command that takes several.
        overrides: `key=value` for the override grammar, in order.
        paths: {dotted key: path} of the configuration, verbatim.
        own_paths: the same for the keys that only the command knows (`encoder`, `out`).
        config_dirs: the user's own configuration folders.
        flags: those given that take no value.
    """

    first: str | None = None
    overrides: tuple[str, ...] = ()
    paths: dict[str, str] = field(default_factory=dict)
    own_paths: dict[str, str] = field(default_factory=dict)
    config_dirs: tuple[Path, ...] = ()
    flags: frozenset[str] = frozenset()
    more: tuple[str, ...] = ()


def read_arguments(
    command: str, words: Sequence[str], *, first: str | None, own_paths: Sequence[str], configured: bool,
    flags: Sequence[str], own_keys: Sequence[str] = (),
) -> Arguments:  # fmt: skip
    """Sorts the words of one command.

    Args:
        first: what FIRST is called; None where the command takes none; with "..." at its end it may be several.
        own_paths: path keys beside those of the configuration.
        configured: whether it takes `key=value` of the configuration.
        flags: its flags beside `--help` and `--traceback`.
        own_keys: keys beside those of the configuration, without the paths.
    Raises:
        UserError: an unknown flag, a second FIRST, a key that the command does not take.
    """
    given_flags, config_dirs, plain = _take_flags(command, words, (*HELP, TRACEBACK, *flags))
    rest, paths = take_paths(plain)
    overrides = tuple(word for word in rest if is_override(word))
    firsts = [word for word in rest if not is_override(word)]
    if firsts and first is None:
        raise UserError(f"{command}: {firsts[0]!r} is not of the form key=value")
    if len(firsts) > 1 and not (first or "").endswith("..."):
        raise UserError(f"{command} takes one {first}; given are {listed([repr(word) for word in firsts])}")
    own = {key: value for key, value in paths.items() if key in own_paths}
    of_configuration = {key: value for key, value in paths.items() if key not in own}
    _refuse_keys(command, overrides, of_configuration, (*own_paths, *own_keys), configured)
    one = firsts[0] if firsts else None
    return Arguments(one, overrides, of_configuration, own, config_dirs, given_flags, tuple(firsts[1:]))


def _take_flags(
    command: str, words: Sequence[str], known: Sequence[str]
) -> tuple[frozenset[str], tuple[Path, ...], list[str]]:
    """Flags without values, the folders of `--config-dir`, and all other words."""
    flags: set[str] = set()
    config_dirs: list[Path] = []
    plain: list[str] = []
    remaining = iter(words)
    for word in remaining:
        name, equals, value = word.partition("=")
        if not word.startswith("-") or word == "-":
            plain.append(word)
        elif name == CONFIG_DIR and CONFIG_DIR in known:
            folder = value if equals else next(remaining, None)
            if not folder:
                raise UserError(f"{CONFIG_DIR} needs a folder: {CONFIG_DIR} DIR")
            config_dirs.append(Path(folder))
        elif word in known:
            flags.add(word)
        else:
            raise UserError(f"{command} has no flag {word!r}{nearest(name, known)}", f"its flags are {listed(known)}")
    return frozenset(flags), tuple(config_dirs), plain


def _refuse_keys(
    command: str, overrides: Sequence[str], paths: dict[str, str], own: Sequence[str], configured: bool
) -> None:
    unknown = [f"{key}={path}" for key, path in paths.items() if not (configured and is_path(key) and "." in key)]
    if not configured:
        unknown += [word for word in overrides if word.partition("=")[0] not in own]
    if unknown:
        own_keys = ", ".join(f"{key}=" for key in own) or "no keys"
        takes = "key=value of the configuration" if configured else own_keys
        suggestion = nearest(unknown[0].partition("=")[0], own)
        raise UserError(f"{command} does not take {unknown[0]}{suggestion}; it takes {takes}")
