"""`vssl evaluate`: one encoder under one or several protocols."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from vssl.cli.arguments import CONFIG_DIR, Arguments
from vssl.cli.checkpoint_import import told_by
from vssl.cli.command import Command
from vssl.cli.configure import DRY_RUN, bound_configuration, dry_run
from vssl.config.errors import UserError

CHECKPOINT = "checkpoint="


def run(arguments: Arguments) -> int:
    encoder = _run_of(_encoder(arguments))
    arguments, checkpoint = _take_checkpoint(arguments)
    if weights := arguments.paths.get("backbone.weights"):
        raise UserError(
            f"backbone.weights={weights} starts a training; an encoder is given as it is: evaluate {weights}"
        )
    base, names = _of_run(Path(encoder))
    composed, bound = bound_configuration(arguments, needed=("eval", "backbone", "data"), base=base)
    features_out = _features_out(arguments, bound)
    if DRY_RUN in arguments.flags:
        return dry_run(f"evaluate {encoder}", composed)
    from vssl.evaluation.run import evaluate

    runs = Path(bound["run"]["out"])
    for record in evaluate(
        bound, names | composed.choices, encoder, runs, checkpoint=checkpoint, features_out=features_out
    ):
        print(record)
    return 0


def _encoder(arguments: Arguments) -> str:
    given = [encoder for encoder in (arguments.first, arguments.own_paths.get("encoder")) if encoder is not None]
    if len(given) != 1:
        raise UserError(
            f"evaluate needs one ENCODER, {len(given)} given",
            "a run folder, a file of weights, random (the chosen backbone= untrained), mean_frame or motion_path",
        )
    return given[0]


def _run_of(encoder: str) -> str:
    """The run to which a file `checkpoints/backbone.safetensors` belongs; every other encoder as it is given."""
    from vssl.records.folders import BACKBONE

    path = Path(encoder)
    run = path.parent.parent
    belongs = path.is_file() and path == run / BACKBONE and (run / "config.yaml").is_file()
    return str(run) if belongs else encoder


def _features_out(arguments: Arguments, bound: dict[str, Any]) -> Path | None:
    """`out=`, which is for features alone: records lie beside their run."""
    if (out := arguments.own_paths.get("out")) is None:
        return None
    if "features" not in bound["eval"]:
        raise UserError(
            f"out={out} is the folder that eval=features writes into; it is not among eval=",
            "run.out= is the folder that records of encoders without a run are kept under",
        )
    return Path(out)


def _take_checkpoint(arguments: Arguments) -> tuple[Arguments, Literal["final", "last"]]:
    """`checkpoint=`, which says what is read of a run and is no part of the configuration."""
    given = [word for word in arguments.overrides if word.startswith(CHECKPOINT)]
    if wrong := [word for word in given if word not in (f"{CHECKPOINT}final", f"{CHECKPOINT}last")]:
        raise UserError(
            f"{wrong[0]}: allowed are {CHECKPOINT}final and {CHECKPOINT}last",
            "last reads the newest checkpoint of an unfinished run",
        )
    rest = tuple(word for word in arguments.overrides if word not in given)
    return replace(arguments, overrides=rest), "last" if given[-1:] == [f"{CHECKPOINT}last"] else "final"


def _of_run(folder: Path) -> tuple[dict[str, Any] | None, dict[str, str]]:
    """Configuration of a run and the names of its backbone and data set; nothing for an encoder without a folder."""
    if not (folder / "config.yaml").is_file():
        return _of_file(folder)
    from vssl.records.record import read_record
    from vssl.records.run_config import read_config

    identity = read_record(folder)["identity"]
    return read_config(folder), {part: identity[part] for part in ("backbone", "data")}


def _of_file(path: Path) -> tuple[dict[str, Any] | None, dict[str, str]]:
    """Backbone and clip that a file of a known layout tells, and the layout for the backbone's name."""
    if not path.exists():
        return None, {}
    from vssl.checkpoints.load import open_known
    from vssl.evaluation.encoders import is_foreign

    if not is_foreign(path):
        return None, {}
    opened, layout = open_known(path)
    told = told_by(opened, layout)
    return told, {"backbone": layout.name} if told else {}


COMMAND = Command(
    name="evaluate",
    summary="one encoder under one or more protocols: records beside the run",
    description=(
        "Reads an encoder, a run folder of ours, a file of weights of a known layout (vssl checkpoint inspect FILE), "
        "`random` (the chosen backbone= untrained), `mean_frame` or `motion_path`, and "
        "measures it by the protocols of eval=, on the labels of eval.label=. Data, clip, backbone and seed are those "
        "of the run unless you say otherwise. Writes a record and per-video predictions for each protocol and label, "
        "beside the run or, without one, under <run.out>/encoders/, and prints their paths. What is there already is "
        "not done again. An unfinished run is refused unless checkpoint=last."
    ),
    examples=(
        "vssl evaluate runs/NAME eval=knn,linear",
        "vssl evaluate checkpoint.pth eval=knn data=video_list data.root=clips",
        "vssl evaluate checkpoint.pth eval=features data=video_list data.root=clips out=features",
    ),
    run=run,
    first="ENCODER",
    paths=("encoder", "out"),
    flags=(DRY_RUN, CONFIG_DIR),
)
