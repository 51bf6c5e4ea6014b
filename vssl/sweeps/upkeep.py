"""What is asked of the folder of a sweep: how far it is, and what in it can be made again."""

import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from vssl.config.errors import UserError, WorkError
from vssl.records.atomic import reason
from vssl.records.folders import BACKBONE
from vssl.records.locks import is_held
from vssl.records.record import read_record
from vssl.sweeps.progress import Watched
from vssl.sweeps.state import PlanState
from vssl.sweeps.view import shown

LEFTOVERS = ".*.tmp*"


def status(folder: Path) -> int:
    """Prints every trial that was ever planned in `folder`."""
    state = PlanState(folder)
    names = {}
    for trial in state.ids():
        try:
            names[trial] = state.work(trial).name
        except UserError:
            names[trial] = trial
    Console().print(shown(str(folder), Watched(state, names).look(), rows=None))
    return 0


@dataclass(frozen=True)
class Removable:
    """A file that can be made again, and what it is."""

    path: Path
    what: str
    size: int


def clean(folder: Path, sure: bool) -> int:
    """Shows what can be made again and removes it, after a yes where nobody was `sure` before.

    Raises:
        WorkError: a file could not be removed; the others are gone.
    """
    found = removable(folder)
    console = Console()
    for one in found:
        console.print(f"{_size(one.size):>10}  {one.path.relative_to(folder)}  ({one.what})", highlight=False)
    total = f"{len(found)} files, {_size(sum(one.size for one in found))}"
    if not found:
        console.print("there is nothing to remove", highlight=False)
        return 0
    if not sure and not sys.stdin.isatty():
        console.print(f"{total}; nothing was removed: say so with --yes", highlight=False)
        return 0
    if not sure and input(f"remove {total}? [y/N] ").strip().lower() not in ("y", "yes"):
        console.print("nothing was removed", highlight=False)
        return 0
    failed = [told for one in found if (told := _removed(one.path))]
    if failed:
        raise WorkError(f"{len(failed)} of {len(found)} files could not be removed: {failed[0]}")
    console.print(f"removed {total}", highlight=False)
    return 0


def removable(folder: Path) -> list[Removable]:
    """Training checkpoints of finished runs, and temporary files of killed processes; nothing that is in use."""
    found = []
    for run in sorted(path.parent for path in folder.glob("*/config.yaml")):
        if is_held(run):
            continue
        found += [Removable(file, "left by a killed process", file.stat().st_size) for file in run.rglob(LEFTOVERS)]
        if _is_finished(run):
            found += [
                Removable(file, "checkpoint of a finished training", file.stat().st_size)
                for file in sorted((run / BACKBONE).parent.glob("*.ckpt"))
            ]
    return found


def _is_finished(run: Path) -> bool:
    try:
        return read_record(run)["status"] == "done" and (run / BACKBONE).is_file()
    except UserError:
        return False


def _removed(path: Path) -> str | None:
    """None, or why it could not be removed."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        return f"{path}: {reason(error)}"
    return None


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
