"""What of the records is shown, under which names, in which order: `filter=`, `rows=`, `columns=`, `sort=`."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from vssl.config.errors import UserError, nearest
from vssl.report.differences import differing, flat, shown
from vssl.report.gather import Encoder, Gathered
from vssl.report.names import comparable_settings, plain_name
from vssl.report.rows import COST, Column, Row

_IDENTITY = ("method", "backbone", "data", "views", "seed", "kind")
_EVALUATION = ("label", "protocol")
_DESCENDING = "-"


class Selection:
    """A part of what was found; nothing given shows all of it.

    Args:
        filter: conditions with `;` between, each KEY=VALUE,VALUE or KEY!=VALUE,VALUE. KEY is method, backbone, data,
            views, seed or kind, label or protocol of an evaluation, or any dotted key of a run's configuration.
        rows: keys that name the rows, with commas between, in place of what the table finds.
        columns: evaluations to show, in this order: protocol, label, or label/protocol, with commas between.
        sort: a column, a cost (steps, samples, seconds, ...) or a key to order rows by; `-` before it: highest first.
            Rows that may not be ranked together stay apart.
        budget: a kind of budget (steps, samples, clips, flops, seconds, epochs): a table for each value of it that runs
            were trained to.
    """

    def __init__(
        self,
        filter: str | None = None,
        rows: str | None = None,
        columns: str | None = None,
        sort: str | None = None,
        budget: str | None = None,
    ) -> None:
        self.budget = budget
        self.conditions = [_condition(text) for text in (filter or "").split(";") if text.strip()]
        self.rows, self.columns = _words(rows), _words(columns)
        self.sort = (sort or "").strip()
        self.filter = (filter or "").strip()

    def keep(self, found: Gathered) -> list[str]:
        """Leaves in `found` what was asked for; returns a line that says so.

        Raises:
            UserError: a key, value or column that nothing here has; names the nearest one.
        """
        before = len(found.encoders)
        for key, values, wanted in self.conditions:
            _refuse_unknown(found.encoders, key, values)
            if key in _EVALUATION:
                _keep_columns(
                    found, [column for column in _columns(found) if (getattr(column, key) in values) == wanted]
                )
            else:
                found.encoders = [
                    one for one in found.encoders if any(_is(value_of(one, key), text) for text in values) == wanted
                ]
        if before and self.conditions and not _columns(found):
            raise UserError(f"filter={self.filter}: nothing is left", "each condition alone leaves something")
        if self.columns:
            _keep_columns(found, [column for word in self.columns for column in _named(_columns(found), word)])
        left = f"{len(found.encoders)} of {before} encoders"
        return [f"A part of what was found: filter={self.filter} ({left})."] if self.conditions else []

    def ordered_columns(self, columns: Sequence[Column]) -> list[Column]:
        """As `columns=` has them."""
        wanted = [column for word in self.columns for column in _named(columns, word)]
        return list({column.key: column for column in wanted}.values()) if self.columns else list(columns)

    def name_rows(self, rows: Sequence[Row]) -> bool:
        """Sets `name` on every row where `rows=` is given, and says whether it is.

        Raises:
            UserError: a key that no row has, or two rows that are called the same by these.
        """
        for key in self.rows:
            _refuse_unknown([row.first for row in rows], key)
        alike: dict[tuple[str, str], list[Row]] = {}
        for row in rows if self.rows else ():
            row.name = ", ".join(filter(None, (_told(row, key) for key in self.rows))) or plain_name(row)
            alike.setdefault((row.name, row.marks), []).append(row)
        for (name, _), same in alike.items():
            if len(same) > 1:
                others = differing([comparable_settings(row.first) for row in same])
                raise UserError(
                    f"rows={','.join(self.rows)}: {len(same)} rows are called {name}",
                    f"they differ in {', '.join(others) or 'what no key says'}: name it too, or use filter=",
                )
        return bool(self.rows)

    def order(self, rows: list[Row], columns: Sequence[Column]) -> None:
        """Sorts within each section, what has no value last.

        Raises:
            UserError: `sort` is no column, cost or key, or several columns are called so.
        """
        if not self.sort:
            return
        name = self.sort.removeprefix(_DESCENDING)
        values = {id(row): value for row in rows if (value := _value(row, name, columns, rows)) is not None}
        as_text = any(isinstance(value, str) for value in values.values())
        rows.sort(
            key=lambda row: str(values.get(id(row), "")) if as_text else float(values.get(id(row), 0)),
            reverse=self.sort.startswith(_DESCENDING),
        )
        rows.sort(key=lambda row: (row.section, id(row) not in values))


def value_of(encoder: Encoder, key: str) -> Any:
    """Of a key of its identity or its configuration, there also without `method.` before it; None where it has none."""
    if key in _IDENTITY:
        return {"seed": encoder.seed, "kind": encoder.kind, "method": encoder.called}.get(
            key, encoder.record["identity"].get(key)
        )
    leaves = flat(encoder.config)
    return leaves.get(key, leaves.get(f"method.{key}"))


def names_of(column: Column) -> tuple[str, ...]:
    """What a column may be called, the most exact first."""
    whole = f"{column.label}/{column.head}"
    marked = (f"{whole}/{column.marks}",) if column.marks else ()
    return *marked, whole, column.head, f"{column.data}/{whole}", column.protocol, column.label


def _condition(text: str) -> tuple[str, tuple[str, ...], bool]:
    key, sign, values = text.partition("=")
    wanted, key = not key.endswith("!"), key.removesuffix("!").strip()
    if not sign or not key or not _words(values):
        raise UserError(
            f"filter={text.strip()}: a condition is KEY=VALUE or KEY!=VALUE", "filter='method=byol;seed=0,1'"
        )
    return key, _words(values), wanted


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in (text or "").strip("[]").split(",") if word.strip())


def _columns(found: Gathered) -> list[Column]:
    evaluations = [one for encoder in found.encoders for one in encoder.evaluations]
    return list({one.column: Column(one.column, one.stamp) for one in evaluations}.values())


def _keep_columns(found: Gathered, columns: Sequence[Column]) -> None:
    keys = {column.key for column in columns}
    for place, one in enumerate(found.encoders):
        kept = tuple(each for each in one.evaluations if each.column in keys)
        found.encoders[place] = replace(one, evaluations=kept)


def _named(columns: Sequence[Column], word: str) -> list[Column]:
    found = [column for column in columns if word in names_of(column)]
    if columns and not found:
        known = dict.fromkeys(name for column in columns for name in names_of(column))
        raise UserError(f"columns={word}: there is no such column{nearest(word, known)}", ", ".join(known) or None)
    return found


def _refuse_unknown(encoders: Iterable[Encoder], key: str, values: Sequence[str] = ()) -> None:
    """Where no encoder has the key, or one of the values."""
    encoders = list(encoders)
    if key in _EVALUATION:
        present = {str(getattr(one, key)) for encoder in encoders for one in encoder.evaluations}
    else:
        present = {_text(value) for one in encoders if (value := value_of(one, key)) is not None}
    if not present and encoders:
        keys = dict.fromkeys([*_IDENTITY, *_EVALUATION, *(key for one in encoders for key in flat(one.config))])
        raise UserError(f"no row has the key {key}{nearest(key, keys)}")
    for value in values:
        if encoders and not any(_is(one, value) for one in present):
            known = ", ".join(sorted(present))
            raise UserError(f"filter: nothing has {key}={value}{nearest(value, present)}", f"there is {known}")


def _is(value: object, text: str) -> bool:
    """Whether a setting is what was written; 0.50 is 0.5."""
    if _text(value) == text:
        return True
    try:
        return float(_text(value)) == float(text)
    except ValueError:
        return False


def _text(value: object) -> str:
    return (
        {None: "null", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else str(value)
    )


def _told(row: Row, key: str) -> str:
    if key == "method":
        return plain_name(row)
    value = value_of(row.first, key)
    return "" if value is None else str(value) if key in _IDENTITY else f"{key}={shown(value)}"


def _value(row: Row, name: str, columns: Sequence[Column], rows: Sequence[Row]) -> float | str | None:
    if name in COST:
        return row.cost.get(name)
    named = [column for column in columns if name in names_of(column)]
    exact = [column for column in named if names_of(column)[0] == name] or named
    if len(exact) > 1:
        raise UserError(f"sort={name}: several columns are called so", ", ".join(names_of(one)[0] for one in exact))
    if exact:
        return row.cells[exact[0].key].mean if exact[0].key in row.cells else None
    if all(value_of(one.first, name) is None for one in rows):
        keys = [key for one in rows for key in flat(one.first.config)]
        known = dict.fromkeys([*(names_of(column)[0] for column in columns), *COST, *_IDENTITY, *keys])
        raise UserError(f"sort={name}: there is no such column, cost or key{nearest(name, known)}")
    value = value_of(row.first, name)
    return value if value is None or isinstance(value, int | float | str) else str(value)
