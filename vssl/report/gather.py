"""What lies in a folder of runs: encoders with their evaluations, and what failed."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from vssl.config.errors import UserError, nearest
from vssl.config.folders import read_yaml
from vssl.records.hashes import hash_of
from vssl.records.record import Record, find_records, owner
from vssl.report.forms import check_result, read_whole

Kind = Literal["run", "random", "mean_frame", "motion_path", "file"]

METRIC = "top1"
"""What is shown of an evaluation unless others are asked for."""
MAP = "map"
"""Mean average precision, where videos may carry several classes."""
GAP = "gap_"
"""Numbers that are called so are differences of shares: they may be negative, and more is not better."""


@dataclass(frozen=True)
class Evaluated:
    """One number of a finished evaluation of one encoder; its predictions lie in `folder`."""

    record: Record
    folder: Path
    metric: str = METRIC

    @property
    def data(self) -> str:
        return str(self.record["identity"]["data"])

    @property
    def label(self) -> str:
        return str(self.record["identity"]["label"])

    @property
    def protocol(self) -> str:
        return str(self.record["identity"]["protocol"])

    @property
    def stamp(self) -> dict[str, Any]:
        return dict(self.record["protocol"])

    @cached_property
    def column(self) -> tuple[str, str, str, str, str]:
        """Numbers stand in one column only where all of this is equal; the stamp holds the lists of videos."""
        return self.data, self.label, self.protocol, hash_of(self.stamp), self.metric

    @property
    def result(self) -> dict[str, float]:
        """{"value", "low", "high"}, shares in [0, 1]."""
        return dict(self.record["results"][self.metric])

    @property
    def weights(self) -> str | None:
        return self.record["identity"]["encoder"].get("weights")

    @property
    def finished(self) -> str:
        return str(self.record.get("finished") or "")


@dataclass(frozen=True)
class Encoder:
    """One encoder of one seed.

    Args:
        folder: where its record lies.
        unfinished: its run had not ended when it was evaluated.
    """

    folder: Path
    record: Record
    kind: Kind
    unfinished: bool = False
    evaluations: tuple[Evaluated, ...] = ()

    @property
    def method(self) -> str:
        return str(self.record["identity"]["method"])

    @property
    def backbone(self) -> str:
        return str(self.record["identity"].get("backbone"))

    @property
    def called(self) -> str:
        """Its method; its own name where no run of ours made it, since several files share a layout."""
        return _called(self.record)

    @property
    def label(self) -> str | None:
        """The label that it was trained on, if on any."""
        return self.record["identity"].get("label")

    @property
    def seed(self) -> int:
        return int(self.record["seed"])

    @property
    def hashes(self) -> dict[str, str]:
        return dict(self.record["identity"]["hashes"])

    @property
    def positions(self) -> list[dict[str, str]]:
        """Per view: name, hash of its settings, digest of its clips."""
        return list((self.record.get("clips") or {}).get("positions") or [])

    @property
    def collapse(self) -> dict[str, float] | None:
        """{"since" (step), "feature_std", "effective_rank"} where its features had collapsed at the end of training."""
        health = self.record.get("health") or {}
        return (
            {key: health[key] for key in ("since", "feature_std", "effective_rank")}
            if health.get("collapsed")
            else None
        )

    @cached_property
    def config(self) -> dict[str, Any]:
        """The bound configuration beside the record, for naming what differs; empty where there is none."""
        try:
            return read_yaml(self.folder / "config.yaml")
        except UserError:
            return {}

    @property
    def group(self) -> tuple[object, ...]:
        """Equal for encoders that differ in their seed only."""
        parts = ("data", "views", "backbone", "method", "train") if self.kind == "run" else ("data", "backbone")
        own = str(self.folder) if self.kind == "file" else None
        return self.kind, self.method, self.unfinished, own, *(self.hashes.get(part) for part in parts)


@dataclass
class Gathered:
    """Everything below one folder.

    Args:
        metrics: numbers that are asked for.
        troubles: one line for everything that is missing from the rows: failed, unfinished, unreadable, superseded.
    """

    folder: Path
    metrics: Sequence[str] = (METRIC,)
    encoders: list[Encoder] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)


def gather(folder: Path, only: Collection[Path] | None = None, metrics: Sequence[str] = (METRIC,)) -> Gathered:
    """Reads the records below `folder`.

    Args:
        only: folders of runs or evaluations to take; None takes all.
        metrics: numbers that each evaluation shows, as its record calls them.
    Raises:
        UserError: no evaluation has one of `metrics`.
    """
    found = Gathered(Path(folder), tuple(metrics))
    records: dict[Path, Record] = {}
    for path in find_records(folder):
        if not _wanted(path.parent, only):
            continue
        try:
            records[path.parent] = read_whole(path)
        except UserError as error:
            found.troubles.append(_told(error, found))
    _refuse_unknown(found.metrics, records.values())
    for place, record in records.items():
        if record["kind"] != "evaluate":
            _add_encoder(found, place, record, list(_evaluations(found, place, record, records)))
        elif owner(place) not in records:
            found.troubles.append(f"{_relative(place, found.folder)}: an evaluation without the record of its encoder")
    return found


def _refuse_unknown(metrics: Sequence[str], records: Iterable[Record]) -> None:
    known = dict.fromkeys(name for record in records for name in record.get("results") or ())
    for metric in metrics:
        if metric != METRIC and metric not in known:
            raise UserError(
                f"metrics={metric}: no evaluation here has that number{nearest(metric, known)}",
                ", ".join(known) or None,
            )


def _wanted(folder: Path, only: Collection[Path] | None) -> bool:
    """Whether `folder`, its encoder's folder, or an evaluation in it is named."""
    if only is None:
        return True
    named = {Path(path).resolve() for path in only}
    own = folder.resolve()
    return own in named or owner(own) in named or any(owner(path) == own for path in named)


