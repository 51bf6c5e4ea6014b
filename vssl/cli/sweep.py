"""`vssl sweep`: many trials, resumable, the table at the end."""

from pathlib import Path

from vssl.cli.arguments import CONFIG_DIR, Arguments
from vssl.cli.command import Command, Key
from vssl.cli.configure import DRY_RUN
from vssl.config.errors import UserError, nearest
from vssl.config.folders import ConfigFolders
from vssl.config.problems import listed

YES = "--yes"


def run(arguments: Arguments) -> int:
    return carry_out("sweep", arguments)


def carry_out(group: str, arguments: Arguments) -> int:
    """A sweep or a bench: its plan alone, or all of it."""
    name = arguments.first
    names = ConfigFolders.find(arguments.config_dirs).choices(group)
    if name is not None and name not in names:
        wrong = f"'{name}'{nearest(name, names)}"
        raise UserError(f"{group} needs the NAME of a {group}, given is {wrong}; there are {listed(names)}")
    if DRY_RUN in arguments.flags:
        from vssl.sweeps.dry_run import dry_run

        return dry_run(group, name, arguments.overrides, arguments.paths, arguments.config_dirs)
    from vssl.sweeps.run import sweep

    return sweep(group, name, arguments.overrides, arguments.paths, arguments.config_dirs)


def _status(arguments: Arguments) -> int:
    from vssl.sweeps.upkeep import status

    return status(_folder(arguments, "status"))


def _clean(arguments: Arguments) -> int:
    from vssl.sweeps.upkeep import clean

    return clean(_folder(arguments, "clean"), YES in arguments.flags)


def _folder(arguments: Arguments, part: str) -> Path:
    """The folder of a sweep. Raises UserError where none is given, or it is none."""
    folder = Path(arguments.first or "")
    if arguments.first is None or not (folder / "trials").is_dir():
        what = "none is given" if arguments.first is None else f"{folder} holds no trials"
        raise UserError(
            f"sweep {part} needs the DIR of a sweep; {what}", "it is <run.out>/sweep/NAME or <run.out>/bench/NAME"
        )
    return folder


STATUS = Command(
    name="sweep status",
    summary="how far a sweep is: its trials, their progress, their last errors",
    description=(
        "Reads the files of the trials under DIR, also while other processes, or other machines, work on them. A trial "
        "whose process is gone is shown as interrupted: the sweep's own command goes on with it."
    ),
    examples=(
        "vssl sweep status runs/bench/quick",
        "vssl sweep status runs/sweep/mask_ratio",
        "vssl sweep status --help",
    ),
    run=_status,
    first="DIR",
    configured=False,
)

CLEAN = Command(
    name="sweep clean",
    summary="remove what can be made again: checkpoints of finished trainings, leftovers of killed processes",
    description=(
        "Shows what would be removed under DIR and how much space that gives back, and removes it after a yes. "
        "Records, encoders, predictions, curves and everything of trials that are not finished stay."
    ),
    examples=(
        "vssl sweep clean runs/bench/quick",
        "vssl sweep clean runs/sweep/mask_ratio --yes",
        "vssl sweep clean --help",
    ),
    run=_clean,
    first="DIR",
    configured=False,
    flags=(YES,),
)

SETTINGS = "vssl.sweeps.settings.Sweep"
KEYS = (
    Key("sweep.subset", "so many trials, drawn at random from the product", SETTINGS),
    Key("sweep.exclude", "trials to leave out: [{method:videomae,backbone:r3d_nano}]", SETTINGS),
    Key("sweep.retries", "how often a trial that failed is tried again", SETTINGS),
    Key("sweep.failed", "again or leave: what a later start does with trials that failed", SETTINGS),
    Key("sweep.search", "tpe or asha: try points of the axes, and choose by the online probe (needs Optuna)", SETTINGS),
    Key("sweep.trials", "how many points a search tries", SETTINGS),
    Key("sweep.finalists", "how many of them are evaluated: those with the highest probe", SETTINGS),
    Key("sweep.name", "of the sweep's folder; else that of its file, or its axes", SETTINGS),
    Key("launcher.jobs", "trials side by side here; 0: in this process", "vssl.sweeps.launchers.local.Local"),
)

COMMAND = Command(
    name="sweep",
    summary="many trials, on this machine or a cluster, resumable, with the table at the end",
    description=(
        "Pretrains and evaluates every combination of the axes: of comma-separated values on the command line "
        "(method=videomae,simsiam seed=0,1,2), of the file NAME of configs/sweep/, or of both. Everything lies under "
        "<run.out>/sweep/NAME. Killed at any moment and started again, it keeps what is finished, goes on with what "
        "was running, and tries again what failed. --dry-run shows the plan and what it will take. sweep.* shapes it "
        "(sweep.subset=20, sweep.retries=1, sweep.failed=leave), launcher= says where trials run (launcher.jobs=2: "
        "two side by side here). sweep.search=tpe or asha tries sweep.trials points of ranges instead, and chooses by "
        "the online probe: docs/sweeps.md."
    ),
    examples=(
        "vssl sweep method=videomae,simsiam seed=0,1,2 scale=tiny",
        "vssl sweep method.mask_ratio=0.5,0.75,0.9 backbone=vit_nano scale=tiny launcher.jobs=2 --dry-run",
        "vssl sweep method=byol 'optim.base_lr=tag(log,interval(1e-4,1e-2))' sweep.search=tpe sweep.trials=20",
    ),
    run=run,
    first="NAME",
    keys=KEYS,
    flags=(DRY_RUN, CONFIG_DIR),
    parts=(STATUS, CLEAN),
)
