"""From the arguments of a command to a composed and bound configuration."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vssl.cli.arguments import Arguments
from vssl.config.errors import ConfigError
from vssl.config.folders import ConfigFolders
from vssl.config.problems import listed

if TYPE_CHECKING:
    from vssl.config.compose import Composed

DRY_RUN = "--dry-run"


def bound_configuration(
    arguments: Arguments, needed: Sequence[str] = (), base: Mapping[str, Any] | None = None
) -> tuple["Composed", dict[str, Any]]:
    """Composes and binds.

    Args:
        needed: nodes without which the command makes no sense.
        base: bound configuration of the run that the command reads.
    Raises:
        ConfigError: everything that is wrong with it.
    """
    from vssl.config.bind import bind
    from vssl.config.compose import compose

    composed = compose(arguments.overrides, config_dirs=arguments.config_dirs, base=base, paths=arguments.paths)
    if composed.tree.get("launcher"):
        raise ConfigError("launcher= says where the trials of a sweep run", "give it to vssl sweep or vssl bench")
    for group in needed:
        if not composed.tree.get(group):
            choices = ConfigFolders.find(arguments.config_dirs).choices(group)
            raise ConfigError(f"no {group} is chosen; choose {group}=..., one of {listed(choices)}")
    return composed, bind(composed.tree)


def dry_run(command: str, composed: "Composed") -> int:
    """Says that the configuration is right."""
    chosen = " ".join(f"{group}={choice}" for group, choice in sorted(composed.choices.items()))
    print(f"{command} would start with {chosen}\nThe configuration fits; nothing was started or written.")
    return 0
