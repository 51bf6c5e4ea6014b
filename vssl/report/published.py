"""Published numbers beside own ones: never ranked with them, each difference with what else is different."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vssl.report.compare import Letters
from vssl.report.listing import Listing, Value
from vssl.report.reference import FIELDS, NONE, UNKNOWN, Reference, references
from vssl.report.rows import Column, Row

if TYPE_CHECKING:
    from vssl.report.table import Table

HEADS = ("published", "backbone", "pretraining", "labels, images", "frames x clips x crops")
_CLIP = ("frames", "stride", "clips", "crops", "size")


@dataclass(frozen=True)
class Own:
    """One number of ours that stands beside the published ones."""

    row: Row
    column: Column
    title: str

    @property
    def value(self) -> float:
        """In percent."""
        return 100 * self.row.cells[self.column.key].mean


def published(table: "Table", name: str) -> Listing:
    """One line a published number; behind it own number minus published one, for each own row of that evaluation."""
    there, letters = references()[name], Letters()
    sources = list(dict.fromkeys(_source(one) for one in there))
    own = _own(table, there[0])
    rows, records = list[tuple[str, ...]](), list[Mapping[str, Value]]()
    metrics = list(dict.fromkeys(metric for one in there for metric in one.metrics))
    for one in there:
        found = [(mine, mismatches(mine, one)) for mine in own]
        cells = [_difference(mine, one) + _letters(_together(texts), letters) for mine, texts in found]
        note = f" [{letters.of(f'there: {one.note}')}]" if one.note != NONE else ""
        rows.append((*_facts(one, note), *(_figure(one, metric) for metric in metrics), *cells, _place(one, sources)))
        records += [_record(one, mine, texts) for mine, texts in found] or [_record(one, None, [])]
    heads = (*HEADS, *metrics, *(mine.title for mine in own), "source")
    return Listing(
        name="published",
        title=f"published: {there[0].evaluation} on {there[0].data}",
        heads=heads,
        text=frozenset({0, 1, 2, 3, 4}),
        rows=rows,
        records=records,
        lines=[
            *_reading(there[0], own, table),
            *(f"[{letter}] {text}" for letter, text in letters.pairs()),
            *(f"source {place}: {source}" for place, source in enumerate(sources, 1)),
        ],
    )


def mismatches(mine: Own, one: Reference) -> list[str]:
    """What is other here than there, or not known of either, in words: `"size: 32, not 224"`."""
    here, there = _here(mine), _there(one)
    differ = [f"{key}: {here[key]}, not {there[key]}" for key in here if _differ(here[key], there[key])]
    silent = [key for key in here if there[key] == UNKNOWN]
    differ += [f"not known of the published number: {', '.join(silent)}"] if silent else []
    untold = [key for key in here if here[key] == UNKNOWN and there[key] != UNKNOWN]
    differ += [f"not known of ours: {', '.join(untold)}"] if untold else []
    split = mine.row.first.record["identity"].get("split")
    return differ + ([f"test list: {split}"] if split not in (None, "official") else [])


def _differ(here: str, there: str) -> bool:
    return here != there and UNKNOWN not in (here, there)


def _here(mine: Own) -> dict[str, str]:
    encoder = mine.row.first
    trained = mine.row.kind == "run"
    epochs = (encoder.record.get("budget") or {}).get("epochs")
    data = encoder.record["identity"].get("data")
    started = (encoder.config.get("backbone") or {}).get("weights")
    untrained = mine.row.kind in ("random", "mean_frame")
    return {
        **_clip(mine.column.stamp.get("clip") or {}),
        "backbone": encoder.backbone,
        "pretraining": str(data) if trained else NONE if untrained else UNKNOWN,
        "epochs": f"{epochs:.4g}" if trained and epochs is not None else "0" if untrained else UNKNOWN,
        "labels": (encoder.label or NONE) if (trained and not started) or untrained else UNKNOWN,
        "images": NONE if (trained and not started) or untrained else UNKNOWN,
    }


def _there(one: Reference) -> dict[str, str]:
    clip = {key: str(getattr(one, key)) for key in _CLIP}
    return {
        **clip, "backbone": one.backbone, "pretraining": one.pretrained_on, "epochs": str(one.epochs),
        "labels": one.labels, "images": one.images,
    }  # fmt: skip


def _clip(stamp: Mapping[str, Any]) -> dict[str, str]:
    """Of the stamp's clip, where views are written "clips x crops"."""
    views = re.match(r"(\d+) x (\d+)", str(stamp.get("views")))
    counts = dict(zip(("clips", "crops"), views.groups(), strict=True)) if views else {}
    return {key: str(counts.get(key, stamp.get(key, UNKNOWN))) for key in _CLIP}


