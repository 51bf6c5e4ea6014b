"""`vssl bench`: a named comparison, its table at the end."""

from vssl.cli.arguments import CONFIG_DIR, Arguments
from vssl.cli.command import Command
from vssl.config.errors import UserError, nearest
from vssl.config.folders import ConfigFolders
from vssl.config.problems import listed


def run(arguments: Arguments) -> int:
    names = ConfigFolders.find(arguments.config_dirs).choices("bench")
    if arguments.first not in names:
        wrong = "" if arguments.first is None else f" '{arguments.first}'{nearest(arguments.first, names)}"
        raise UserError(f"bench needs the NAME of a bench, given is{wrong or ' none'}; there are {listed(names)}")
    from vssl.sweeps.bench import bench

    return bench(arguments.first, arguments.overrides, arguments.paths, arguments.config_dirs)


COMMAND = Command(
    name="bench",
    summary="a named comparison with a fixed recipe and a table at the end",
    description=(
        "Pretrains and evaluates every method of a named recipe, and the encoders without training beside them, and "
        "writes the table. Everything lies under <run.out>/bench/NAME. Run again, it makes what is missing and keeps "
        "what is there. Values of yours win over the recipe's; a comma makes an axis (seed=0,1,2)."
    ),
    examples=(
        "vssl bench quick",
        "vssl bench quick seed=0,1,2",
        "vssl bench quick method=simsiam budget.steps=200 run.out=/tmp/runs",
    ),
    run=run,
    first="NAME",
    flags=(CONFIG_DIR,),
)
