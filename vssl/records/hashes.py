"""Hashes of what a number depends on: the bound configuration, part by part."""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path

from vssl.records.weights import weights_file

PARTS = ("data", "views", "backbone", "method", "train", "eval")

# Where the files lie, which label is read, what the user calls them, what the cache may take, when
# bad files stop a run: no clip changes by it.
DATA_LEFT_OUT = frozenset(
    {
        "root", "label", "manifest", "annotations", "train_list", "test_list", "label_map", "outside_root", "cache",
        "train_shards", "test_shards", "unlabelled_shards",
        "prepared_gb", "max_bad_fraction", "max_missing_fraction",
    }
)  # fmt: skip


def hash_of(obj: object) -> str:
    """SHA-256 (64 hex digits) of plain data: mappings with text keys, sequences, text, numbers, booleans, None.

    Independent of key order and of list against tuple. Integers differ from floats (1 and 1.0), floats enter by `repr`.

    Raises:
        TypeError: something else is in it. A path, above all: two machines would never agree on it.
    """
    text = json.dumps(_canonical(obj, "value"), sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 (64 hex digits) of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def part_hashes(bound: Mapping[str, object], data_content: str) -> dict[str, str]:
    """The hash of every part in `PARTS` of a bound configuration.

    Args:
        bound: the tree that binding returned, defaults included.
        data_content: hash of the sample ids and file sizes; the data node alone does not say what lies in the folder.
    """
    data = data_settings(_node(bound, "data"))
    backbone = dict(_node(bound, "backbone"))
    path = backbone.pop("weights", None)
    # The content counts, not the place; a bound run says it itself, and outlives the file.
    if path and "weights_sha256" not in backbone:
        backbone["weights_sha256"] = file_hash(weights_file(Path(str(path))))
    parts: dict[str, object] = {
        "data": {"node": data, "content": data_content},
        "views": bound.get("views"),
        "backbone": {"node": backbone or bound.get("backbone"), "clip": bound.get("clip")},
        "method": bound.get("method"),
        "train": {key: bound.get(key) for key in ("train", "optim", "budget", "trainer")},
        "eval": bound.get("eval"),
    }
    return {part: hash_of(parts[part]) for part in PARTS}


def data_settings(node: Mapping[str, object]) -> dict[str, object]:
    """What of a data node a clip depends on: without `DATA_LEFT_OUT`, in the sets of a mix neither."""
    kept = {key: value for key, value in node.items() if key not in DATA_LEFT_OUT}
    if isinstance(sets := kept.get("sets"), Mapping):
        kept["sets"] = {name: data_settings(one) if isinstance(one, Mapping) else one for name, one in sets.items()}
    return kept


def trial_hash(bound: Mapping[str, object], data_content: str) -> str:
    """What makes two pretrainings the same run: every part but the evaluation, and the seed."""
    parts = part_hashes(bound, data_content)
    del parts["eval"]
    return hash_of({**parts, "seed": bound.get("seed")})


def _node(bound: Mapping[str, object], key: str) -> Mapping[str, object]:
    node = bound.get(key) or {}
    assert isinstance(node, Mapping), f"the node {key!r} of a bound configuration is a mapping"
    return node


def _canonical(obj: object, where: str) -> object:
    if obj is None or isinstance(obj, bool | int | str):
        return obj
    if isinstance(obj, float):
        return obj if math.isfinite(obj) else {"float": repr(obj)}  # JSON has no infinity
    if isinstance(obj, Mapping):
        for key in obj:
            if not isinstance(key, str):
                raise TypeError(f"{where}: only text keys can be hashed, found {key!r}")
        return {key: _canonical(value, f"{where}.{key}") for key, value in obj.items()}
    if isinstance(obj, list | tuple):
        return [_canonical(value, f"{where}[{place}]") for place, value in enumerate(obj)]
    if isinstance(obj, Path):
        raise TypeError(f"{where}: a path does not belong into a hash ({obj}); hash what lies there")
    raise TypeError(f"{where}: cannot hash a {type(obj).__name__}; only plain data has one form on every machine")
