"""`vssl data stats`: what a list of videos is made of."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from vssl.cli.arguments import CONFIG_DIR, Arguments
from vssl.cli.command import Command, Key
from vssl.cli.data_lists import lists_of
from vssl.cli.data_overlap import refuse_out
from vssl.cli.own_keys import own_arguments, take_own
from vssl.config.errors import ConfigError, UserError

if TYPE_CHECKING:
    from vssl.report.data_stats import Drawn
    from vssl.video.upkeep.stats import Stats

OUT, DEFAULT, PREFIX = "out", "stats.csv", "data.stats."
POOL = "vssl.video.upkeep.pool.PoolSettings"


def run(arguments: Arguments) -> int:
    own, rest = take_own(arguments, COMMAND.name, [key.name for key in COMMAND.keys], PREFIX)
    from rich.console import Console

    from vssl.evaluation.progress import track
    from vssl.records.atomic import writable
    from vssl.video.upkeep.check_report import printable
    from vssl.video.upkeep.pool import PoolSettings, each_apart
    from vssl.video.upkeep.stats import look, stats_of
    from vssl.video.upkeep.stats_report import told, write_stats

    try:
        pool = PoolSettings(**own_arguments(own, {PREFIX: [PoolSettings]})[PoolSettings])
    except ValueError as error:
        raise ConfigError(str(error)) from error
    sets = lists_of(arguments, rest, COMMAND.name)
    out = Path(arguments.own_paths.get(OUT, DEFAULT))
    if out.suffix.lower() == ".png":
        raise UserError(f"out: {out} is a CSV file; its picture lies beside it", f"out={out.with_suffix('.csv')}")
    picture = out.with_suffix(".png")
    for path in (out, picture):
        refuse_out(path, DEFAULT, [arguments.first] if arguments.first else [])
    writable(out.parent, keep=False)
    places = list(dict.fromkeys(video.place for part in sets for video in part.videos))
    with closing(each_apart(places, pool, look)) as answers:
        found = dict(track(answers, len(places), "reading headers"))
    parts = [stats_of(part, found) for part in sets]
    writable(out.parent)
    write_stats(sets, found, out)
    from vssl.report.data_stats import draw_stats

    draw_stats(_title(parts), [_drawn(one) for one in parts], picture)
    Console(highlight=False, soft_wrap=True).print(told(parts))
    print(f"{printable(str(out))}\n{printable(str(picture))}")
    return 0 if all(not one.unread for one in parts) else 1


def _title(parts: "list[Stats]") -> str:
    from vssl.video.upkeep.check_report import printable

    videos, unread = sum(one.videos for one in parts), sum(len(one.unread) for one in parts)
    names = ", ".join(printable(one.name) for one in parts[:4]) + (", ..." if len(parts) > 4 else "")
    return f"{names}: {videos:,} videos" + (f", {unread:,} of which cannot be read" if unread else "")


def _drawn(one: "Stats") -> "Drawn":
    from vssl.report.data_stats import Drawn

    return Drawn(one.name, one.classes, one.duration_s, one.fps, one.sizes)


COMMAND = Command(
    name="data stats",
    summary="what a list of videos is made of: classes, durations, rates, frame sizes; one picture",
    description=(
        "Reads the headers and packets of every video of a FOLDER, a MANIFEST (paths start from data.root=, else from "
        "its own folder), or the data set that data= names, in worker processes; one frame of each is decoded, to see "
        "how it is turned. Prints a table, split by split: videos, classes and the largest and smallest of them, "
        "hours, the spread of seconds, frames and rates, the sizes of frames. Writes out= (stats.csv), a row a video, "
        "and a picture beside it (stats.png). Exit code 0; 1 if some videos cannot be read, which are counted and "
        "named; 2 if the request is wrong (then nothing is written)."
    ),
    examples=(
        "vssl data stats clips",
        "vssl data stats lists/all.csv data.root=clips out=lists/stats.csv",
        "vssl data stats data=hmdb51 data.root=hmdb51 data.annotations=testTrainMulti_7030_splits",
    ),
    run=run,
    first="FOLDER|MANIFEST",
    paths=(OUT,),
    keys=(
        Key("data.stats.workers", "videos at a time; one a core unless you say otherwise", POOL),
        Key("data.stats.timeout_s", "a video that takes longer counts as one that cannot be read", POOL),
    ),
    flags=(CONFIG_DIR,),
)
