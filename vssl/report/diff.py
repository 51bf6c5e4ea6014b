"""Two runs side by side: everything in which they differ, and how much is equal."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vssl.config.errors import UserError
from vssl.config.folders import read_yaml
from vssl.records.folders import RECORD
from vssl.records.record import Record
from vssl.report.clips import compare_runs
from vssl.report.differences import flat, shown
from vssl.report.forms import read_whole
from vssl.report.gather import Encoder
from vssl.report.listing import Listing, Value

HEADS = ("part", "key", "A", "B", "B − A")
PARTS = ("configuration", "data", "software", "machine", "budget", "status", "results")
_CODE, _DECODER = ("commit", "versions", "python"), ("decoder", "reader")

Leaves = dict[str, object]


@dataclass(frozen=True)
class Side:
    """One run, encoder or evaluation, as its files tell.

    Args:
        leaves: {part: {dotted key: value}}, in the order of `PARTS`.
        troubles: what could not be read.
    """

    folder: Path
    record: Record
    leaves: dict[str, Leaves]
    troubles: list[str] = field(default_factory=list)


def diff(a: Path, b: Path) -> Listing:
    """What differs between two folders, each of a run, an encoder or an evaluation.

    Raises:
        UserError: a folder that is not there, without a record, or with one that cannot be read.
    """
    sides = read_side(a), read_side(b)
    mine, theirs = (side.leaves for side in sides)
    rows, records = list[tuple[str, ...]](), list[Mapping[str, Value]]()
    equal: dict[str, int] = {}
    for part in PARTS:
        for key in sorted({*mine[part], *theirs[part]}):
            one, other = mine[part].get(key), theirs[part].get(key)
            if one == other:
                equal[part] = equal.get(part, 0) + 1
                continue
            apart = _minus(other, one)
            in_short = shown(one), shown(other)
            rows.append(
                (part, key, *(in_short if in_short[0] != in_short[1] else (str(one), str(other))), _signed(apart))
            )
            records.append({"part": part, "key": key, "a": _plain(one), "b": _plain(other), "b_minus_a": apart})
    same = ", ".join(f"{count} of {part}" for part, count in equal.items())
    return Listing(
        name="diff",
        title=f"A: {a} · B: {b}",
        heads=HEADS,
        text=frozenset({0, 1, 2, 3}),
        rows=rows,
        records=records,
        lines=[
            *([] if rows else ["Nothing differs."]),
            *([f"Equal and left out: {same}."] if same else []),
            *_clips(*sides),
        ],
        troubles=[trouble for side in sides for trouble in side.troubles],
    )


def read_side(folder: Path) -> Side:
    """The files of one side.

    Raises:
        UserError: it is not there, without a record, or with one that cannot be read.
    """
    if not folder.is_dir():
        raise UserError(f"table --diff: there is no folder {folder}", "give the folders of two runs: --diff A B")
    if not (folder / RECORD).exists():
        inside = sorted(path.parent.name for path in folder.glob(f"*/{RECORD}"))
        hint = f"give one of the runs in it: {', '.join(inside[:3])}" if inside else "the run has not begun, or is none"
        raise UserError(f"table --diff: {folder} holds no {RECORD}", hint)
    record, troubles = read_whole(folder), list[str]()
    alone = record["kind"] == "evaluate"
    evaluations = {folder: record} if alone else dict(_evaluations(folder, troubles))
    environment = dict(record.get("environment") or {})
    leaves: dict[str, Leaves] = {
        "configuration": {} if alone else _config(folder, troubles),
        "data": _data(record, evaluations),
        "software": flat({key: environment.get(key) for key in _CODE}),
        "machine": flat({key: value for key, value in environment.items() if key not in (*_CODE, *_DECODER)}),
        "budget": flat(record.get("budget") or {}),
        "status": _status(record),
        "results": _results(evaluations),
    }
    return Side(folder, record, {part: _told(each) for part, each in leaves.items()}, troubles)


def _evaluations(folder: Path, troubles: list[str]) -> Iterator[tuple[Path, Record]]:
    for path in sorted(folder.glob(f"eval/*/{RECORD}")):
        try:
            yield path.parent, read_whole(path)
        except UserError as error:
            troubles.append(str(error).splitlines()[0])


def _config(folder: Path, troubles: list[str]) -> Leaves:
    try:
        leaves = flat(read_yaml(folder / "config.yaml")) if (folder / "config.yaml").exists() else {}
        return {key: value for key, value in leaves.items() if key != "seed"}  # the record has it too
    except UserError as error:
        troubles.append(str(error).splitlines()[0])
        return {}


def _data(record: Record, evaluations: Mapping[Path, Record]) -> Leaves:
    """What was read: hashes of the parts, lists, digests of the clips, the decoder."""
    clips = dict(record.get("clips") or {})
    positions = {one["name"]: one for one in clips.pop("positions", None) or ()}
    environment = record.get("environment") or {}
    identity = {key: value for key, value in record["identity"].items() if key not in ("name", "encoder")}
    decoder = {key: environment.get(key) for key in _DECODER}
    found = {"identity": identity, "lists": record.get("lists"), "clips": clips | positions, **decoder}
    stamps = {_name(one): (one.get("protocol") or {}).get("lists") for one in evaluations.values()}
    inputs = {f"{_name(one)} inputs": one.get("inputs") for one in evaluations.values()}
    return flat({**found, **{f"{name} lists": lists for name, lists in stamps.items()}, **inputs})


def _status(record: Record) -> Leaves:
    return flat({key: record.get(key) for key in ("kind", "status", "error", "seed", "health")})


def _results(evaluations: Mapping[Path, Record]) -> Leaves:
    """Numbers and stamps by evaluation; of several of the same name the one that was finished last."""
    found: dict[str, object] = {}
    for one in sorted(evaluations.values(), key=lambda one: str(one.get("finished") or "")):
        stamp = {key: value for key, value in (one.get("protocol") or {}).items() if key != "lists"}
        status = {} if one["status"] == "done" else {"status": one["status"], "error": one.get("error")}
        found[_name(one)] = {**(one.get("results") or {}), "stamp": stamp, "chosen": one.get("chosen"), **status}
    return flat(found)


def _name(evaluation: Record) -> str:
    return f"{evaluation['identity']['protocol']} on {evaluation['identity']['label']}"


def _told(leaves: Leaves) -> Leaves:
    """Without what nobody knows: it is neither equal nor different."""
    return {key: value for key, value in leaves.items() if value is not None}


def _minus(b: object, a: object) -> float | None:
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (a, b))
    return b - a if numbers else None  # type: ignore[operator]


def _signed(number: float | None) -> str:
    return "" if number is None else f"{number:+,.4g}".replace("-", "−")


def _plain(value: object) -> Value:
    return value if value is None or isinstance(value, int | float | str) else str(value)


def _clips(a: Side, b: Side) -> list[str]:
    """Whether both were shown the same clips as far as both went, whatever their lengths."""
    if not a.record["kind"] == b.record["kind"] == "pretrain":
        return []
    found = compare_runs(*(Encoder(side.folder, side.record, "run") for side in (a, b)))
    if found.verdict == "unknown":
        return [f"Whether both saw the same clips is unknown: {found.reason}."]
    same = "the same as" if found.verdict == "same" else "others than"
    return [f"Clips: by the digests of the first view A saw {same} B up to {found.samples:,} samples."]
