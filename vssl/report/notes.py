"""What stands under a table: how to read it, what is not comparable, what failed."""

from collections.abc import Sequence

from vssl.report import clips
from vssl.report.compare import Compared, budget_text
from vssl.report.gather import MAP, METRIC
from vssl.report.grid import BELOW
from vssl.report.rows import INTERVAL_NAMES, Cell, Column, Row


def title(rows: Sequence[Row], reference: Row | None, compared: Compared) -> str:
    """Data, backbone, budget and seeds of the first row, or of what was evaluated where nothing was trained."""
    if not rows:
        return "no finished encoder"
    encoder = (reference or rows[0]).first
    identity = encoder.record["identity"]
    parts = [str(identity.get("data"))]
    parts.append("backbones compared" if compared == "backbone" else str(identity.get("backbone")))
    if reference is not None:
        parts.append(f"budget {budget_text(encoder) or 'unknown'}")
        seeds = ", ".join(str(seed) for seed in reference.seeds)
        parts.append(f"{'seed' if reference.n == 1 else 'seeds'} {seeds}")
    return " · ".join(parts)


def reading(rows: Sequence[Row], bare: Sequence[str]) -> list[str]:
    """How the numbers are to be read; only what occurs in this table.

    Args:
        bare: names of rows that no random encoder stands beside.
    """
    cells = [cell for row in rows for cell in row.cells.values()]
    if not cells:
        return ["No evaluation is finished."]
    shown = {key[4] for row in rows for key in row.cells}
    what = "Top-1 accuracy on test videos in %" if METRIC in shown else "Test videos, in %: what a column names"
    other = ", or the number that a column names" if METRIC in shown and len(shown) > 1 else ""
    lines = [f"{what}{other}. {_intervals(cells)}"]
    if MAP in shown:
        lines.append(
            "map: mean average precision over classes, of videos that may carry several; no chance level is known."
        )
    if any(cell.best for cell in cells):
        lines.append("Bold: the highest among rows under the same conditions, and all whose interval overlaps its own.")
    if any(cell.not_above_random for cell in cells):
        lines.append(f"{BELOW} does not beat random: not above the interval of the untrained encoder `random`.")
    if bare:
        lines.append(
            f"No `random` beside {_listed(bare)}: whether training helped at all cannot be read here "
            "(vssl evaluate random)."
        )
    if any(row.cost for row in rows):
        waited = any(row.cost.get("data_wait_share") for row in rows)
        wait = "; wait is the share of time spent waiting for clips" if waited else ""
        lines.append(f"Cost of training: samples count repeats{wait}.")
    rules = dict.fromkeys(
        str(row.first.record["identity"]["split"]) for row in rows if row.first.record["identity"].get("split")
    )
    lines += [f"Split: {rule}." for rule in rules if rule != "official"]
    return lines


def transductive(columns: Sequence[Column]) -> list[str]:
    """Evaluations whose answers are not given one by one."""
    names = list(dict.fromkeys(f"{one.protocol} on {one.label}" for one in columns if one.stamp.get("transductive")))
    told = "Transductive: what is answered for a test video depends on all the others, whose mean was taken from it"
    return [f"{told} ({_listed(names)})."] if names else []


def same_clips(rows: Sequence[Row], reference: Row | None) -> list[str]:
    """Whether rows with equal settings of data and first view were shown the same clips, as their digests say."""
    if reference is None:
        return []
    others = [row for row in rows if row.kind == "run" and row is not reference and _comparable(row, reference)]
    found = [(row.title, clips.compare(row, reference)) for row in others]
    lines = []
    if same := [f"{name} (at {one.samples:,} samples)" for name, one in found if one.verdict == "same"]:
        lines.append(
            f"Same clips: by its digest the first view of {reference.name} is that of {_listed(same)}, "
            "compared at the last count that both have."
        )
    if differ := [f"{name} (at {one.samples:,} samples)" for name, one in found if one.verdict == "differ"]:
        lines.append(f"Not the same clips as {reference.name}: {_listed(differ)}.")
    if unknown := [f"{name} ({one.reason})" for name, one in found if one.verdict == "unknown"]:
        lines.append(f"Same clips as {reference.name} or not is unknown: {_listed(unknown)}.")
    return lines


def counted(rows: Sequence[Row]) -> list[str]:
    """Clips that were padded or read at a smaller stride, and videos that could not be read and were replaced."""
    lines = []
    for row in rows:
        clips_of = [encoder.record.get("clips") or {} for encoder in row.encoders]
        if padded := sum(int(one.get("padded") or 0) for one in clips_of):
            lines.append(f"{row.title}: {padded:,} views were longer than their video and padded.")
        if clamped := sum(int(one.get("clamped") or 0) for one in clips_of):
            lines.append(f"{row.title}: {clamped:,} views were read at a smaller stride to fit into their video.")
        if replaced := sum(len(one.get("replaced") or ()) for one in clips_of):
            lines.append(f"{row.title}: {replaced:,} unreadable videos were replaced by others.")
    return lines


def interval_legend(cells: Sequence[Cell]) -> str:
    """What the error bars are."""
    occurring = sorted({min(cell.n, 3) for cell in cells})
    return "bars: " + "; ".join(f"{INTERVAL_NAMES[n]} (n {'≥' if n == 3 else '='} {n})" for n in occurring)


def _comparable(row: Row, reference: Row) -> bool:
    mine, theirs = row.first, reference.first
    if not mine.positions or not theirs.positions:
        return mine.hashes.get("data") == theirs.hashes.get("data")
    equal_views = mine.positions[0]["settings"] == theirs.positions[0]["settings"]
    return equal_views and mine.hashes.get("data") == theirs.hashes.get("data")


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _intervals(cells: Sequence[Cell]) -> str:
    occurring = sorted({min(cell.n, 3) for cell in cells})
    texts = {
        1: f"n = 1 (one seed): value and {INTERVAL_NAMES[1]}, which says nothing about other seeds.",
        2: "n = 2: the values of both seeds.",
        3: f"n ≥ 3: mean ± standard deviation over seeds, and {INTERVAL_NAMES[3]}.",
    }
    return " ".join(texts[n] for n in occurring)
