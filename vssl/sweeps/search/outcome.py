"""What a search came to: the choice, written down before the test list is read, and how its points did."""

import csv
import io
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from vssl.records.atomic import write_text
from vssl.sweeps.plan import Plan, Space, Trial, encoders
from vssl.sweeps.search.points import OBJECTIVE, Told
from vssl.sweeps.search.search import Search

FATES = {"trained": "trained to the end", "stopped": "stopped early", "failed": "failed", "open": "not ended"}


@dataclass(frozen=True)
class Found:
    """Args: todo: the ordinary sweep that is left: of the chosen points alone; notes: lines for the table."""

    todo: Plan
    notes: tuple[str, ...]


def found(search: Search) -> Found:
    """Chooses, writes that down, and says how the points did."""
    best = search.points.choose(search.settings.finalists)
    told = search.points.told()
    write_text(search.points.folder / "points.csv", _csv(search, told))
    chosen = [search.trials[one.point.trial] for one in best]
    todo = replace(search.todo, trials=(*chosen, *encoders(search.settings, chosen)), space=None)
    return Found(todo, tuple(_notes(search, told, best)))


def _notes(search: Search, told: Sequence[Told], best: Sequence[Told]) -> Iterator[str]:
    counts = [f"{n} {said}" for fate, said in FATES.items() if (n := sum(one.fate == fate for one in told))]
    yield f"Search ({search.settings.search}): {len(told)} points, {', '.join(counts)}; {search.points.folder}"
    if search.exhausted:
        yield f"The axes hold no more points: {len(told)} of {search.settings.trials} were tried."
    for one in told:
        state = search.state.read(one.point.trial)
        if one.fate == "failed":
            yield f"{search.names[one.point.trial]}: failed: {state.error}"
        elif one.fate == "stopped":
            yield f"{search.names[one.point.trial]}: {state.said}"
    if not best:
        yield "No point was trained to its end and measured, so that none is chosen."
        return
    winner = search.trials[best[0].point.trial]
    equal = sum(one.value == best[0].value for one in told) - 1
    tie = f"; {equal} more {'has' if equal == 1 else 'have'} the same, and the first is taken" if equal else ""
    yield (
        f"Best: {winner.name}, {best[0].value:.1%} by the online probe{tie}. Being the highest of {len(told)}, that "
        "figure is optimistic; report an evaluation. The choice was made on training videos alone, before the test "
        f"list was read; only the {'best point is' if len(best) == 1 else f'best {len(best)} are'} evaluated."
    )
    yield f"`{_command(winner, search.space)}`"


def _command(trial: Trial, space: Space) -> str:
    """`vssl pretrain ...` that makes the trial."""
    paths = [f"{key}={path}" for key, path in space.composer.paths.items()]
    return shlex.join(["vssl", "pretrain", *trial.words, *paths])


def _csv(search: Search, told: Sequence[Told]) -> str:
    """A row a point, the best first, those that did not come to their end last."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["number", "trial", "fate", OBJECTIVE, "measurements", *search.space.varied])
    for one in sorted(told, key=lambda one: (one.fate != "trained", -(one.probes[-1] if one.probes else 0.0))):
        values = search.trials[one.point.trial].values
        last = one.probes[-1] if one.probes else ""
        said = [values[axis] for axis in search.space.varied]
        rows.writerow([one.point.number, one.point.trial, one.fate, last, len(one.probes), *said])
    return text.getvalue()
