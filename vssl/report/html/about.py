"""What the numbers depend on: the stamps of the evaluations, the machines and versions, as the records have them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vssl.report.differences import differing, flat, shown
from vssl.report.html.markup import Markup, joined, tag
from vssl.report.html.section import Section, folded, grid

if TYPE_CHECKING:
    from vssl.report.table import Table

Trees = dict[str, Mapping[str, Any]]
"""{what it is of: nested settings}."""


def protocol(table: "Table") -> Section:
    stamps: Trees = {}
    several = len({column.data for column in table.columns}) > 1
    for column in table.columns:
        marks = f" [{column.marks}]" if column.marks else ""
        of = f"{column.data} {column.label}" if several else column.label
        stamps.setdefault(f"{of} · {column.protocol}{marks}", column.stamp)
    body = _compared(stamps, "equal in all evaluations", opened=True)
    return Section("protocol", "Protocol", body, "no evaluation is finished (vssl evaluate RUN eval=knn,linear)")


def environment(table: "Table") -> Section:
    """Of the trainings, and of the evaluations where nothing was trained; equal ones once."""
    groups: dict[str, tuple[Mapping[str, Any], list[str]]] = {}
    for row in table.rows:
        for encoder in row.encoders:
            own = encoder.record.get("environment") or {}
            if own:
                groups.setdefault(repr(sorted(flat(own).items(), key=str)), (own, []))[1].append(
                    f"{row.title}, seed {encoder.seed}"
                )
    several = len(groups) > 1
    trees = {f"machine {place}": tree for place, (tree, _) in enumerate(groups.values(), 1)}
    who = [f"machine {place}: {'; '.join(names)}." for place, (_, names) in enumerate(groups.values(), 1)]
    body = _compared(trees, "equal for all rows", opened=False)
    return Section("environment", "Environment", body, "the records hold none", who if several else ())


def _compared(trees: Trees, equal: str, opened: bool) -> Markup:
    """Two tables: what differs, a column each; and what is equal in all of them, once."""
    if not trees:
        return Markup()
    leaves = {name: flat(tree) for name, tree in trees.items()}
    apart = set(differing(list(trees.values())))
    other = [key for key in dict.fromkeys(key for leaf in leaves.values() for key in leaf) if key in apart]
    first = next(iter(leaves.values()))
    same = [(key, _told(value)) for key, value in first.items() if key not in other]
    parts = []
    if other:
        rows = [(key, *(_told(leaf.get(key), key in leaf) for leaf in leaves.values())) for key in other]
        parts.append(grid(("", *leaves), rows, words=range(len(leaves) + 1)))
    if same:
        parts.append(
            folded(f"{equal}: {len(same)} settings", grid(("", ""), same, words=(0, 1)), opened=opened and not other)
        )
    return joined(*parts)


def _told(value: object, known: bool = True) -> Markup | str:
    """In full, but for hashes, whose first digits are enough to be compared."""
    if not known:
        return "–"
    short = shown(value)
    return (
        tag("code", short, title=value) if isinstance(value, str) and short != value and len(short) == 8 else str(value)
    )
