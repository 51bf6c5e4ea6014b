"""A constructor's arguments read from its source, for help: nothing is imported, so it costs milliseconds."""

import ast
import importlib.util
from collections.abc import Container, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from vssl.config.errors import ConfigError
from vssl.config.nodes import PROVIDED


@dataclass(frozen=True)
class ArgumentText:
    """One argument as written; `default` is None where it must be given."""

    name: str
    annotation: str
    default: str | None


@dataclass(frozen=True)
class ClassText:
    """A class as written: the first line of its docstring (else of its module's), its constructor's arguments."""

    name: str
    summary: str
    arguments: tuple[ArgumentText, ...]


@dataclass(frozen=True)
class _Found:
    """A class definition and the module that it stands in."""

    node: ast.ClassDef
    module: str
    tree: ast.Module


def describe(target: str) -> ClassText:
    """The class at an import path; arguments that vssl provides are left out.

    `**shared` without annotation is followed into the base class, as binding does.

    Raises:
        ConfigError: the source is not to be found (a compiled or a generated class).
    """
    module, _, name = target.rpartition(".")
    found = _find(module, name)
    if found is None:
        raise ConfigError(f"the source of {target} is not to be found")
    text = ast.get_docstring(found.node) or ast.get_docstring(found.tree) or ""
    shown = tuple(argument for argument in _arguments(found).values() if argument.name not in PROVIDED)
    return ClassText(name, text.partition("\n")[0], shown)


def _arguments(found: _Found) -> dict[str, ArgumentText]:
    parts = [part for part in found.node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"]
    if parts:
        own = {argument.name: argument for argument in _parameters(parts[0].args, found)}
        rest = parts[0].args.kwarg
        return own if rest is None or rest.annotation is not None else {**own, **_inherited(found, own)}
    if _is_dataclass(found.node):
        return {**_inherited(found), **{field.name: field for field in _fields(found)}}
    return _inherited(found)


def _inherited(found: _Found, own: Container[str] = ()) -> dict[str, ArgumentText]:
    """Arguments of the base classes whose source is to be found; the first base wins, as in the MRO."""
    known: dict[str, ArgumentText] = {}
    for base in (_find(found.module, base.id) for base in found.node.bases if isinstance(base, ast.Name)):
        if base is not None:
            known = {**_arguments(base), **known}
    return {name: argument for name, argument in known.items() if name not in own}


def _parameters(arguments: ast.arguments, found: _Found) -> Iterator[ArgumentText]:
    positional = [*arguments.posonlyargs, *arguments.args]
    missing = [None] * (len(positional) - len(arguments.defaults))
    pairs = list(zip(positional, [*missing, *arguments.defaults], strict=True))[1:]  # without self
    for argument, default in (*pairs, *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)):
        yield ArgumentText(argument.arg, _text(argument.annotation, found) or "Any", _text(default, found))


def _fields(found: _Found) -> Iterator[ArgumentText]:
    for part in found.node.body:
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            annotation = _text(part.annotation, found) or ""
            if not annotation.startswith("ClassVar"):
                yield ArgumentText(part.target.id, annotation, _text(part.value, found))


def _is_dataclass(node: ast.ClassDef) -> bool:
    return any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)


def _text(node: ast.expr | None, found: _Found) -> str | None:
    """As written; a name that the module gives a value is replaced by that value."""
    if isinstance(node, ast.Name):
        for part in found.tree.body:
            if isinstance(part, ast.Assign) and any(ast.unparse(target) == node.id for target in part.targets):
                return ast.unparse(part.value)
    return None if node is None else ast.unparse(node)


def _find(module: str, name: str, depth: int = 4) -> _Found | None:
    """A class by name, also where the module only imports it from another one."""
    tree = _parse(module)
    if tree is None or depth == 0:
        return None
    for part in tree.body:
        if isinstance(part, ast.ClassDef) and part.name == name:
            return _Found(part, module, tree)
        if isinstance(part, ast.ImportFrom):
            for alias in part.names:
                if (alias.asname or alias.name) == name:
                    return _find(_absolute(part, module), alias.name, depth - 1)
    return None


def _absolute(part: ast.ImportFrom, module: str) -> str:
    if not part.level:
        return part.module or ""
    source = _source(module)
    package = module.split(".") if source is not None and source.stem == "__init__" else module.split(".")[:-1]
    parents = package[: len(package) - part.level + 1]
    return ".".join([*parents, *([part.module] if part.module else [])])


@cache
def _parse(module: str) -> ast.Module | None:
    path = _source(module)
    return None if path is None else ast.parse(path.read_text(encoding="utf-8"))


def _source(module: str) -> Path | None:
    """The file of a module. Only the top package is looked up: `find_spec` of a submodule would import its parents."""
    top, *inner = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None:
        return None
    folders = [Path(folder) for folder in spec.submodule_search_locations or []]
    if not inner:
        return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
    candidates = [
        path
        for folder in folders
        for path in (folder.joinpath(*inner).with_suffix(".py"), folder.joinpath(*inner, "__init__.py"))
    ]
    return next((path for path in candidates if path.is_file()), None)
