"""`vssl data`: looking after the videos themselves; a file for each part."""

from vssl.cli import data_check, data_overlap, data_prepare, data_show, data_stats
from vssl.cli.arguments import Arguments
from vssl.cli.command import Command
from vssl.config.errors import UserError


def run(arguments: Arguments) -> int:
    raise UserError("data needs to be told what to do", "see vssl data --help")


COMMAND = Command(
    name="data",
    summary="look after the videos themselves: check, prepare, overlap, stats, show",
    description="Works on video files and lists of them, and on the clips made of them, before anything is trained.",
    examples=(
        "vssl data check clips",
        "vssl data prepare clips out=clips128",
        "vssl data show method=simsiam scale=smoke",
    ),
    run=run,
    configured=False,
    parts=(data_check.COMMAND, data_prepare.COMMAND, data_overlap.COMMAND, data_stats.COMMAND, data_show.COMMAND),
)
