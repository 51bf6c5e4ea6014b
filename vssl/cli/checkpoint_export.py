"""`vssl checkpoint export`: the encoder of a run by the names of another project."""

from pathlib import Path
from typing import get_args

from vssl.cli.arguments import Arguments
from vssl.cli.command import Command, Key
from vssl.config.errors import UserError, nearest


def run(arguments: Arguments) -> int:
    out = arguments.own_paths.get("out")
    if not arguments.first or not out:
        raise UserError("checkpoint export needs a RUN and out=FOLDER", f"for example: {COMMAND.examples[0]}")
    given = [word.partition("=")[2] for word in arguments.overrides]
    from vssl.backbones.base import Backbone
    from vssl.checkpoints.export import Export, Target
    from vssl.evaluation.encoders import load, run_config
    from vssl.records.run_config import CONFIG

    name = given[-1] if given else Export().layout
    if name not in get_args(Target):
        raise UserError(
            f"layout={name}: nothing is exported so{nearest(name, get_args(Target))}",
            f"layouts to export: {', '.join(get_args(Target))}",
        )
    given_path = Path(arguments.first)
    run_folder = given_path if given_path.is_dir() else given_path.parent.parent
    if not (run_folder / CONFIG).is_file():
        raise UserError(
            f"{given_path} is no run: there is no {CONFIG}",
            "a file of others is imported first: vssl checkpoint import FILE out=FOLDER",
        )
    bound = run_config(run_folder)
    encoder = load(run_folder)
    assert isinstance(encoder, Backbone)
    print(Export(name)(encoder, bound["clip"], bound["backbone"], Path(out)))  # type: ignore[arg-type]
    return 0


COMMAND = Command(
    name="checkpoint export",
    summary="the encoder of a run for another project: transformers, torchvision, or safetensors alone",
    description=(
        "Writes the folder out= with the encoder of RUN. layout=vssl: backbone.safetensors and backbone.yaml. "
        "layout=huggingface: model.safetensors, config.json and preprocessor_config.json, for from_pretrained of "
        "VideoMAEModel (a tubelet ViT) or TimesformerModel. layout=torchvision: model.safetensors by the names of "
        "torchvision's swin3d_* and r3d_18, mc3_18, r2plus1d_18, without their classifier. An encoder that the other "
        "side does not have is refused, and nothing is written."
    ),
    examples=(
        "vssl checkpoint export runs/NAME layout=huggingface out=exported",
        "vssl checkpoint export runs/NAME layout=torchvision out=exported",
        "vssl checkpoint export runs/NAME out=exported",
    ),
    run=run,
    first="RUN",
    paths=("out",),
    keys=(Key("layout", "vssl, huggingface or torchvision", "vssl.checkpoints.export.Export"),),
    configured=False,
)
