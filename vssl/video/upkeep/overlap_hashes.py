"""The hashes by which lists are compared, kept in the cache: a second comparison decodes and reads nothing."""

import os
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from vssl.video.checks import within
from vssl.video.upkeep.journal import Journal, stamp
from vssl.video.upkeep.overlap import file_contents, sha256
from vssl.video.upkeep.perceptual import RULE, FrameHash, hash_video
from vssl.video.upkeep.pool import PoolSettings, each_apart
from vssl.video.upkeep.video_set import Place, VideoSet


@dataclass(frozen=True)
class OverlapSettings:
    """How lists are compared.

    Args:
        threshold: largest share of differing bits of two videos that look alike. Copies of one video, re-encoded or
            resized, differ in a few hundredths; a fixed camera that films one place may fall below it, too.
        frames: compare what is seen, not only ids and files.
    """

    threshold: float = 0.1
    frames: bool = True

    def __post_init__(self) -> None:
        within(0, 0.5, "data.overlap.threshold", self.threshold)


def hash_journal(folder: Path) -> Journal:
    """Raises UserError while another process holds it."""
    return Journal(folder / "hashes.jsonl", {"for": "vssl data overlap", "rule": RULE})


def file_hashes(sets: Sequence[VideoSet], journal: Journal) -> dict[str, str]:
    """SHA-256 of every file (by its real path) that shares its size with another."""
    found: dict[str, str] = {}

    def look_up(path: str) -> str:
        key, current = f"file {path}", stamp(path)
        facts = journal.get(key, current)
        if facts is None:
            facts = {"sha256": sha256(path)}
            journal.add(key, current, facts)
        found[path] = facts["sha256"]
        return found[path]

    file_contents(sets, look_up)
    return found


def frames_to_hash(sets: Sequence[VideoSet], journal: Journal) -> tuple[dict[Place, str | None], list[Place]]:
    """Hashes that are known (empty: too flat), and the videos whose hash is not."""
    known: dict[Place, str | None] = {}
    missing: list[Place] = []
    for one in dict.fromkeys(video.place for part in sets for video in part.videos):
        facts = journal.get(_key(one), stamp(one[0]))
        if facts is None:
            missing.append(one)
        else:
            known[one] = facts["bits"]
    return known, missing


def frame_hashes(places: Iterable[Place], pool: PoolSettings, journal: Journal) -> Generator[tuple[Place, str | None]]:
    """The hash of each, empty where it is too flat, None where it cannot be read: this is tried again another time."""
    places = list(places)
    stamps = {_key(one): stamp(one[0]) for one in places}
    with closing(each_apart(places, pool, hash_video)) as answers:
        for one, answer in answers:
            if isinstance(answer, FrameHash):
                journal.add(_key(one), stamps[_key(one)], {"bits": answer.bits})
                yield one, answer.bits
            else:
                yield one, None


def _key(one: Place) -> str:
    path, start_s, end_s = one
    return f"frames {os.path.abspath(path)} {start_s!r} {end_s!r}"
