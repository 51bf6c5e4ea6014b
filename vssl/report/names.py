"""What a row is called: its method, and what tells it from other rows of that method."""

from collections.abc import Mapping, Sequence
from typing import Any

from vssl.records.hashes import data_settings
from vssl.report.differences import differing, flat, shown
from vssl.report.gather import Encoder
from vssl.report.rows import Row

_SHOWN = 2  # settings in a name, where fewer would do
_RECIPE = ("method", "optim", "train", "trainer")
_ALL = (*_RECIPE, "budget", "views", "backbone", "clip", "data")


def name_rows(rows: Sequence[Row], with_backbone: bool = False) -> None:
    """Sets `name` on every row; no two rows have the same name and marks."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        on_backbone = with_backbone and row.kind in ("run", "random")
        name = f"{plain_name(row)} on {row.first.backbone}" if on_backbone else plain_name(row)
        groups.setdefault(name, []).append(row)
    for name, alike in groups.items():
        suffixes = _suffixes(alike) if len(alike) > 1 else [""]
        for row, suffix in zip(alike, suffixes, strict=True):
            row.name = f"{name} ({suffix})" if suffix else name


def plain_name(row: Row) -> str:
    """Its method, and the label that it was trained on, if on any."""
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
    return _told([comparable_settings(encoder) for encoder in encoders])


def _by_names(encoders: Sequence[Encoder]) -> list[str]:
    identities = [encoder.record["identity"] for encoder in encoders]
    return _told([{part: identity.get(part) for part in ("backbone", "data", "views")} for identity in identities])


def _by_hashes(encoders: Sequence[Encoder]) -> list[str]:
    return _parts([{part: value for part, value in one.hashes.items() if part != "eval"} for one in encoders])


def comparable_settings(encoder: Encoder) -> dict[str, Any]:
    """The nodes of its configuration that may tell it from another one, without what no clip depends on."""
    return _settings(encoder, _ALL)


def _settings(encoder: Encoder, nodes: Sequence[str]) -> dict[str, Any]:
    tree = {node: encoder.config[node] for node in nodes if isinstance(encoder.config.get(node), Mapping)}
    if "data" in tree:
        tree["data"] = data_settings(tree["data"])
    return tree


def _told(trees: Sequence[Mapping[str, Any]]) -> list[str]:
    """`"mask_ratio=0.5, optim.base_lr=0.001 and 2 more"` for each; what one of them lacks is left out there.

    Every key that it takes to tell the rows apart is shown, such as the axes of an ablation, and at least `_SHOWN`.
    """
    leaves, keys = [flat(tree) for tree in trees], differing(trees)
    needed = _telling(leaves, keys)
    needed += [key for key in keys if key not in needed][: max(0, _SHOWN - len(needed))]
    shown_keys = [key for key in keys if key in needed]
    texts = []
    for leaf in leaves:
        own = [f"{key.removeprefix('method.')}={shown(leaf[key])}" for key in shown_keys if leaf.get(key) is not None]
        hidden = sum(leaf.get(key) is not None for key in keys if key not in needed)
        texts.append(", ".join(own) + (f" and {hidden} more" if hidden else ""))
    return texts


def _telling(leaves: Sequence[Mapping[str, object]], keys: Sequence[str]) -> list[str]:
    """Those of `keys`, in their order, that tell apart what the ones before them do not."""
    found: list[str] = []
    for key in keys:
        if len(_kinds(leaves, [*found, key])) > len(_kinds(leaves, found)):
            found.append(key)
    return found


def _kinds(leaves: Sequence[Mapping[str, object]], keys: Sequence[str]) -> set[tuple[str, ...]]:
    return {tuple(repr(leaf.get(key)) for key in keys) for leaf in leaves}


def _parts(trees: Sequence[Mapping[str, str | None]]) -> list[str]:
    """`"train 3fa9c1d2"`: first digits of the hashes that differ."""
    keys = differing(trees)
    return [", ".join(f"{key} {(tree.get(key) or 'none')[:8]}" for key in keys) for tree in trees]
