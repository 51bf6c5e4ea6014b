"""From files and overrides to one plain tree. Hydra composes the groups; values are set here, checked by binding."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from vssl.config import budget_rule
from vssl.config.assign import set_values, set_verbatim
from vssl.config.errors import ConfigError, nearest
from vssl.config.folders import MAIN, ConfigFolders
from vssl.config.overrides import SET_GROUP, Choice, Member, Value, quoted, read_overrides
from vssl.config.problems import listed, refuse_if_any
from vssl.config.sets import GROUP, hand_down, set_named

# What an evaluation takes over from the run it reads, unless another choice of that group is made.
TAKEN_OVER = ("data", "clip", "backbone", "seed")


@dataclass(frozen=True)
class Composed:
    """What was asked for, not yet compared with any constructor.

    Args:
        tree: plain mappings, lists and scalars; interpolations resolved.
        choices: {group: choice} of the groups of which one was chosen; of `eval` the names, joined by commas;
            none for what was taken over from a run. Of a mix also {"data.sets.NAME": choice}.
        overrides: what the user said, paths included.
        files: {group: file} of the choices, for messages and `vssl config`.
    """

    tree: dict[str, Any]
    choices: dict[str, str]
    overrides: list[str] = field(default_factory=list)
    files: dict[str, list[Path]] = field(default_factory=dict)


def compose(
    overrides: Sequence[str] = (),
    *,
    config_dirs: Sequence[Path] = (),
    base: Mapping[str, Any] | None = None,
    paths: Mapping[str, str] | None = None,
    root: Path | None = None,
) -> Composed:
    """Composes the main configuration, the chosen groups and the given values.

    Args:
        overrides: `group=choice` and `a.b=value`, in Hydra's grammar.
        config_dirs: further folders of groups and choices.
        base: bound tree of a finished run, whose `TAKEN_OVER` nodes replace those composed here.
        paths: {dotted key: path}, taken verbatim.
        root: another main configuration folder than the packaged one.
    Raises:
        ConfigError: unknown groups, choices and root keys, bad syntax, two budgets, unresolvable interpolations.
    """
    folders = ConfigFolders.find(config_dirs, root)
    asked = read_overrides(overrides, folders)
    picked = {override.group: override.names for override in asked if isinstance(override, Choice)}
    members = {override.key: override.choice for override in asked if isinstance(override, Member)}
    values = [override for override in asked if isinstance(override, Value)]
    with _our_messages():
        config, choices = _groups(folders, picked, members)
        _refuse_unknown_roots(values, set(folders.groups) | {str(key) for key in config})
        taken_over = {name: node for name, node in (base or {}).items() if name in TAKEN_OVER and name not in picked}
        if members and GROUP not in (*picked, *taken_over) and choices.get(GROUP) == folders.defaults.get(GROUP):
            raise ConfigError(f"{next(iter(members))}: {GROUP}={choices[GROUP]} is one data set", f"choose {GROUP}=mix")
        sets = {key: OmegaConf.to_container(OmegaConf.select(config, key)) for key in members}
        set_verbatim(config, taken_over)
        if GROUP in taken_over:
            set_verbatim(config, sets)
        set_values(config, values)
        set_verbatim(config, paths or {})
        tree = _plain(config)
    hand_down(tree)
    choices = {group: choice for group, choice in choices.items() if group not in taken_over} | members
    _one_budget(tree, values, choices, folders)
    said = [*overrides, *(f"{key}={value}" for key, value in (paths or {}).items())]
    return Composed(tree, choices, said, {group: _files(folders, group, choice) for group, choice in choices.items()})


def _groups(
    folders: ConfigFolders, picked: Mapping[str, tuple[str, ...]], members: Mapping[str, str]
) -> tuple[DictConfig, dict[str, str]]:
    """The composed groups before any value is set, and the choices, a method's proposals included."""
    words = [_hydra_word(group, names, folders) for group, names in picked.items()]
    words += [f"+{GROUP}@{key}={choice}" for key, choice in members.items()]
    if own := folders.roots[1:]:
        words.append(f"hydra.searchpath=[{','.join(quoted(f'file://{folder}') for folder in own)}]")
    with hydra.initialize_config_dir(str(folders.roots[0]), version_base="1.3"):
        config = hydra.compose(MAIN, [word for word in words if word], return_hydra_config=True)
    known = {str(group): choice for group, choice in config.hydra.runtime.choices.items()}
    choices = {group: str(choice) for group, choice in known.items() if group in folders.groups and choice is not None}
    # Hydra does not report a choice of several; each of them is composed at a key of its own name.
    together = config.get(SET_GROUP) or {}
    if several := [name for name in folders.choices(SET_GROUP) if name in together]:
        choices[SET_GROUP] = ",".join(several)
    with open_dict(config):
        del config["hydra"]
    return config, choices


def _hydra_word(group: str, names: tuple[str, ...], folders: ConfigFolders) -> str | None:
    listed_in_main = group in folders.defaults
    if not names:
        several = isinstance(folders.defaults.get(group), list)
        return (f"{group}=[]" if several else f"~{group}") if listed_in_main else None
    value = f"[{','.join(names)}]" if group == SET_GROUP else names[0]
    return f"{group}={value}" if listed_in_main else f"+{group}={value}"


def _refuse_unknown_roots(values: Sequence[Value], known: set[str]) -> None:
    roots = {value.key: value.key.split(".")[0] for value in values}
    refuse_if_any(
        [
            f"{key}: there is no '{root}'{nearest(root, known)}; at the top there are {listed(sorted(known))}"
            for key, root in roots.items()
            if root not in known
        ]
    )


def _plain(config: DictConfig) -> dict[str, Any]:
    tree = OmegaConf.to_container(config, resolve=True)
    assert isinstance(tree, dict), "the main configuration is a mapping"
    return {str(key): value for key, value in tree.items()}


def _one_budget(
    tree: dict[str, Any], values: Sequence[Value], choices: Mapping[str, str], folders: ConfigFolders
) -> None:
    if not isinstance(tree.get("budget"), dict):
        return
    given = [(value.key, value.value) for value in values]
    chosen = {group: _files(folders, group, choices[group])[0] for group in budget_rule.GROUPS if group in choices}
    budget_rule.keep_highest(tree["budget"], budget_rule.places(given, chosen, folders.main))


def _files(folders: ConfigFolders, group: str, choice: str) -> list[Path]:
    return [folders.files[GROUP if set_named(group) else group][name] for name in choice.split(",")]


@contextmanager
def _our_messages() -> Iterator[None]:
    """What Hydra, OmegaConf and YAML refuse in a configuration file, as a ConfigError."""
    try:
        yield
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key or 'configuration'}: {str(error).splitlines()[0]}") from error
    except (HydraException, yaml.YAMLError) as error:
        first = str(error).strip().partition("\n\n")[0]
        raise ConfigError(f"the configuration files cannot be composed: {first}") from error
