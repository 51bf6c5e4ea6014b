"""`vssl config`: what a command would really use."""

from typing import TYPE_CHECKING, Any

from vssl.cli.arguments import CONFIG_DIR, Arguments
from vssl.cli.command import Command
from vssl.cli.configure import bound_configuration
from vssl.config.folders import MAIN, ConfigFolders

if TYPE_CHECKING:
    from vssl.config.compose import Composed


def run(arguments: Arguments) -> int:
    from vssl.config.render import to_yaml

    composed, bound = bound_configuration(arguments)
    print("\n".join(f"# {line}" for line in (*_sources(arguments, composed), *_hashes(bound))))
    print()
    print(to_yaml(bound), end="")
    return 0


def _sources(arguments: Arguments, composed: "Composed") -> list[str]:
    root = ConfigFolders.find(arguments.config_dirs).roots[0]
    files = [f"{group:<10} {file}" for group, found in sorted(composed.files.items()) for file in found]
    given = [f"{'override':<10} {word}" for word in composed.overrides]
    return ["sources", f"{'main':<10} {root / f'{MAIN}.yaml'}", *files, *given]


def _hashes(bound: dict[str, Any]) -> list[str]:
    from vssl.records.hashes import part_hashes

    hashes = part_hashes(bound, data_content="")
    known = [f"{part:<10} {digest}" for part, digest in hashes.items() if part != "data"]
    return ["hashes (that of the data needs its files)", *known]


COMMAND = Command(
    name="config",
    summary="the composed and bound configuration, its sources and hashes; nothing is run",
    description=(
        "Prints, as YAML, every value that the same key=value would give pretrain, the constructors' defaults "
        "included; above it, as comments, the files it comes from and the hashes that go into records."
    ),
    examples=(
        "vssl config method=simsiam",
        "vssl config method=videomae method.mask_ratio=0.9 scale=smoke",
        "vssl config bench=quick",
    ),
    run=run,
    flags=(CONFIG_DIR,),
)
