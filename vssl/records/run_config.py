"""The bound configuration that a run keeps, read back whole or refused."""

import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

from vssl.config.errors import ConfigError, UserError
from vssl.config.folders import read_yaml
from vssl.config.sets import as_alone

CONFIG = "config.yaml"

# Every run has them, and the last comes last in the file: one that was cut short lacks it. An import has three alone.
_NEEDED = ("seed", "clip", "data", "backbone", "views", "method")
IMPORTED = ("seed", "clip", "backbone")


# What may differ between two starts of one run: where it lies, how fast it goes, who watches.
_MAY_DIFFER = (
    "run", "logger", "eval", "backbone.weights", "data.prepared_gb", "data.max_bad_fraction",
    "data.max_missing_fraction", "data.outside_root",
)  # fmt: skip


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


def other_than(run: Path, bound: dict[str, Any], apart: Collection[str] = ()) -> list[str]:
    """`key: there this, now that` for all that makes `bound` another run than the one in the folder `run`.

    Args:
        apart: keys or nodes that do not count, besides those that may differ between two starts of a run.
    """
    may_differ = {*_MAY_DIFFER, *apart}
    return [
        f"{key}: there {there!r}, now {now!r}"
        for key, there, now in differences(read_config(run), bound)
        if as_alone(key) not in may_differ and key.split(".")[0] not in may_differ
    ]


def differences(there: Any, now: Any, where: str = "") -> list[tuple[str, Any, Any]]:
    """(dotted key, value there, value now) for every leaf that differs."""
    if isinstance(there, dict) and isinstance(now, dict):
        return [
            found
            for key in sorted({*there, *now})
            for found in differences(there.get(key), now.get(key), f"{where}.{key}" if where else key)
        ]
    if isinstance(there, list | tuple) and isinstance(now, list | tuple):
        same = len(there) == len(now) and not any(differences(*pair) for pair in zip(there, now, strict=True))
        return [] if same else [(where, there, now)]
    same = there == now or (isinstance(there, float) and isinstance(now, float) and math.isclose(there, now))
    return [] if same else [(where, there, now)]
