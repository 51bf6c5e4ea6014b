"""`vssl data prepare`: a copy of the videos from which random clips are read several times as fast."""

import logging
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from vssl.cli.arguments import Arguments
from vssl.cli.command import Command, Key
from vssl.cli.own_keys import own_arguments
from vssl.config.errors import ConfigError, UserError

if TYPE_CHECKING:
    from vssl.video.upkeep.copy_all import Outcome
    from vssl.video.upkeep.copy_plan import Plan
    from vssl.video.upkeep.copy_speed import Speed
    from vssl.video.upkeep.fast_copy import CopySettings
    from vssl.video.upkeep.journal import Journal
    from vssl.video.upkeep.pool import PoolSettings

OUT, ROOT = "out", "data.root"
SETTINGS, POOL = "vssl.video.upkeep.fast_copy.CopySettings", "vssl.video.upkeep.copy_all.CopyPool"
LIMITS = "vssl.video.decoding.errors.Limits"

logger = logging.getLogger(__name__)


def run(arguments: Arguments) -> int:
    if not arguments.first or OUT not in arguments.own_paths:
        raise UserError("data prepare needs a FOLDER or a MANIFEST, and out=", f"for example: {COMMAND.examples[0]}")
    settings, pool = _settings(arguments.overrides)
    from rich.console import Console

    from vssl.records.atomic import writable
    from vssl.video.upkeep.check_report import printable
    from vssl.video.upkeep.copy_all import STATE, what_counts
    from vssl.video.upkeep.copy_plan import plan_copies, refuse_folder, write_list
    from vssl.video.upkeep.copy_report import REPORT, told, write_report
    from vssl.video.upkeep.journal import Journal

    what, out = Path(arguments.first), Path(arguments.own_paths[OUT])
    root = arguments.own_paths.get(ROOT)
    plan = plan_copies(what, None if root is None else Path(root), COMMAND.name)
    refuse_folder(out, what, plan.jobs, known=(out / STATE).exists())
    writable(out)
    with Journal(out / STATE, what_counts(settings, pool.limits)) as journal:
        outcomes = _outcomes(plan, out, settings, pool, journal)
        write_report(outcomes, out / REPORT)
        copied = {number: one.job.copy_name for number, one in enumerate(outcomes) if one.copied}
        listed = write_list(plan, copied, out)
        speed = _speed(outcomes, out, pool)
    Console(highlight=False, soft_wrap=True).print(told(outcomes, speed))
    print(printable(str(listed or out)))
    return 0 if len(copied) == len(outcomes) else 1


def _outcomes(
    plan: "Plan", out: Path, settings: "CopySettings", pool: "PoolSettings", journal: "Journal"
) -> "list[Outcome]":
    """Of all copies, in the order of the plan."""
    from vssl.evaluation.progress import track
    from vssl.video.upkeep.copy_all import clean_up, kept_copies, make_copies

    clean_up(plan.jobs, out)
    done = {one.job: one for one in kept_copies(plan.jobs, out, journal)}
    if done:
        logger.info("%d of %d copies are there already", len(done), len(plan.jobs))
    missing = [job for job in plan.jobs if job not in done]
    with closing(make_copies(missing, out, settings, pool, journal)) as made:
        done |= {one.job: one for one in track(made, len(missing), "copying videos")}
    return [done[job] for job in plan.jobs]


def _speed(outcomes: "Sequence[Outcome]", out: Path, pool: "PoolSettings") -> "Speed | None":
    """Measured on videos spread over all; None where it could not be."""
    from dataclasses import replace

    from vssl.video.upkeep.copy_speed import SPAN, VIDEOS, Speed, clip_speed
    from vssl.video.upkeep.pool import each_apart

    long_enough = [one.job for one in outcomes if one.copied and one.copied.frames >= SPAN]
    done = long_enough or [one.job for one in outcomes if one.copied]
    sample = [done[number * len(done) // min(VIDEOS, len(done))] for number in range(min(VIDEOS, len(done)))]
    if not sample:
        return None
    pairs = [(job.path, str(out / job.copy_name), job.start_s, job.end_s) for job in sample]
    with closing(each_apart([pairs], replace(pool, workers=1), clip_speed)) as answers:
        _, speed = next(answers)
    return speed if isinstance(speed, Speed) else None


def _settings(words: Iterable[str]) -> "tuple[CopySettings, PoolSettings]":
    from vssl.video.decoding.errors import Limits
    from vssl.video.upkeep.copy_all import CopyPool
    from vssl.video.upkeep.fast_copy import CopySettings

    given = own_arguments(words, {"": [CopySettings, CopyPool], "limits.": [Limits]})
    try:
        return CopySettings(**given[CopySettings]), CopyPool(**given[CopyPool]).bounds(Limits(**given[Limits]))
    except ValueError as error:
        raise ConfigError(str(error)) from error


COMMAND = Command(
    name="data prepare",
    summary="a small copy of the videos from which random clips are read several times as fast",
    description=(
        "Copies every video of FOLDER, or every span (start_s, end_s) of a MANIFEST (paths start from data.root=, "
        "else from its own folder), to the folder out=: upright H.264 of a given short side, a keyframe every few "
        "frames, no sound, each frame at exactly the time that it has in the original. Names and folders are kept, "
        "with the suffix .mp4; a span stands in its copy's name. A manifest is written anew beside the copies and "
        "names them; its spans mean the same there. Each copy is decoded before it takes its name. The same command "
        "again makes only what is missing: what was ended, what failed, copies of originals that changed since; other "
        "settings make all anew. prepare.csv tells of every copy, the screen how much faster random clips are. Exit "
        "code 0 if all are there; 1 if some originals cannot be read in full; 2 if the request is wrong (then nothing "
        "is written)."
    ),
    examples=(
        "vssl data prepare clips out=clips128",
        "vssl data prepare lists/spans.csv data.root=videos out=fast short_side=112 crf=18",
        "vssl pretrain method=simsiam data=video_list data.root=fast data.manifest=spans.csv",
    ),
    run=run,
    first="FOLDER|MANIFEST",
    paths=(OUT, ROOT),
    keys=(
        Key("short_side", "pixels of the shorter side; smaller videos are not enlarged", SETTINGS),
        Key("gop", "frames from one keyframe to the next", SETTINGS),
        Key("crf", "quality: less is better and larger", SETTINGS),
        Key("workers", "videos copied at a time; one a core unless you say otherwise", POOL),
        Key("timeout_s", "a video that takes longer is not copied", POOL),
        Key("memory_bytes", "what copying a video may take", POOL),
        Key("limits.pixels", "largest frame of an original; the other limits.* as in data check", LIMITS),
        Key("limits.frames", "most frames of an original", LIMITS),
        Key("limits.seconds", "longest span of an original", LIMITS),
    ),
    configured=False,
)
