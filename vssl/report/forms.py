"""A record as a table reads it: what it relies on has the form it should have, or the record is named and left out."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vssl.config.errors import UserError
from vssl.records.record import Record, read_record
from vssl.report.differences import shown

_NUMBER, _MAPPING, _LIST = (int, float), Mapping, (list, tuple)


def read_whole(folder_or_file: Path) -> Record:
    """`read_record`, and its values looked at.

    Raises:
        UserError: as `read_record`, or a value is of a kind that cannot be shown; names the file and the key.
    """
    record = read_record(folder_or_file)
    _check(_asked(record), folder_or_file)
    return record


def check_result(record: Record, metric: str, folder: Path) -> None:
    """Raises UserError where a number that is to be shown is none, or has no interval."""
    result = record["results"][metric]
    name = f"results.{metric}"
    _check([(name, result, _MAPPING)], folder)
    _check([(f"{name}.{key}", result.get(key), _NUMBER) for key in ("value", "low", "high")], folder)


def _check(asked: Iterable[tuple[str, Any, Any]], place: Path) -> None:
    for key, value, kind in asked:
        if isinstance(value, bool) or not isinstance(value, kind):
            raise UserError(f"{place}: not a whole record: {key} is {shown(value)}")


def _asked(record: Record) -> Iterator[tuple[str, Any, Any]]:
    """(dotted key, value, kinds that it may be of), an outer one before those in it."""
    yield "seed", record["seed"], int
    identity = record["identity"]
    if record["kind"] == "evaluate":
        yield "identity.encoder", identity["encoder"], _MAPPING
        if record["status"] == "done":
            yield from _of_results(record)
    else:
        yield "identity.hashes", identity["hashes"], _MAPPING
        # An encoder without training has no hash of its method.
        yield from ((f"identity.hashes.{part}", value or "", str) for part, value in identity["hashes"].items())
    budget = record.get("budget") or {}
    yield "budget", budget, _MAPPING
    yield "budget.planned", budget.get("planned") or {}, _MAPPING
    yield from _of_clips(record)


def _of_results(record: Record) -> Iterator[tuple[str, Any, Any]]:
    yield "protocol", record["protocol"], _MAPPING
    yield "protocol.lists", record["protocol"].get("lists", {}), _MAPPING
    yield "protocol.classes", record["protocol"].get("classes") or 0, _NUMBER
    yield "results", record["results"], _MAPPING


def _of_clips(record: Record) -> Iterator[tuple[str, Any, Any]]:
    clips = record.get("clips") or {}
    yield "clips", clips, _MAPPING
    yield from ((f"clips.{key}", clips.get(key) or 0, _NUMBER) for key in ("padded", "clamped"))
    yield "clips.replaced", clips.get("replaced") or (), _LIST
    positions = clips.get("positions") or ()
    yield "clips.positions", positions, _LIST
    if positions:
        yield "clips.samples", clips.get("samples"), _NUMBER
    for one in positions:
        yield "clips.positions", one, _MAPPING
        yield from ((f"clips.positions.{key}", one.get(key), str) for key in ("name", "settings", "digest"))