def _evaluations(found: Gathered, place: Path, record: Record, records: dict[Path, Record]) -> Iterator[Evaluated]:
    """Finished evaluations of one encoder; the others become troubles."""
    for folder, evaluation in records.items():
        if evaluation["kind"] != "evaluate" or owner(folder) != place:
            continue
        if evaluation["status"] == "done":
            yield from _numbers(found, folder, evaluation)
            continue
        who = f"{_seeded(record)}, {evaluation['identity']['protocol']} on {evaluation['identity']['label']}"
        found.troubles.append(f"{who}: evaluation {_outcome(evaluation)}")


def _numbers(found: Gathered, folder: Path, evaluation: Record) -> Iterator[Evaluated]:
    for metric in _shown(evaluation, found.metrics):
        try:
            check_result(evaluation, metric, folder)
        except UserError as error:
            found.troubles.append(_told(error, found))
        else:
            yield Evaluated(evaluation, folder, metric)


def _told(error: UserError, found: Gathered) -> str:
    return str(error).splitlines()[0].replace(f"{found.folder}/", "")


def _shown(record: Record, metrics: Sequence[str]) -> list[str]:
    """Of what is asked for all that it has; else top-1, else its first number."""
    results = record["results"]
    asked = [metric for metric in metrics if metric in results]
    return asked or ([METRIC] if METRIC in results else list(results)[:1])


def _add_encoder(found: Gathered, place: Path, record: Record, evaluations: list[Evaluated]) -> None:
    kind: Kind = "run" if record["kind"] == "pretrain" else _baseline_kind(record, evaluations)
    final = [one for one in evaluations if one.record["identity"]["encoder"].get("checkpoint") != "last"]
    early = [one for one in evaluations if one not in final]
    if record["status"] == "done":
        found.encoders.append(Encoder(place, record, kind, evaluations=_newest(found, record, final)))
    else:
        found.troubles.append(f"{_seeded(record)}: {_outcome(record)} ({_relative(place, found.folder)})")
    if early:
        found.encoders.append(Encoder(place, record, kind, True, _newest(found, record, early)))


def _baseline_kind(record: Record, evaluations: list[Evaluated]) -> Kind:
    kinds = {one.record["identity"]["encoder"]["kind"] for one in evaluations}
    name = kinds.pop() if len(kinds) == 1 else record["identity"]["method"]
    return name if name in ("random", "mean_frame", "motion_path") else "file"


def _newest(found: Gathered, record: Record, evaluations: list[Evaluated]) -> tuple[Evaluated, ...]:
    """One evaluation a column; a run that was made again has older ones, of its former weights, beside it."""
    newest: dict[tuple[str, ...], Evaluated] = {}
    for one in sorted(evaluations, key=lambda one: one.finished):
        newest[one.column] = one
    if superseded := len({one.folder for one in evaluations} - {one.folder for one in newest.values()}):
        found.troubles.append(f"{_seeded(record)}: {superseded} older evaluation(s) left out, made again since")
    return tuple(newest.values())


def _relative(place: Path, folder: Path) -> str:
    return "." if place == folder else str(place.relative_to(folder))


def _called(record: Record) -> str:
    return str(record["identity"]["name" if record["kind"] == "encoder" else "method"])


def _seeded(record: Record) -> str:
    return f"{_called(record)}, seed {record['seed']}"


def _outcome(record: Record) -> str:
    if record["status"] == "stopped":
        return f"stopped by {record.get('stopped_by')}"
    if record["status"] != "failed":
        return f"not finished (status '{record['status']}')"
    lines = str(record.get("error") or "without a message").strip().splitlines()
    return f"failed: {lines[-1]}"
