"""Published numbers, from `reference.yaml`: what each is, and under what protocol it was got."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

from vssl.config.errors import UserError, nearest
from vssl.config.folders import read_yaml

FILE = Path(__file__).with_name("reference.yaml")
UNKNOWN, NONE = "unknown", "none"

Fact = int | str
"""A number, or `unknown`."""


@dataclass(frozen=True)
class Reference:
    """One published number with its protocol; see the head of `reference.yaml` for each field."""

    id: str
    method: str
    backbone: str
    pretrained_on: str
    epochs: Fact
    labels: str
    images: str
    data: str
    evaluation: str
    frames: Fact
    stride: Fact
    clips: Fact
    crops: Fact
    size: Fact
    metrics: Mapping[str, float]
    source: str
    read: str
    note: str

    @property
    def set(self) -> str:
        return f"{self.data}_{self.evaluation}"


FIELDS = tuple(field.name for field in fields(Reference))


@cache
def references(file: Path = FILE) -> dict[str, list[Reference]]:
    """All rows by the set that they belong to, in the order of the file.

    Raises:
        ValueError: a row lacks a field, or has one that is not known.
    """
    found: dict[str, list[Reference]] = {}
    for row in read_yaml(file)["rows"]:
        if odd := set(FIELDS) ^ set(row):
            raise ValueError(f"{file.name}, {row.get('id')}: missing or unknown fields {sorted(odd)}")
        one = Reference(**row)
        found.setdefault(one.set, []).append(one)
    return dict(sorted(found.items()))


def known_set(name: str) -> str:
    """`name`, where there is such a set.

    Raises:
        UserError: there is none; the nearest and all are named.
    """
    known = references()
    if name not in known:
        raise UserError(f"reference={name}: no such set of published rows{nearest(name, known)}", ", ".join(known))
    return name
