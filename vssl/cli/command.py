"""What a command is to the dispatcher and to its help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vssl.cli.arguments import Arguments


@dataclass(frozen=True)
class Key:
    """A key that only one command knows.

    Args:
        told: what it is, in a line.
        target: import path of the class whose argument it is, under the name past its last dot; help shows the default.
    """

    name: str
    told: str
    target: str


@dataclass(frozen=True)
class Command:
    """One command.

    Args:
        summary: one line for the list of commands.
        description: what it does, reads and writes.
        examples: three complete lines.
        run: does it and returns the exit code.
        first: what FIRST stands for in the usage line; None: the command takes none.
        paths: path keys beside those of the configuration.
        keys: its other keys beside those of the configuration.
        configured: takes `key=value` of the configuration.
        flags: its flags beside those that every command has.
        parts: commands of their own, named by the word after this one; then it does nothing itself.
    """

    name: str
    summary: str
    description: str
    examples: tuple[str, str, str]
    run: Callable[[Arguments], int]
    first: str | None = None
    paths: tuple[str, ...] = ()
    keys: tuple[Key, ...] = ()
    configured: bool = True
    flags: tuple[str, ...] = ()
    parts: tuple[Command, ...] = ()
