"""`vssl data`: looking after the videos themselves; a file for each part."""

from vssl.cli import data_check, data_show
from vssl.cli.arguments import Arguments
from vssl.cli.command import Command
from vssl.config.errors import UserError


def run(arguments: Arguments) -> int:
    raise UserError("data needs to be told what to do", "see vssl data --help")


COMMAND = Command(
    name="data",
    summary="look after the videos themselves: check, show",
    description="Works on video files and lists of them, and on the clips made of them, before anything is trained.",
    examples=("vssl data check clips", "vssl data show method=simsiam scale=smoke", "vssl data check --help"),
    run=run,
    configured=False,
    parts=(data_check.COMMAND, data_show.COMMAND),
)