def _own(table: "Table", one: Reference) -> list[Own]:
    """Numbers of this evaluation on this data set; the label and the column's letter are named where it takes them."""
    columns = [
        column for column in table.columns if (column.data, column.stamp.get("protocol")) == (one.data, one.evaluation)
    ]
    found = []
    for row in table.rows:
        for column in columns:
            if column.key in row.cells:
                which = f" {column.label} {column.protocol} {column.marks}".rstrip() if len(columns) > 1 else ""
                found.append(Own(row, column, row.title + which))
    return found


def _source(one: Reference) -> str:
    return one.source if one.read == UNKNOWN else f"{one.source}, as of {one.read}"


def _place(one: Reference, sources: Sequence[str]) -> str:
    return str(sources.index(_source(one)) + 1)


def _difference(mine: Own, one: Reference) -> str:
    metric = mine.column.metric
    if metric not in one.metrics:
        return "–"
    return f"{mine.value - one.metrics[metric]:+.1f}".replace("-", "−")


def _together(texts: Sequence[str]) -> list[str]:
    """What differs in the test clips as one text, so that it has one letter."""
    clips = [text for text in texts if text.partition(":")[0] in _CLIP]
    return (["; ".join(clips)] if clips else []) + [text for text in texts if text not in clips]


def _letters(texts: Sequence[str], letters: Letters) -> str:
    return f" [{' '.join(letters.of(text) for text in texts)}]" if texts else ""


def _facts(one: Reference, note: str) -> tuple[str, ...]:
    epochs = "" if one.epochs == UNKNOWN else f", {one.epochs} epochs"
    beyond = [text for text in (one.labels, one.images) if text != NONE]
    views = " x ".join("?" if fact == UNKNOWN else str(fact) for fact in (one.frames, one.clips, one.crops))
    return one.method + note, one.backbone, one.pretrained_on + epochs, "; ".join(dict.fromkeys(beyond)) or NONE, views


def _figure(one: Reference, metric: str) -> str:
    return f"{one.metrics[metric]:.1f}" if metric in one.metrics else "–"


def _record(one: Reference, mine: Own | None, texts: Sequence[str]) -> dict[str, Value]:
    metric, value = next(iter(one.metrics.items()))
    facts: dict[str, Value] = {field: getattr(one, field) for field in FIELDS if field != "metrics"}
    facts |= {"metric": metric, "value": value}
    if mine is None:
        return facts
    comparable = mine.column.metric == metric
    return facts | {
        "own": mine.title, "own_value": mine.value, "difference": mine.value - value if comparable else None,
        "mismatch": "; ".join(texts),
    }  # fmt: skip


def _reading(one: Reference, own: Sequence[Own], table: "Table") -> list[str]:
    lines = ["Published numbers in %, as their sources have them, without seeds or intervals; not ranked with ours."]
    if own:
        return [*lines, "Behind them: ours minus published, in points, with the letters of what else is different."]
    here = dict.fromkeys(f"{column.protocol} on {column.data}" for column in table.columns)
    return [*lines, f"Nothing of ours is {one.evaluation} on {one.data}; here is {', '.join(here) or 'nothing'}."]
