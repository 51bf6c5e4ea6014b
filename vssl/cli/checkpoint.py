"""`vssl checkpoint`: weights of other projects in and out; a file for each part."""

from vssl.cli import checkpoint_export, checkpoint_import, checkpoint_inspect
from vssl.cli.arguments import Arguments
from vssl.cli.command import Command
from vssl.config.errors import UserError


def run(arguments: Arguments) -> int:
    raise UserError("checkpoint needs to be told what to do", "see vssl checkpoint --help")


COMMAND = Command(
    name="checkpoint",
    summary="weights of other projects in and out: inspect, import, export",
    description=(
        "Reads weights that VideoMAE, TimeSformer, Video Swin, MoCo v3, SVT, transformers, torchvision or pytorchvideo "
        "wrote, and writes ours for others. Files are read without running anything that they say."
    ),
    examples=(
        "vssl checkpoint inspect checkpoint.pth",
        "vssl checkpoint import checkpoint.pth out=runs/videomae_k400",
        "vssl checkpoint export runs/NAME layout=huggingface out=exported",
    ),
    run=run,
    configured=False,
    parts=(checkpoint_inspect.COMMAND, checkpoint_import.COMMAND, checkpoint_export.COMMAND),
)
