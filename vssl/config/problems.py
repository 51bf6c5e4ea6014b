"""Several problems, one message."""

from collections.abc import Sequence

from vssl.config.errors import ConfigError


def refuse_if_any(problems: Sequence[str]) -> None:
    """Raises one ConfigError that names every problem, or returns where there is none."""
    distinct = list(dict.fromkeys(problems))
    if len(distinct) == 1:
        raise ConfigError(distinct[0])
    if distinct:
        lines = "".join(f"\n  {problem}" for problem in distinct)
        raise ConfigError(f"{len(distinct)} problems in the configuration:{lines}")


def listed(names: Sequence[str]) -> str:
    """`a, b, c`, or `(none)`."""
    return ", ".join(names) if names else "(none)"
