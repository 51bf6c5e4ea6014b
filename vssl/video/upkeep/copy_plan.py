"""Which fast copies there are to be, and what each is called."""

import csv
import io
import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vssl.config.errors import UserError
from vssl.records.atomic import write_bytes
from vssl.video.lists.manifest import Row, read_rows
from vssl.video.lists.samples import CLASS_FILE
from vssl.video.upkeep.check_list import files_to_check

SUFFIX = ".mp4"


@dataclass(frozen=True)
class Job:
    """One copy.

    Args:
        name: of the original, below the folder or root.
        path: to open it.
        start_s, end_s: the span that is copied; NaN is no bound.
        copy_name: of the copy, below the new folder.
    """

    name: str
    path: str
    start_s: float
    end_s: float
    copy_name: str


@dataclass(frozen=True)
class Plan:
    """All copies, and the list that names them anew.

    Args:
        manifest: where they come from; None for a folder.
        job_of_row: for each row of the manifest its place in `jobs`.
        classes: a file of class names that belongs to them.
    """

    jobs: tuple[Job, ...]
    manifest: Path | None = None
    job_of_row: tuple[int, ...] = ()
    classes: Path | None = None


def plan_copies(what: Path, root: Path | None, command: str) -> Plan:
    """One copy a video of a folder, or a span of a manifest. Raises UserError as `files_to_check` does."""
    files = files_to_check(what, root, command)
    nothing = (math.nan, math.nan)
    if what.is_dir() or list(files.values()) == [str(what)]:
        spans = [(name, path, *nothing) for name, path in files.items()]
        manifest, folder, rows = None, what if what.is_dir() else what.parent, list[Row]()
    else:
        manifest, folder = what, what.parent
        base = folder if root is None else root
        rows = read_rows(what, base)[0]
        names = {path: name for name, path in files.items()}
        spans = [(names[row.path], row.path, row.start_s, row.end_s) for row in rows]
    copies = _copy_names(spans)
    classes = folder / CLASS_FILE
    return Plan(
        tuple(Job(*span, copy_name) for span, copy_name in zip(spans, copies, strict=True)),
        manifest, tuple(range(len(rows))), classes if classes.is_file() else None,
    )  # fmt: skip


def _copy_names(spans: Sequence[tuple[str, str, float, float]]) -> list[str]:
    """`a/b.avi` becomes `a/b.mp4`, its span of 1.5 to 4 s `a/b_1.5-4.0.mp4`; where two would be one, `a/b.avi.mp4`."""
    plain = [os.path.splitext(name)[0] + _told(start_s, end_s) + SUFFIX for name, _, start_s, end_s in spans]
    count = Counter(plain)
    names = [
        short if count[short] == 1 else name + _told(start_s, end_s) + SUFFIX
        for short, (name, _, start_s, end_s) in zip(plain, spans, strict=True)
    ]
    if doubled := [name for name, times in Counter(names).items() if times > 1]:
        one, other = (span[0] for span, name in zip(spans, names, strict=True) if name == doubled[0])
        raise UserError(f"the copies of {one} and {other} would both be called {doubled[0]}; rename one of the two")
    return names


def _told(start_s: float, end_s: float) -> str:
    if math.isnan(start_s) and math.isnan(end_s):
        return ""
    start, end = ("" if math.isnan(value) else repr(value) for value in (start_s, end_s))
    return f"_{start}-{end}"


def refuse_folder(out: Path, what: Path, jobs: Iterable[Job], known: bool) -> None:
    """Raises UserError where a copy would take the place of something that is no copy.

    Args:
        known: the folder holds what an earlier call has left.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"out: {out} is no folder", "give the folder of the copies, a new one for instance")
    new = os.path.realpath(out)
    if what.is_dir() and os.path.join(new, "").startswith(os.path.join(os.path.realpath(what), "")):
        where = "is the folder of the originals" if new == os.path.realpath(what) else f"lies in {what}"
        hint = "a folder beside it is right: what lies inside would be copied once more the next time"
        raise UserError(f"out: {out} {where}", hint)
    originals = {os.path.realpath(job.path): job for job in jobs}
    for job in originals.values():
        target = os.path.join(new, job.copy_name)
        if os.path.realpath(target) in originals:
            raise UserError(f"out: {target} is one of the originals; give another folder")
        if not known and os.path.lexists(target):
            raise UserError(f"out: {target} is there already, and no copy of this command; give another folder")


def write_list(plan: Plan, copied: Mapping[int, str], out: Path) -> Path | None:
    """Writes the manifest anew, its other columns as they were, and the class names; gives its path.

    Args:
        copied: {place in the plan's jobs: name of the copy} of those that are there; rows of others are left out.
    Raises:
        WorkError: the operating system refused the write.
    """
    if plan.classes is not None:
        write_bytes(out / CLASS_FILE, plan.classes.read_bytes())
    if plan.manifest is None:
        return None
    lines = csv.reader(io.StringIO(plan.manifest.read_bytes().decode("utf-8-sig"), newline=""))
    header, *rows = [values for values in lines if any(value.strip() for value in values)]
    names = [name.strip() for name in header]
    # A video without a group is one by its path, and splits are made by groups: the original's path stays its group.
    path, group = names.index("path"), names.index("group") if "group" in names else -1
    text = io.StringIO(newline="")
    written = csv.writer(text, lineterminator="\n")
    written.writerow(header if "group" in names else [*header, "group"])
    for values, job in zip(rows, plan.job_of_row, strict=True):
        if job in copied:
            row = values if "group" in names else [*values, ""]
            row[group] = row[group] or plan.jobs[job].name
            row[path] = copied[job]
            written.writerow(row)
    write_bytes(out / plan.manifest.name, text.getvalue().encode("utf-8", "surrogateescape"))
    return out / plan.manifest.name
