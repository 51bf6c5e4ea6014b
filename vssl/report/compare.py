"""Which rows may be read together: conditions, and the letters of those that are under others."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

from vssl.records.hashes import data_settings, hash_of
from vssl.report import clips
from vssl.report.differences import told
from vssl.report.gather import Encoder
from vssl.report.grid import flop_unit
from vssl.report.rows import Column, Row

_LETTERS = "abcdefghijklmnoprstuvwxyz"  # q has no superscript


class Letters:
    """One letter for each distinct text, in the order of their first use."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def of(self, text: str) -> str:
        if text not in self.texts:
            self.texts.append(text)
        return self._letter(self.texts.index(text))

    def pairs(self) -> list[tuple[str, str]]:
        return [(self._letter(place), text) for place, text in enumerate(self.texts)]

    @staticmethod
    def _letter(place: int) -> str:
        return _LETTERS[place % len(_LETTERS)] * (place // len(_LETTERS) + 1)


Compared = Literal["method", "backbone"]


def compared_by(rows: Sequence[Row]) -> Compared:
    """What the rows are there to compare: backbones, where one method was trained on several, else methods."""
    trained = [row.first.hashes for row in rows if row.kind == "run" and row.first.label is None]
    methods, backbones = ({hashes.get(part) for hashes in trained} for part in ("method", "backbone"))
    return "backbone" if len(methods) == 1 and len(backbones) > 1 else "method"


def conditions(row: Row, compared: Compared) -> dict[str, str]:
    """Hashes of what must be equal for two trained rows to be ranked together."""
    encoder = row.first
    hashes = encoder.hashes
    first_view = encoder.positions[0]["settings"] if encoder.positions else "unknown"
    equal = {"data": hashes.get("data", ""), "first view": first_view, "budget": hash_of(planned(encoder))}
    return equal if compared == "backbone" else {**equal, "backbone": hashes.get("backbone", "")}


def reference_of(rows: Sequence[Row], compared: Compared) -> Row | None:
    """The row that the others are compared with: under the conditions most rows share, with the clips most rows saw.

    Rows trained without labels come before those trained with; of equals the first of `rows`.
    """
    trained = [row for row in rows if row.kind == "run" and not row.first.unfinished]
    candidates = [row for row in trained if row.first.label is None] or trained
    if not candidates:
        return None
    most = Counter(hash_of(conditions(row, compared)) for row in candidates).most_common(1)[0][0]
    alike = [row for row in candidates if hash_of(conditions(row, compared)) == most]
    return max(alike, key=lambda row: sum(clips.compare(row, other).verdict == "same" for other in alike))


def mark_rows(rows: Sequence[Row], reference: Row | None, letters: Letters, compared: Compared) -> None:
    """Names, on every trained row, what is other than in `reference`."""
    for row in rows:
        if row.kind != "run":
            continue
        row.differences = ["unfinished run, read at its last checkpoint"] if row.first.unfinished else []
        if reference is not None and row is not reference:
            row.differences += differences(row, reference, compared)
        row.marks = "".join(letters.of(text) for text in row.differences)


def differences(row: Row, reference: Row, compared: Compared) -> list[str]:
    """One text for each condition that is other, and one where the clips are, although the settings are equal."""
    mine, theirs = conditions(row, compared), conditions(reference, compared)
    found = [_difference(part, row.first, reference.first) for part in mine if mine[part] != theirs[part]]
    if mine["data"] == theirs["data"] and mine["first view"] == theirs["first view"]:
        seen = clips.compare(row, reference)
        if seen.verdict == "differ":
            found.append(f"other clips at equal settings: the digests differ at {seen.samples:,} samples")
    return found


def mark_columns(columns: Sequence[Column], letters: Letters) -> list[Column]:
    """A letter on every column that only its stamp tells from an earlier one."""
    marked: list[Column] = []
    for column in columns:
        former = next((one for one in marked if one.question == column.question), None)
        other = (told(column.stamp, former.stamp) or "stamps of another form") if former else ""
        marked.append(Column(column.key, column.stamp, letters.of(f"other evaluation: {other}") if other else ""))
    return marked


def mark_inputs(rows: Sequence[Row], columns: Sequence[Column], letters: Letters) -> None:
    """A letter on every number that was got from other evaluation clips than the column's first one."""
    for column in columns:
        cells = [row.cells[column.key] for row in rows if column.key in row.cells]
        expected = cells[0].inputs[0] if cells else None
        for cell in cells:
            if any(digest != expected for digest in cell.inputs):
                cell.marks += letters.of("other evaluation clips at equal settings: the digests of the inputs differ")


def mark_collapsed(rows: Sequence[Row], letters: Letters) -> None:
    """A letter on every row with a run whose features had collapsed at its end, as its record says."""
    for row in rows:
        found = [(encoder.seed, health) for encoder in row.encoders if (health := encoder.collapse)]
        row.collapse = "; ".join(
            f"{f'seed {seed}: ' if row.n > 1 else ''}features collapsed since step {health['since']:,}: effective rank "
            f"{health['effective_rank']:.1f}, standard deviation {health['feature_std']:.2g} of 1"
            for seed, health in found
        )
        row.warning = letters.of(row.collapse) if found else ""


def mark_random(rows: Sequence[Row], columns: Sequence[Column]) -> list[str]:
    """Flags what is no higher than the upper bound of `random` on the same backbone; returns who lacks such a row."""
    without = []
    for row in rows:
        if row.kind not in ("run", "file"):
            continue
        bare = [other for other in rows if other.kind == "random" and _backbone(other) == _backbone(row)]
        bounds = {
            column.key: max(other.cells[column.key].interval[1] for other in bare if column.key in other.cells)
            for column in columns
            if column.is_ranked and any(column.key in other.cells for other in bare)
        }
        for key, cell in row.cells.items():
            cell.not_above_random = key in bounds and cell.mean <= bounds[key]
        if {column.key for column in columns if column.is_ranked and column.key in row.cells} - bounds.keys():
            without.append(row.title)
    return without


def mark_best(rows: Sequence[Row], columns: Sequence[Column]) -> None:
    """In each column where more is better: the highest of the ranked rows, and all whose interval overlaps its own."""
    for column in columns:
        if not column.is_ranked:
            continue
        cells = [row.cells[column.key] for row in rows if row.is_ranked and column.key in row.cells]
        if len(cells) < 2:
            continue
        low = max(cells, key=lambda cell: cell.mean).interval[0]
        for cell in cells:
            cell.best = cell.interval[1] >= low and not cell.not_above_random


def planned(encoder: Encoder) -> dict[str, Any]:
    return dict((encoder.record.get("budget") or {}).get("planned") or {})


def budget_text(encoder: Encoder) -> str:
    """`"12.3 TFLOP"`, `"200 steps"`; empty where the record does not hold it."""
    texts = []
    for name, value in planned(encoder).items():
        if not isinstance(value, int | float):
            texts.append(f"{name}={value}")
            continue
        texts.append(amount(name, value))
    return " ".join(texts)


def amount(name: str, value: float) -> str:
    """`"12.3 TFLOP"` of flops, `"200 steps"` of steps."""
    unit, size = flop_unit(value) if name == "flops" else (name, 1)
    number = value / size
    return f"{number:,.0f} {unit}" if number == int(number) else f"{number:,.4g} {unit}"


def _difference(part: str, own: Encoder, other: Encoder) -> str:
    if part == "budget":
        return f"budget: {budget_text(own) or 'unknown'}, not {budget_text(other) or 'unknown'}"
    if part == "first view":
        return f"first view: {told(_first_view(own), _first_view(other)) or 'other settings'}"
    mine, theirs = own.record["identity"].get(part), other.record["identity"].get(part)
    if mine != theirs:
        return f"{part}: {mine}, not {theirs}"
    text = told(_settings(part, own), _settings(part, other))
    return f"{part}: {text or 'another one of the same name, the hashes differ'}"


def _settings(part: str, encoder: Encoder) -> dict[str, Any]:
    """The nodes that a part's hash is over, without what is not in it."""
    nodes = {"data": ("data",), "backbone": ("backbone", "clip")}[part]
    settings = {node: dict(encoder.config.get(node) or {}) for node in nodes}
    return {"data": data_settings(settings["data"])} if part == "data" else settings


def _first_view(encoder: Encoder) -> dict[str, Any]:
    if not encoder.positions:
        return {}
    name = encoder.positions[0]["name"].partition(".")[0]
    return dict((encoder.config.get("views") or {}).get(name) or {})


def _backbone(row: Row) -> str | None:
    return row.first.hashes.get("backbone")
