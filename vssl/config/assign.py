"""Values of the command line, set in a composed tree. Whether a key is known is for binding to say."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from vssl.config.errors import ConfigError, nearest
from vssl.config.overrides import Value
from vssl.config.problems import listed, refuse_if_any


def set_values(config: DictConfig, values: Sequence[Value]) -> None:
    """Sets and deletes in the order given; later ones win.

    Raises:
        ConfigError: a root key that is not there, a node replaced by a scalar, a place in a list that is not there,
            nothing to delete.
    """
    problems = []
    for value in values:
        try:
            _set(config, value)
        except ConfigError as error:
            problems.append(str(error))
    refuse_if_any(problems)


def set_verbatim(config: DictConfig, values: Mapping[str, Any]) -> None:
    """Sets paths and whole nodes in which nothing may be interpreted; what was there is replaced."""
    for key, value in values.items():
        OmegaConf.update(config, key, verbatim(value), merge=False, force_add=True)


def verbatim(value: Any) -> Any:
    """Escapes `${` in every text, so that it stays text."""
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", lambda found: found.group(1) * 2 + r"\${", value)
    if isinstance(value, Mapping):
        return {key: verbatim(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [verbatim(item) for item in value]
    return value


def _set(config: DictConfig, override: Value) -> None:
    key, value = override.key, override.value
    if override.action == "delete":
        return _delete(config, key)
    present = OmegaConf.select(config, key)
    if isinstance(present, DictConfig) and not isinstance(value, dict) and "." not in key:
        keys = listed([f"{key}.{name}" for name in map(str, present)])
        raise ConfigError(f"{key}={value}: {key} is no single value; its keys are {keys}")
    try:
        OmegaConf.update(config, key, value, merge=True, force_add=True)
    except (ValueError, IndexError) as error:
        raise ConfigError(f"{key}: {str(error).splitlines()[0]}") from error


def _delete(config: DictConfig, key: str) -> None:
    parent_key, _, name = key.rpartition(".")
    parent = OmegaConf.select(config, parent_key) if parent_key else config
    there = [str(other) for other in parent] if isinstance(parent, DictConfig) else []
    if name not in there:
        raise ConfigError(f"~{key}: there is nothing to remove{nearest(name, there)}")
    with open_dict(parent):
        del parent[name]
