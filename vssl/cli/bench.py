"""`vssl bench`: a named comparison, its table at the end."""

from vssl.cli.arguments import CONFIG_DIR, Arguments
from vssl.cli.command import Command
from vssl.cli.configure import DRY_RUN
from vssl.cli.sweep import KEYS, carry_out
from vssl.config.errors import UserError
from vssl.config.folders import ConfigFolders
from vssl.config.problems import listed


def run(arguments: Arguments) -> int:
    if arguments.first is None:
        names = ConfigFolders.find(arguments.config_dirs).choices("bench")
        raise UserError(f"bench needs the NAME of a bench, given is none; there are {listed(names)}")
    return carry_out("bench", arguments)


COMMAND = Command(
    name="bench",
    summary="a named comparison with a fixed recipe and a table at the end",
    description=(
        "Pretrains and evaluates every method of a named recipe, and the encoders without training beside them, and "
        "writes the table. Everything lies under <run.out>/bench/NAME. Run again, it makes what is missing and keeps "
        "what is there. Values of yours win over the recipe's; a comma makes an axis (seed=0,1,2). A bench is a sweep "
        "like any other: vssl sweep --help tells of launchers, of status and of clean."
    ),
    examples=(
        "vssl bench quick",
        "vssl bench quick seed=0,1,2",
        "vssl bench quick method=simsiam budget.steps=200 run.out=/tmp/runs",
    ),
    run=run,
    first="NAME",
    keys=KEYS,
    flags=(DRY_RUN, CONFIG_DIR),
)
