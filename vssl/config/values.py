"""One value against one annotation."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from vssl.config.annotations import is_record, members, shown, takes_mapping, told
from vssl.config.defaults import filled_up, plain_default
from vssl.config.errors import ConfigError, nearest
from vssl.config.imports import import_target
from vssl.config.nodes import PROVIDED, TARGET, Bound, Items, Leaf, Node, Table
from vssl.config.problems import listed
from vssl.config.schema import NOTHING, Argument, schema_of
from vssl.config.sets import set_named

MISSING = "???"  # OmegaConf's mark of a value that must be given


class Binder:
    """Walks values and annotations side by side and collects problems; after one, what it returns is a stand-in.

    Args:
        provided: arguments that nobody needs to give.
    """

    def __init__(self, provided: Sequence[str] = PROVIDED) -> None:
        self.provided = provided
        self.problems: list[str] = []

    def node(self, given: Mapping[str, Any], expect: type, where: str) -> Bound:
        """A mapping that names its class by `_target_`, which must be a subclass of `expect`."""
        try:
            cls = import_target(given[TARGET])
        except ConfigError as error:
            return self._wrong(f"{where}.{error}")
        if not issubclass(cls, expect):
            return self._wrong(f"{where}: {cls.__module__}.{cls.__qualname__} is no {expect.__name__}")
        arguments = {name: value for name, value in given.items() if name != TARGET}
        return Node(cls, where, given[TARGET], self._arguments(cls, arguments, where))

    def value(self, given: Any, annotation: Any, where: str) -> Bound:
        """`given` in the form that `annotation` asks for: int to float, list to tuple, "1e-3" to float."""
        if isinstance(given, str) and given == MISSING:
            return self._wrong(f"{where} must be given ({told(annotation)})")
        options = members(annotation)
        tries = [(Binder(self.provided), option) for option in options]
        results = [binder._single(given, option, where) for binder, option in tries]
        fitting = [result for result, (binder, _) in zip(results, tries, strict=True) if not binder.problems]
        if fitting:
            return next((result for result in fitting if _unchanged(result, given)), fitting[0])
        told_apart = [binder for binder, option in tries if isinstance(given, Mapping) and takes_mapping(option)]
        if len(told_apart) == 1 or len(tries) == 1:
            self.problems += (told_apart or [tries[0][0]])[0].problems
            return Leaf(None, None)
        return self._expected(given, annotation, where)

    def _arguments(self, cls: type, given: Mapping[str, Any], where: str) -> dict[str, Bound]:
        try:
            schema = schema_of(cls)
        except ConfigError as error:
            self.problems.append(f"{where}: {error}")
            return {}
        bound: dict[str, Bound] = {}
        for name, argument in schema.arguments.items():
            if name in self.provided:
                if name in given:
                    self.problems.append(f"{where}.{name}: vssl itself provides it; take it out")
                continue
            if name in given or argument.default is not NOTHING:
                bound[name] = self._argument(given, name, argument, f"{where}.{name}")
            else:
                self.problems.append(f"{where}.{name} must be given ({told(argument.annotation)}): {cls.__name__}")
        for name in given:
            if name in schema.arguments:
                continue
            if schema.extra is not NOTHING:
                bound[name] = self.value(given[name], schema.extra, f"{where}.{name}")
            else:
                known = [other for other in schema.arguments if other not in self.provided]
                self.problems.append(_unknown(cls, name, known, where))
        return bound

    def _argument(self, given: Mapping[str, Any], name: str, argument: Argument, where: str) -> Bound:
        default = plain_default(argument.default, argument.annotation)
        if name not in given:
            return Leaf(None, None) if default is None else self.value(default, argument.annotation, where)
        return self.value(filled_up(given[name], default), argument.annotation, where)

    def _single(self, given: Any, annotation: Any, where: str) -> Bound:
        """Against an annotation that is no union."""
        origin = get_origin(annotation) or annotation
        if annotation is Any:
            return Leaf(given, given)
        if origin is Literal:
            return self._literal(given, annotation, where)
        if annotation in _SCALARS:
            return self._scalar(given, annotation, where)
        if origin in (list, tuple, Sequence):
            return self._items(given, annotation, where)
        if origin in (dict, Mapping):
            return self._table(given, annotation, where)
        if isinstance(annotation, type):
            return self._object(given, annotation, where)
        return self._wrong(f"{where}: {told(annotation)} cannot be given in a configuration")

    def _literal(self, given: Any, annotation: Any, where: str) -> Bound:
        allowed = get_args(annotation)
        if any(given == option and type(given) is type(option) for option in allowed):
            return Leaf(given, given)
        suggestion = nearest(str(given), [str(option) for option in allowed])
        return self._wrong(f"{where}: {shown(given)} given, {told(annotation)} expected{suggestion}")

    def _scalar(self, given: Any, annotation: Any, where: str) -> Bound:
        if annotation is type(None) and given is None:
            return Leaf(None, None)
        if annotation is bool and isinstance(given, bool):
            return Leaf(given, given)
        if isinstance(given, bool) or given is None or annotation in (bool, type(None)):
            return self._expected(given, annotation, where)
        try:
            value = _CONVERSIONS[annotation](given)
        except (ValueError, TypeError, OverflowError):
            return self._expected(given, annotation, where)
        return Leaf(value, Path(value) if annotation is Path else value)

    def _items(self, given: Any, annotation: Any, where: str) -> Bound:
        if not isinstance(given, list | tuple):
            return self._expected(given, annotation, where)
        inner = get_args(annotation)
        is_tuple = (get_origin(annotation) or annotation) is tuple
        if is_tuple and inner and Ellipsis not in inner:
            if len(inner) != len(given):
                return self._wrong(f"{where}: {len(given)} values given, {told(annotation)} expected")
            parts = inner
        else:
            parts = (inner[0] if inner else Any,) * len(given)
        pairs = enumerate(zip(given, parts, strict=True))
        items = tuple(self.value(item, part, f"{where}[{place}]") for place, (item, part) in pairs)
        return Items(tuple if is_tuple else list, items)

    def _table(self, given: Any, annotation: Any, where: str) -> Bound:
        if not isinstance(given, Mapping):
            return self._expected(given, annotation, where)
        inner = get_args(annotation)
        part = inner[1] if inner else Any
        return Table({str(key): self.value(value, part, f"{where}.{key}") for key, value in given.items()})

    def _object(self, given: Any, annotation: type, where: str) -> Bound:
        if not isinstance(given, Mapping):
            return self._expected(given, annotation, where)
        if TARGET in given:
            return self.node(given, annotation, where)
        if is_record(annotation):
            return Node(annotation, where, None, self._arguments(annotation, given, where))
        group, _, name = where.rpartition(".")
        choice = f"{where}=..." if set_named(where) else f"{group}={name}"
        return self._wrong(f"{where}: no {annotation.__name__} is named here ({TARGET}); is {choice} chosen?")

    def _expected(self, given: Any, annotation: Any, where: str) -> Bound:
        return self._wrong(f"{where}: {shown(given)} given, {told(annotation)} expected")

    def _wrong(self, problem: str) -> Bound:
        self.problems.append(problem)
        return Leaf(None, None)


def _unchanged(result: Bound, given: Any) -> bool:
    plain = result.plain()
    return type(plain) is type(given) and bool(plain == given)


def _unknown(cls: type, name: str, known: list[str], where: str) -> str:
    suggestion = nearest(name, known) or f"; it takes {listed(known)}"
    return f"{where}.{name}: {cls.__name__} has no argument '{name}'{suggestion}"


def _whole(given: Any) -> int:
    """1e6 is a whole number though YAML reads a float; 1.5 and "8" are not."""
    if isinstance(given, str) or int(given) != given:
        raise ValueError
    return int(given)


def _text(given: Any) -> str:
    """A folder may be named 2024, which YAML reads as a number."""
    if not isinstance(given, str | int):
        raise TypeError
    return str(given)


_CONVERSIONS: dict[type, Callable[[Any], Any]] = {int: _whole, float: float, str: _text, Path: _text}
_SCALARS = (*_CONVERSIONS, bool, type(None))
