"""`vssl checkpoint import`: weights of another project as a folder like that of a run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from vssl.cli.arguments import CONFIG_DIR, Arguments
from vssl.cli.command import Command
from vssl.cli.configure import DRY_RUN, bound_configuration, dry_run
from vssl.config.errors import UserError

LAYOUT = "layout="


def run(arguments: Arguments) -> int:
    out = arguments.own_paths.get("out")
    if not arguments.first or not out:
        raise UserError("checkpoint import needs a FILE and out=FOLDER", f"for example: {COMMAND.examples[0]}")
    arguments, name = take_layout(arguments)
    from vssl.checkpoints.importing import import_weights
    from vssl.checkpoints.load import open_known

    opened, layout = open_known(Path(str(arguments.first)), name)
    composed, bound = bound_configuration(arguments, needed=("backbone",), base=told_by(opened, layout))
    _refuse_without_effect(arguments)
    if DRY_RUN in arguments.flags:
        return dry_run("checkpoint import", composed)
    print(import_weights(bound, opened, layout, str(arguments.first), Path(out)).parent)
    return 0


def _refuse_without_effect(arguments: Arguments) -> None:
    """An import keeps what makes an encoder; anything else would be dropped without a word."""
    from vssl.records.run_config import IMPORTED

    given = [*arguments.overrides, *(f"{key}={path}" for key, path in arguments.paths.items())]
    for word in given:
        key = word.lstrip("+~").partition("=")[0]
        if key.partition(".")[0] not in IMPORTED or key == "backbone.weights":
            raise UserError(
                f"{word}: an import keeps {', '.join(IMPORTED[:-1])} and {IMPORTED[-1]} alone",
                "say the rest where the encoder is used: vssl evaluate FOLDER ..., or backbone.weights=FOLDER",
            )


def take_layout(arguments: Arguments) -> tuple[Arguments, str | None]:
    """`layout=`, which says how a file is read and is no part of the configuration."""
    given = [word for word in arguments.overrides if word.startswith(LAYOUT)]
    rest = tuple(word for word in arguments.overrides if word not in given)
    return replace(arguments, overrides=rest), given[-1].removeprefix(LAYOUT) if given else None


def told_by(opened: Any, layout: Any) -> dict[str, Any] | None:
    """Backbone and clip that a file tells, as the configuration to start from; None where it does not."""
    from vssl.checkpoints.known import facts_of

    if (facts := facts_of(opened, layout)) is None:
        return None
    clip = {"_target_": "vssl.video.views.Clip", "stride": STRIDE, **facts.clip}
    return {"backbone": facts.backbone, "clip": clip}


STRIDE = 4  # no file tells it; configs/config.yaml has the same

COMMAND = Command(
    name="checkpoint import",
    summary="weights of another project as a folder that is read like a run",
    description=(
        "Recognises the layout of FILE by its names (layout= says it), takes backbone and clip from its shapes and "
        "settings, and writes out=: config.yaml, record.json with what matched and what was left out, "
        "checkpoints/backbone.safetensors. `vssl evaluate` and backbone.weights= read it. What the file does not tell "
        "is asked for (backbone.heads=12). Any difference that the layout does not list is an error; then nothing is "
        "written."
    ),
    examples=(
        "vssl checkpoint import checkpoint.pth out=runs/videomae_k400",
        "vssl checkpoint import checkpoint.pth layout=videomae out=runs/mine backbone.heads=12 clip.frames=8",
        "vssl checkpoint import folder_of_transformers out=runs/hub clip.stride=2",
    ),
    run=run,
    first="FILE",
    paths=("out",),
    flags=(DRY_RUN, CONFIG_DIR),
)
