"""`vssl evaluate`: one encoder under one or several protocols."""

from pathlib import Path
from typing import Any

from vssl.cli.arguments import CONFIG_DIR, Arguments
from vssl.cli.command import Command
from vssl.cli.configure import DRY_RUN, bound_configuration, dry_run
from vssl.config.errors import UserError
from vssl.config.folders import read_yaml


def run(arguments: Arguments) -> int:
    encoder = _encoder(arguments)
    base, names = _of_run(Path(encoder))
    composed, bound = bound_configuration(arguments, needed=("eval", "backbone", "data"), base=base)
    if DRY_RUN in arguments.flags:
        return dry_run(f"evaluate {encoder}", composed)
    from vssl.evaluation.run import evaluate

    for record in evaluate(bound, names | composed.choices, encoder, Path(bound["run"]["out"])):
        print(record)
    return 0


def _encoder(arguments: Arguments) -> str:
    given = [encoder for encoder in (arguments.first, arguments.own_paths.get("encoder")) if encoder is not None]
    if len(given) != 1:
        raise UserError(
            f"evaluate needs one ENCODER, {len(given)} given",
            "a run folder, or random (the chosen backbone= untrained), or mean_frame",
        )
    return given[0]


def _of_run(folder: Path) -> tuple[dict[str, Any] | None, dict[str, str]]:
    """Configuration of a run and the names of its backbone and data set; nothing for an encoder without a folder."""
    config = folder / "config.yaml"
    if not config.is_file():
        return None, {}
    from vssl.records.record import read_record

    identity = read_record(folder)["identity"]
    return read_yaml(config), {part: identity[part] for part in ("backbone", "data")}


COMMAND = Command(
    name="evaluate",
    summary="one encoder under one or more protocols: records beside the run",
    description=(
        "Reads an encoder, a run folder of ours, `random` (the chosen backbone= untrained) or `mean_frame`, and "
        "measures it by the protocols of eval=, on the labels of eval.label=. Data, clip, backbone and seed are those "
        "of the run unless you say otherwise. Writes a record and per-video predictions for each protocol and label, "
        "beside the run or, without one, under <run.out>/encoders/, and prints their paths. What is there already is "
        "not done again."
    ),
    examples=(
        "vssl evaluate runs/NAME eval=knn,linear",
        "vssl evaluate runs/NAME eval=knn eval.knn.k=10 eval.label=[motion,shape]",
        "vssl evaluate random backbone=vit_nano backbone.patch_size=8 scale=smoke",
    ),
    run=run,
    first="ENCODER",
    paths=("encoder",),
    flags=(DRY_RUN, CONFIG_DIR),
)
