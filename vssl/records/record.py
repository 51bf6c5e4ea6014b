"""The record of a run or an evaluation: one JSON file that says what a number is and what it depends on."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from vssl.config.errors import UserError
from vssl.records.atomic import write_json
from vssl.records.folders import RECORD

SCHEMA = 1
KINDS = ("pretrain", "encoder", "evaluate")

_ENCODER = ("identity.name", "identity.method", "identity.backbone", "identity.data", "identity.hashes")
_NEEDED = {
    "pretrain": _ENCODER,
    "encoder": _ENCODER,
    "evaluate": ("identity.encoder", "identity.data", "identity.protocol", "identity.label"),
}
_AGAIN = "delete the file and give the command that wrote it again; vssl itself writes whole files only"

Record = dict[str, Any]


class NoRecord(UserError):
    """There is none, or none that is whole: the work that it would tell of has to be done again."""


def write_record(folder: Path, record: Mapping[str, object]) -> Path:
    """Writes `<folder>/record.json` atomically, with the schema's version first; returns its path."""
    path = Path(folder) / RECORD
    write_json(path, {"schema": SCHEMA, **{key: value for key, value in record.items() if key != "schema"}})
    return path


def read_record(folder_or_file: Path) -> Record:
    """Reads a record from its folder or its file.

    Raises:
        NoRecord: there is none, or it is not whole.
        UserError: it cannot be read, or a newer vssl wrote it. The message names the file.
    """
    path = Path(folder_or_file)
    path = path / RECORD if path.is_dir() else path
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise NoRecord(f"{path}: no record there") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise NoRecord(f"{path}: not a whole record: {error}", _AGAIN) from error
    return _checked(record, path)


def find_records(folder: Path) -> list[Path]:
    """Every `record.json` below `folder`, in the order of their paths; none where the folder does not exist."""
    return sorted(path for path in Path(folder).rglob(RECORD) if path.is_file())


def records(folder: Path) -> pd.DataFrame:
    """One row an evaluation, and one a run or encoder that has none; nested fields become dotted columns.

    Columns: `path` (folder, relative to `folder`), `kind`, `status`, `error`, `seed`; what the record holds, dotted
    (`results.top1.value`, `identity.label`); and for an evaluation the fields of its encoder's record under `run.`
    (`run.identity.method`, `run.budget.steps`). A record that cannot be read is a row with `status` "unreadable" and
    its error.
    """
    folder = Path(folder)
    rows: dict[Path, dict[str, object]] = {}
    for path in find_records(folder):
        try:
            rows[path.parent] = flat(read_record(path))
        except UserError as error:
            rows[path.parent] = {"status": "unreadable", "error": str(error).splitlines()[0]}
    owners = {place: owner(place) for place, row in rows.items() if row.get("kind") == "evaluate"}
    shown = []
    for place, row in rows.items():
        if place in owners.values():
            continue
        run = rows.get(owners[place], {}) if place in owners else {}
        shown.append({"path": str(place.relative_to(folder)), **row, **{f"run.{key}": run[key] for key in run}})
    return pd.DataFrame(shown, columns=None if shown else ["path", "kind", "status", "error", "seed"])


def owner(eval_folder: Path) -> Path:
    """The folder of the encoder that an evaluation's folder `<encoder>/eval/<protocol>-<label>-<hash8>` belongs to."""
    return Path(eval_folder).parent.parent


def flat(record: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Nested mappings as one mapping with dotted keys; lists stay as they are."""
    found: dict[str, object] = {}
    for key, value in record.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _checked(record: object, path: Path) -> Record:
    if not isinstance(record, dict) or not isinstance(record.get("schema"), int):
        raise NoRecord(f"{path}: not a record of vssl: it holds no schema version", _AGAIN)
    if record["schema"] > SCHEMA:
        raise UserError(
            f"{path}: written by a newer vssl (schema {record['schema']}, this one reads up to {SCHEMA})",
            "update vssl to read it",
        )
    if record.get("kind") not in KINDS:
        raise UserError(f"{path}: unknown kind of record {record.get('kind')!r}; known: {', '.join(KINDS)}", _AGAIN)
    if missing := [key for key in _needed(record) if not _holds(record, key)]:
        raise NoRecord(f"{path}: not a whole record: there is no {', '.join(missing)} in it", _AGAIN)
    return record


def _needed(record: Record) -> tuple[str, ...]:
    """What every reader of such a record relies on."""
    results = ("protocol", "results") if record["kind"] == "evaluate" and record.get("status") == "done" else ()
    return ("status", "seed", *_NEEDED[record["kind"]], *results)


def _holds(record: Record, key: str) -> bool:
    node: object = record
    for part in key.split("."):
        if not isinstance(node, dict) or part not in node:
            return False
        node = node[part]
    return True
