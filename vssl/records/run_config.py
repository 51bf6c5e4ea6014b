"""The bound configuration that a run keeps, read back whole or refused."""

from pathlib import Path
from typing import Any

from vssl.config.errors import ConfigError, UserError
from vssl.config.folders import read_yaml

CONFIG = "config.yaml"

# Every run has them, and the last comes last in the file: one that was cut short lacks it. An import has three alone.
_NEEDED = ("seed", "clip", "data", "backbone", "views", "method")
IMPORTED = ("seed", "clip", "backbone")


def read_config(run: Path) -> dict[str, Any]:
    """`<run>/config.yaml`.

    Raises:
        UserError: there is none, or it is not whole; names the file and says what to do.
    """
    path = Path(run) / CONFIG
    again = "delete the file and give the run's pretrain command again: it writes the file, and goes on where it was"
    if not path.is_file():
        raise UserError(f"{path}: there is no such file, so {run} holds no run")
    try:
        config = read_yaml(path)
    except ConfigError as error:
        raise UserError(str(error), again) from error
    needed = IMPORTED if tuple(config) == IMPORTED else _NEEDED
    if missing := [key for key in needed if not config.get(key) and config.get(key) != 0]:
        raise UserError(f"{path}: not the whole configuration of a run: there is no {', '.join(missing)} in it", again)
    return config
