"""Compare a composed tree with the constructors that it names, every problem in one message; build from its nodes."""

from collections.abc import Mapping
from typing import Any, TypeVar

from vssl.config.errors import ConfigError
from vssl.config.imports import import_target
from vssl.config.nodes import PROVIDED, TARGET
from vssl.config.problems import listed, refuse_if_any
from vssl.config.values import Binder

__all__ = ["bind", "construct", "import_target"]

Built = TypeVar("Built")

LEFT_ALONE = ("sweep", "launcher")
# Keys of a node that vssl itself takes, beside the constructor's: where first weights come from, and their hash.
BESIDE = {"backbone": ("weights", "weights_sha256")}
ROOT_SCALARS = {"seed": int}


def bind(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The tree with every value checked and every default filled in; `_target_` stays.

    Binding what binding returned changes nothing.

    Raises:
        ConfigError: unknown, missing and mistyped keys of all nodes, with the nearest right names.
    """
    binder = Binder()
    bound: dict[str, Any] = {}
    for key, node in tree.items():
        if isinstance(node, Mapping) and TARGET in node:
            own = {name: node[name] for name in BESIDE.get(key, ()) if name in node}
            arguments = {name: value for name, value in node.items() if name not in own}
            bound[key] = {**(binder.node(arguments, object, key).plain() or {}), **own}
        elif isinstance(node, Mapping | list | tuple) and node and key not in LEFT_ALONE:
            given = f"{key}={{...}}" if isinstance(node, list | tuple) else listed([f"{key}.{name}" for name in node])
            binder.problems.append(f"{key}: nothing is chosen that takes {given}; choose {key}=...")
        elif key in ROOT_SCALARS:
            bound[key] = binder.value(node, ROOT_SCALARS[key], key).plain()
        else:
            bound[key] = node
    refuse_if_any(binder.problems)
    return bound


def construct(node: Mapping[str, Any], expect: type[Built], where: str, **provided: Any) -> Built:
    """Builds the class that `node` names, nested nodes first.

    Args:
        node: a mapping with `_target_`; bound or not, it is bound here (a stored YAML has lists for tuples).
        expect: the class that it must be or derive from; nothing else is built, whatever a file says.
        where: dotted key of the node, for messages.
        provided: arguments of vssl's own, passed on where the signature names them.
    Raises:
        ConfigError: a wrong class, key or type, or a value that a constructor refuses.
    """
    if not isinstance(node, Mapping) or TARGET not in node:
        raise ConfigError(f"{where}: nothing is chosen; choose {where}=...")
    binder = Binder((*PROVIDED, *provided))
    left_out = (*provided, *BESIDE.get(where, ()))
    bound = binder.node({key: value for key, value in node.items() if key not in left_out}, expect, where)
    refuse_if_any(binder.problems)
    built = bound.build(provided)
    assert isinstance(built, expect), f"{where} was bound to a subclass of {expect.__name__}"
    return built
