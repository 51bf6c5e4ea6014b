"""`vssl data check`: which videos can be read in full, and what is wrong with the others."""

import logging
import os
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vssl.cli.arguments import Arguments
from vssl.cli.command import Command, Key
from vssl.cli.own_keys import own_arguments
from vssl.config.errors import ConfigError, UserError

if TYPE_CHECKING:
    from vssl.video.upkeep.check import Finding
    from vssl.video.upkeep.journal import Journal
    from vssl.video.upkeep.pool import PoolSettings

OUT, ROOT = "out", "data.root"
RESUME = "vssl.video.upkeep.check_all.Resume"
SETTINGS, LIMITS = "vssl.video.upkeep.pool.PoolSettings", "vssl.video.decoding.errors.Limits"

logger = logging.getLogger(__name__)


def run(arguments: Arguments) -> int:
    if not arguments.first:
        raise UserError("data check needs a FOLDER or a MANIFEST", "for example: vssl data check clips")
    settings, fresh = _settings(arguments.overrides)
    from rich.console import Console

    from vssl.records.atomic import writable
    from vssl.video.upkeep.check_list import files_to_check
    from vssl.video.upkeep.check_report import printable, summary, write_findings
    from vssl.video.upkeep.journal import Journal

    root = arguments.own_paths.get(ROOT)
    files = files_to_check(Path(arguments.first), None if root is None else Path(root), COMMAND.name)
    out = Path(arguments.own_paths.get(OUT, "check.csv"))
    partial = out.with_name(f"{out.name}.partial")
    _refuse_to_overwrite(out, [arguments.first, *files.values()])
    writable(out.parent, keep=False)
    names = {os.path.abspath(path): name for name, path in files.items()}
    writable(out.parent)
    from vssl.video.upkeep.check_all import what_counts

    with Journal(partial, what_counts(settings), fresh) as journal:
        found = _findings(list(names), settings, journal)
        findings = sorted((replace(one, path=names[one.path]) for one in found), key=lambda finding: finding.path)
        write_findings(findings, out)
        journal.remove()
    Console(highlight=False, soft_wrap=True).print(summary(findings))
    print(printable(str(out)))
    return 0 if all(finding.verdict == "ok" for finding in findings) else 1


def _findings(paths: Sequence[str], settings: "PoolSettings", journal: "Journal") -> "list[Finding]":
    """What was found before the check was ended, if it was, and what is found now."""
    from vssl.evaluation.progress import track
    from vssl.video.upkeep.check_all import check_missing, known_findings

    known = known_findings(paths, journal)
    if known:
        logger.info("%d of %d videos are known from a check that was ended", len(known), len(paths))
    done = {finding.path for finding in known}
    missing = [path for path in paths if path not in done]
    with closing(check_missing(missing, settings, journal)) as found:
        return [*known, *track(found, len(missing), "checking videos")]


def _settings(words: Iterable[str]) -> "tuple[PoolSettings, bool]":
    from vssl.video.decoding.errors import Limits
    from vssl.video.upkeep.check_all import Resume
    from vssl.video.upkeep.pool import PoolSettings

    given = own_arguments(words, {"": [PoolSettings, Resume], "limits.": [Limits]})
    try:
        return PoolSettings(**given[PoolSettings], limits=Limits(**given[Limits])), Resume(**given[Resume]).fresh
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _refuse_to_overwrite(out: Path, inputs: Sequence[str]) -> None:
    if out.is_dir():
        raise UserError(f"out: {out} is a folder", f"give the file to write: out={out / 'check.csv'}")
    if out.exists() and any(os.path.exists(path) and os.path.samefile(path, out) for path in inputs):
        raise UserError(f"out: {out} is one of the files to be checked; give another name")


COMMAND = Command(
    name="data check",
    summary="decode every video once: which are whole, what is wrong with the others",
    description=(
        "Decodes every frame of every video below FOLDER (to any depth, by suffix), or of those that a MANIFEST names "
        "(paths start from data.root=, else from its own folder), in worker processes that a broken or hostile file "
        "cannot hurt. Writes out= (check.csv) with path, verdict, frames, width, height, fps, duration_s and reason, a "
        "row a file; its paths start at FOLDER or root. Verdicts: ok; damaged (some frames decode, others do not); "
        "unreadable; empty; no_video; too_large; too_slow. A check that was ended, however, goes on where it was when "
        "the command is given again: its findings wait in OUT.partial, and only files that changed since are looked at "
        "anew. Exit code 0 if all files are ok, 1 if some are not, 2 if the request is wrong (then nothing is written)."
    ),
    examples=(
        "vssl data check clips",
        "vssl data check lists/clips.csv data.root=clips out=lists/check.csv",
        "vssl data check clips workers=4 timeout_s=600 limits.seconds=3600",
    ),
    run=run,
    first="FOLDER|MANIFEST",
    paths=(OUT, ROOT),
    keys=(
        Key("fresh", "true: begin anew, whatever a check that was ended has found", RESUME),
        Key("workers", "files decoded at a time; one a core unless you say otherwise", SETTINGS),
        Key("timeout_s", "a file that takes longer is too_slow", SETTINGS),
        Key("memory_bytes", "what decoding a file may take; one that needs more is too_large", SETTINGS),
        Key("limits.pixels", "largest frame; above it too_large, as for the next three", LIMITS),
        Key("limits.frames", "most frames of a file", LIMITS),
        Key("limits.seconds", "longest span from the first frame to the last", LIMITS),
        Key("limits.output_bytes", "largest array of RGB frames that training may ask for; one frame must fit", LIMITS),
        Key(
            "limits.decoded_pixels", "most pixels to decode for one frame, from its keyframe on; else too_slow", LIMITS
        ),
    ),
    configured=False,
)
