"""What a command is to the dispatcher and to its help."""

from collections.abc import Callable
from dataclasses import dataclass

from vssl.cli.arguments import Arguments


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
        configured: takes `key=value` of the configuration.
        flags: its flags beside those that every command has.
    """

    name: str
    summary: str
    description: str
    examples: tuple[str, str, str]
    run: Callable[[Arguments], int]
    first: str | None = None
    paths: tuple[str, ...] = ()
    configured: bool = True
    flags: tuple[str, ...] = ()
