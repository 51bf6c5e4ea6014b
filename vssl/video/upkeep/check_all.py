"""The verdicts on many files, each found in a process of its own and kept, so that a check that was ended goes on."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

import av

from vssl.video.upkeep.check import Finding, Look, check_file
from vssl.video.upkeep.journal import Journal, stamp
from vssl.video.upkeep.pool import PoolSettings, Trouble, each_apart


@dataclass(frozen=True)
class Resume:
    """Whether a check goes on from one that was ended.

    Args:
        fresh: forget what that one found.
    """

    fresh: bool = False


def check_all(paths: Sequence[str], settings: PoolSettings, look: Look = check_file) -> Generator[Finding]:
    """One finding for each path, as they come. Closing the iterator ends the workers.

    Args:
        look: gives the verdict on one file, within a worker; picklable.
    Raises:
        WorkError: a worker does not even start.
    """
    with closing(each_apart(paths, settings, look)) as answers:
        for path, answer in answers:
            yield Finding(path, answer.verdict, reason=answer.reason) if isinstance(answer, Trouble) else answer


def check_missing(paths: Sequence[str], settings: PoolSettings, journal: Journal) -> Generator[Finding]:
    """Findings on files that the journal does not know; each is in it before it is given."""
    # Before the file is opened: one that changes while it is looked at is looked at again.
    stamps = {path: stamp(path) for path in paths}
    with closing(check_all(paths, settings)) as findings:
        for finding in findings:
            journal.add(finding.path, stamps[finding.path], asdict(finding))
            yield finding


def known_findings(paths: Sequence[str], journal: Journal) -> list[Finding]:
    """What an earlier check found of the files that have not changed since."""
    known = (journal.get(path, stamp(path)) for path in paths)
    return [Finding(**facts) for facts in known if facts is not None]


def what_counts(settings: PoolSettings) -> Mapping[str, Any]:
    """All that a verdict depends on beside its file; not how many are looked at at a time."""
    kept = {key: value for key, value in asdict(settings).items() if key != "workers"}
    return {"for": "vssl data check", **kept, "decoder": [av.__version__, av.library_versions["libavcodec"]]}
