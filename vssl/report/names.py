"""What a row is called: its method, and what tells it from other rows of that method."""

from collections.abc import Mapping, Sequence
from typing import Any

from vssl.records.hashes import data_settings
from vssl.report.differences import differing, flat, shown
from vssl.report.gather import Encoder
from vssl.report.rows import Row

_SHOWN = 2
_RECIPE = ("method", "optim", "train", "trainer")
_ALL = (*_RECIPE, "budget", "views", "backbone", "clip", "data")


def name_rows(rows: Sequence[Row], with_backbone: bool = False) -> None:
    """Sets `name` on every row; no two rows have the same name and marks."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        on_backbone = with_backbone and row.kind in ("run", "random")
        name = f"{_plain_name(row)} on {row.first.backbone}" if on_backbone else _plain_name(row)
        groups.setdefault(name, []).append(row)
    for name, alike in groups.items():
        suffixes = _suffixes(alike) if len(alike) > 1 else [""]
        for row, suffix in zip(alike, suffixes, strict=True):
            row.name = f"{name} ({suffix})" if suffix else name


def _plain_name(row: Row) -> str:
    label = row.first.label
    return row.first.called if label is None else f"{row.first.called} on {label}"


def _suffixes(rows: Sequence[Row]) -> list[str]:
    """From what a reader knows best to what always tells rows apart.

    What a row's letter says already (another budget, data set, backbone, view) is not said again.
    """
    for describe in (_by_recipe, _by_settings, _by_names, _by_hashes):
        suffixes = describe([row.first for row in rows])
        told_apart = {(suffix, row.marks) for suffix, row in zip(suffixes, rows, strict=True)}
        if len(told_apart) == len(rows):
            return suffixes
    return [row.first.folder.name for row in rows]


def _by_recipe(encoders: Sequence[Encoder]) -> list[str]:
    """Settings of method and training, the budget apart."""
    if all(encoder.config for encoder in encoders):
        return _told([_settings(encoder, _RECIPE) for encoder in encoders])
    return _parts([{"method": encoder.hashes.get("method")} for encoder in encoders])


def _by_settings(encoders: Sequence[Encoder]) -> list[str]:
    return _told([_settings(encoder, _ALL) for encoder in encoders])


def _by_names(encoders: Sequence[Encoder]) -> list[str]:
    identities = [encoder.record["identity"] for encoder in encoders]
    return _told([{part: identity.get(part) for part in ("backbone", "data", "views")} for identity in identities])


def _by_hashes(encoders: Sequence[Encoder]) -> list[str]:
    return _parts([{part: value for part, value in one.hashes.items() if part != "eval"} for one in encoders])


def _settings(encoder: Encoder, nodes: Sequence[str]) -> dict[str, Any]:
    tree = {node: encoder.config[node] for node in nodes if isinstance(encoder.config.get(node), Mapping)}
    if "data" in tree:
        tree["data"] = data_settings(tree["data"])
    return tree


def _told(trees: Sequence[Mapping[str, Any]]) -> list[str]:
    """`"mask_ratio=0.5, optim.base_lr=0.001 and 2 more"` for each; what one of them lacks is left out there."""
    keys = differing(trees)
    texts = []
    for leaves in map(flat, trees):
        own = [f"{key.removeprefix('method.')}={shown(leaves[key])}" for key in keys if leaves.get(key) is not None]
        more = f" and {len(own) - _SHOWN} more" if len(own) > _SHOWN else ""
        texts.append(", ".join(own[:_SHOWN]) + more)
    return texts


def _parts(trees: Sequence[Mapping[str, str | None]]) -> list[str]:
    """`"train 3fa9c1d2"`: first digits of the hashes that differ."""
    keys = differing(trees)
    return [", ".join(f"{key} {(tree.get(key) or 'none')[:8]}" for key in keys) for tree in trees]
