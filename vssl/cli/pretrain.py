"""`vssl pretrain`: one method on one backbone on one data set."""

from vssl.cli.arguments import CONFIG_DIR, Arguments
from vssl.cli.command import Command
from vssl.cli.configure import DRY_RUN, bound_configuration, dry_run


def run(arguments: Arguments) -> int:
    composed, bound = bound_configuration(arguments, needed=("method", "backbone", "data"))
    if DRY_RUN in arguments.flags:
        return dry_run("pretrain", composed)
    from vssl.evaluation.online import online_probe
    from vssl.training.run import pretrain

    print(pretrain(composed, bound, probe=online_probe))
    return 0


COMMAND = Command(
    name="pretrain",
    summary="train one method on one backbone on one data set: a run folder",
    description=(
        "Trains an encoder without labels (or with them: method=supervised) for exactly one budget and writes the run "
        "folder <run.out>/<run.name>: configuration, record, curves, checkpoints, the encoder. The same command again "
        "resumes an unfinished run and leaves a finished one as it is. Prints the folder."
    ),
    examples=(
        "vssl pretrain method=simsiam backbone=vit_nano backbone.patch_size=8 scale=smoke",
        "vssl pretrain method=videomae backbone=vit_small data=video_list data.root=clips budget.epochs=200",
        "vssl pretrain method=simsiam --help",
    ),
    run=run,
    flags=(DRY_RUN, CONFIG_DIR),
)
