"""`_target_: package.module.Class` to the class."""

import importlib
import importlib.util
import inspect
import pkgutil

from vssl.config.errors import ConfigError, nearest


def import_target(path: str) -> type:
    """The class at an import path.

    Raises:
        ConfigError: no such module or class (the nearest name is told), no class, or an import that fails.
    """
    if not isinstance(path, str) or "." not in path:
        raise ConfigError(f"_target_: {path!r} is no import path of a class, such as package.module.Class")
    module_path, _, name = path.rpartition(".")
    module = _module(module_path)
    if not hasattr(module, name):
        classes = [found for found, value in vars(module).items() if inspect.isclass(value)]
        raise ConfigError(f"_target_: {path}: {module_path} has no class '{name}'{nearest(name, classes)}")
    target = getattr(module, name)
    if not inspect.isclass(target):
        raise ConfigError(f"_target_: {path} is a {type(target).__name__}, a class is needed")
    return target


def target_of(cls: type) -> str:
    """The import path that `import_target` takes."""
    return f"{cls.__module__}.{cls.__qualname__}"


def _module(path: str) -> object:
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if path == missing or path.startswith(f"{missing}."):
            raise _no_module(missing) from error
        raise ConfigError(f"_target_: {path} needs the package '{missing}', which is not installed") from error
    except ImportError as error:
        raise ConfigError(f"_target_: {path} cannot be imported: {error}") from error


def _no_module(path: str) -> ConfigError:
    parent, _, name = path.rpartition(".")
    if not parent:
        hint = "a package of your own must be installed, or its folder named in PYTHONPATH"
        return ConfigError(f"_target_: there is no package '{path}'", hint)
    spec = importlib.util.find_spec(parent)
    folders = spec.submodule_search_locations if spec is not None else None
    modules = [module.name for module in pkgutil.iter_modules(folders)] if folders else []
    return ConfigError(f"_target_: {parent} has no module '{name}'{nearest(name, modules)}")
