"""Errors that people read: one message, an exit code, the nearest right name."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """The request is wrong; nothing was started or written. Printed without a traceback; exit code 2."""

    exit_code = 2

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message if hint is None else f"{message}\n  hint: {hint}")


class ConfigError(UserError):
    """A key, value or choice of the configuration is wrong."""


class WorkError(UserError):
    """The request was right and the work failed; exit code 1."""

    exit_code = 1


def nearest(name: str, options: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` for the closest of `options`, or an empty string where none is close."""
    matches = difflib.get_close_matches(name, list(options), n=1, cutoff=0.6)
    return f"; did you mean '{matches[0]}'?" if matches else ""
