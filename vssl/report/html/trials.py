"""The trials of sweeps, from the plain files that a sweep keeps of them (docs/sweeps.md)."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Trial:
    """One trial.

    Args:
        folder: `trials/<id>`.
        made: folders of its run, or of its encoder without training, and of their evaluations.
        words: that made it on the command line, without paths. bound: its configuration.
        attempts: how often it was tried. error: last line of the last failure.
    """

    folder: Path
    made: tuple[Path, ...]
    name: str
    words: tuple[str, ...]
    bound: dict[str, Any]
    status: str
    attempts: int
    error: str


def trials_of(runs: Path) -> Iterator[Trial]:
    """Those below a folder, in the order of their paths; what cannot be read is left out."""
    for path in sorted(Path(runs).rglob("trials/*/trial.json")):
        state, plan = _read(path), _read(path.with_name("plan.json"))
        if state:
            yield _trial(path.parent, state, plan)


def _trial(folder: Path, state: dict[str, Any], plan: dict[str, Any]) -> Trial:
    sweep = folder.parent.parent
    names = [*([state["run"]] if state.get("run") else []), *(state.get("shown") or ())]
    return Trial(
        folder=folder,
        made=tuple(sweep / str(name) for name in names),
        name=str(plan.get("name") or folder.name),
        words=tuple(map(str, plan.get("words") or ())),
        bound=dict(plan.get("bound") or {}),
        status=str(state.get("status")),
        attempts=int(state.get("attempts") or 0),
        error=str(state.get("error") or "without a message"),
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}
