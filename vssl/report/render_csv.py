"""The table for a spreadsheet or a script: one line a row, every number apart and unrounded."""

import csv
import io
from typing import TYPE_CHECKING

from vssl.report.gather import METRIC
from vssl.report.rows import COST, Cell, Column, Row

if TYPE_CHECKING:
    from vssl.report.table import Table

Value = str | int | float | None

_COST_HEADS = dict(zip(COST, ("steps", "samples", "seconds", "flop", "data_wait_share"), strict=True))


def csv_text(table: "Table") -> str:
    """Accuracies are shares in [0, 1]; what a row differs in, and collapse, stand in words in the last columns."""
    lines = [_line(row, table) for row in table.rows]
    if any(column.chance is not None for column in table.columns):
        lines.append(_chance(table))
    heads = list(dict.fromkeys(key for line in lines for key in line))
    text = io.StringIO()
    writer = csv.DictWriter(text, heads, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _line(row: Row, table: "Table") -> dict[str, Value]:
    identity = row.first.record["identity"]
    line: dict[str, Value] = {
        "row": row.name,
        "kind": row.kind,
        "method": row.first.method,
        "trained_on_label": row.first.label,
        "backbone": identity.get("backbone"),
        "data": identity.get("data"),
        "n": row.n,
        "seeds": " ".join(str(seed) for seed in row.seeds),
    }
    for column in table.columns:
        line |= _numbers(head(column, table), _value(column), row.cells.get(column.key))
    line |= {_COST_HEADS[key]: row.cost.get(key) for key in COST}
    line["differs"] = "; ".join(row.differences)
    line["collapsed"] = row.collapse
    return line


def _numbers(name: str, value: str, cell: Cell | None) -> dict[str, Value]:
    heads = [f"{name} {what}" for what in (value, *_KINDS)]
    if cell is None:
        return dict.fromkeys(heads)
    low, high = cell.interval
    values = " ".join(str(value) for value in cell.values)
    return dict(
        zip(
            heads,
            (cell.mean, cell.std, low, high, cell.interval_name, values, int(cell.not_above_random)),
            strict=True,
        )
    )


_KINDS = ("std", "low", "high", "interval", "values", "not_above_random")


def _value(column: Column) -> str:
    return METRIC if column.metric == METRIC else "value"  # another number is named before it


def head(column: Column, table: "Table") -> str:
    """`motion/knn`, with the data set where there are several, and the letter of its note."""
    several = len({one.data for one in table.columns}) > 1
    name = f"{column.label}/{column.head}"
    return (f"{column.data}/{name}" if several else name) + (f"/{column.marks}" if column.marks else "")


def _chance(table: "Table") -> dict[str, Value]:
    line: dict[str, Value] = {"row": "chance", "kind": "chance"}
    for column in table.columns:
        line[f"{head(column, table)} {_value(column)}"] = column.chance
    return line
