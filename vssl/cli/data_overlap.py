"""`vssl data overlap`: videos that stand in two lists, or twice in one."""

import logging
import os
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from vssl.cli.arguments import CONFIG_DIR, Arguments
from vssl.cli.command import Command, Key
from vssl.cli.data_lists import lists_of
from vssl.cli.own_keys import own_arguments, take_own
from vssl.config.errors import ConfigError, UserError

if TYPE_CHECKING:
    from vssl.video.upkeep.overlap_hashes import OverlapSettings
    from vssl.video.upkeep.pool import PoolSettings
    from vssl.video.upkeep.video_set import Place, VideoSet

OUT, DEFAULT, PREFIX = "out", "overlap.csv", "data.overlap."
SETTINGS, POOL = "vssl.video.upkeep.overlap_hashes.OverlapSettings", "vssl.video.upkeep.pool.PoolSettings"

logger = logging.getLogger(__name__)


def run(arguments: Arguments) -> int:
    own, rest = take_own(arguments, COMMAND.name, [key.name for key in COMMAND.keys], PREFIX)
    from rich.console import Console

    from vssl.records.atomic import writable
    from vssl.video.upkeep.check_report import printable
    from vssl.video.upkeep.overlap import find_overlap
    from vssl.video.upkeep.overlap_hashes import OverlapSettings
    from vssl.video.upkeep.overlap_report import told, write_pairs
    from vssl.video.upkeep.pool import PoolSettings

    given = own_arguments(own, {PREFIX: [OverlapSettings, PoolSettings]})
    try:
        settings, pool = OverlapSettings(**given[OverlapSettings]), PoolSettings(**given[PoolSettings])
    except ValueError as error:
        raise ConfigError(str(error)) from error
    sets = lists_of(arguments, rest, COMMAND.name)
    out = Path(arguments.own_paths.get(OUT, DEFAULT))
    refuse_out(out, DEFAULT, [*([arguments.first] if arguments.first else []), *arguments.more])
    writable(out.parent, keep=False)
    hashes, files = _hashes(sets, settings, pool)
    pairs = list(find_overlap(sets, hashes, settings.threshold, files.__getitem__))
    writable(out.parent)
    write_pairs(pairs, out)
    Console(highlight=False, soft_wrap=True).print(told(sets, pairs))
    print(printable(str(out)))
    return 1 if pairs else 0


def refuse_out(out: Path, example: str, inputs: Iterable[str]) -> None:
    """Raises UserError where a file cannot be written there, or would take the place of one that is read."""
    if out.is_dir():
        raise UserError(f"out: {out} is a folder", f"give the file to write: out={out / example}")
    if out.exists() and any(os.path.exists(path) and os.path.samefile(path, out) for path in inputs):
        raise UserError(f"out: {out} is one of the files that are read; give another name")


def _hashes(
    sets: "Sequence[VideoSet]", settings: "OverlapSettings", pool: "PoolSettings"
) -> "tuple[dict[Place, str], dict[str, str]]":
    """Of frames, and of the files that could be the same: from the cache, else found now."""
    from vssl.evaluation.progress import track
    from vssl.records.atomic import writable
    from vssl.records.folders import cache_dir
    from vssl.video.upkeep.overlap_hashes import file_hashes, frame_hashes, frames_to_hash, hash_journal

    folder = cache_dir() / "overlap"
    writable(folder)
    with hash_journal(folder) as journal:
        files = file_hashes(sets, journal)
        if not settings.frames:
            return {}, files
        known, missing = frames_to_hash(sets, journal)
        with closing(frame_hashes(missing, pool, journal)) as found:
            known |= dict(track(found, len(missing), "hashing videos"))
    unknown = sum(one is None for one in known.values())
    flat = sum(one == "" for one in known.values())
    if unknown or flat:
        logger.info(
            "compared by id and file alone: %d that cannot be read (vssl data check says why), %d whose frames are too "
            "flat to be told apart", unknown, flat,
        )  # fmt: skip
    return {place: bits for place, bits in known.items() if bits}, files


COMMAND = Command(
    name="data overlap",
    summary="videos that stand in two lists, or twice in one: by id, by file, by what is seen",
    description=(
        "Compares every two of the LISTs (folders or manifests); of a single list its splits or folds; of data= its "
        "splits. A video of the later list is told once a kind: id (the same name without suffix, or YouTube id of "
        "clips named <id>_<start>_<end>; with folders, where names alone are not unique), file (the same bytes), "
        "frames (the nearest of the other list, where at most data.overlap.threshold of 320 bits differ: a 64-bit "
        "difference hash of each of 5 frames). Within each list: the same bytes. Frames are hashed in worker "
        "processes, once: hashes are kept in the cache until a file changes. Writes out= (overlap.csv): kind, list_a, "
        "path_a, list_b, path_b, distance. Exit code 0 if nothing was found, 1 if something was, 2 if the request is "
        "wrong."
    ),
    examples=(
        "vssl data overlap lists/train.csv lists/test.csv data.root=videos",
        "vssl data overlap data=ucf101 data.root=UCF-101 data.annotations=ucfTrainTestlist",
        "vssl data overlap kinetics/train hmdb51 data.overlap.threshold=0.06 out=leaks.csv",
    ),
    run=run,
    first="LIST...",
    paths=(OUT,),
    keys=(
        Key("data.overlap.threshold", "share of differing bits up to which two videos look alike", SETTINGS),
        Key("data.overlap.frames", "false: by id and file alone, nothing is decoded", SETTINGS),
        Key("data.overlap.workers", "videos decoded at a time; one a core unless you say otherwise", POOL),
        Key("data.overlap.timeout_s", "a video that takes longer is not compared by its frames", POOL),
    ),
    flags=(CONFIG_DIR,),
)
