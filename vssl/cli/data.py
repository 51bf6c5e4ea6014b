"""`vssl data`: looking after the videos themselves; a file for each part."""

from vssl.cli import data_check
from vssl.cli.arguments import Arguments
from vssl.cli.command import Command
from vssl.config.errors import UserError


def run(arguments: Arguments) -> int:
    raise UserError("data needs to be told what to do", "see vssl data --help")


COMMAND = Command(
    name="data",
    summary="look after the videos themselves: check",
    description="Works on video files and lists of them, before anything is trained on them.",
    examples=("vssl data check clips", "vssl data check clips/clips.csv out=bad.csv", "vssl data check --help"),
    run=run,
    configured=False,
    parts=(data_check.COMMAND,),
)
