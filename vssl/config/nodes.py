"""What binding yields: values that can write themselves down as plain data and build what they describe."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from vssl.config.errors import ConfigError, UserError
from vssl.config.schema import schema_of

TARGET = "_target_"
# What vssl itself hands to constructors; a configuration neither gives nor misses it.
PROVIDED = ("encoder", "num_classes", "save_dir")


class Bound(Protocol):
    """A value that fits its annotation."""

    def plain(self) -> Any: ...

    def build(self, provided: Mapping[str, Any]) -> Any: ...


@dataclass(frozen=True)
class Leaf:
    """A scalar; `made` is what the constructor gets where that differs (a path is text in a configuration)."""

    value: Any
    made: Any

    def plain(self) -> Any:
        return self.value

    def build(self, provided: Mapping[str, Any]) -> Any:
        return self.made


@dataclass(frozen=True)
class Items:
    """A list or a tuple."""

    kind: type[list[Any]] | type[tuple[Any, ...]]
    items: tuple[Bound, ...]

    def plain(self) -> Any:
        return self.kind(item.plain() for item in self.items)

    def build(self, provided: Mapping[str, Any]) -> Any:
        return self.kind(item.build(provided) for item in self.items)


@dataclass(frozen=True)
class Table:
    """A mapping from text."""

    entries: dict[str, Bound]

    def plain(self) -> Any:
        return {key: value.plain() for key, value in self.entries.items()}

    def build(self, provided: Mapping[str, Any]) -> Any:
        return {key: value.build(provided) for key, value in self.entries.items()}


@dataclass(frozen=True)
class Node:
    """The arguments of one class, defaults included.

    Args:
        where: dotted key of the node, for messages.
        target: `_target_` as the configuration spells it; None where only the annotation names the class.
    """

    cls: type
    where: str
    target: str | None
    arguments: dict[str, Bound]

    def plain(self) -> Any:
        head = {TARGET: self.target} if self.target is not None else {}
        return {**head, **{name: argument.plain() for name, argument in self.arguments.items()}}

    def build(self, provided: Mapping[str, Any]) -> Any:
        """Raises a ConfigError with the constructor's own text where that refuses a value."""
        to_parts = {name: value for name, value in provided.items() if name in PROVIDED}
        arguments = {name: argument.build(to_parts) for name, argument in self.arguments.items()}
        known = schema_of(self.cls).arguments
        arguments.update({name: value for name, value in provided.items() if name in known})
        try:
            return self.cls(**arguments)
        except UserError:
            raise
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{self.where}: {error}") from error
