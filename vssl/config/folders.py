"""Where the configuration files lie: groups are folders, choices are the YAML files in them."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from vssl.config.errors import ConfigError

MAIN = "config"


def config_root() -> Path:
    """`configs/` beside the package (a clone, an editable install), else `vssl/configs` (a wheel).

    Raises:
        ConfigError: neither is there, so the installation is incomplete.
    """
    package = Path(__file__).resolve().parents[1]
    candidates = (package.parent / "configs", package / "configs")
    for folder in candidates:
        if (folder / f"{MAIN}.yaml").is_file():
            return folder
    looked = " and ".join(str(folder) for folder in candidates)
    raise ConfigError(f"the configuration files of vssl are missing; looked in {looked}", "install vssl again")


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, interpolations as written; an empty file is an empty mapping.

    Raises:
        ConfigError: unreadable, not YAML, or not a mapping; with file and line.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{path}{line}: not YAML: {error.problem}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: a configuration file holds `key: value` lines, this one a {type(content).__name__}")
    return content


@dataclass(frozen=True)
class ConfigFolders:
    """The files of one or several configuration folders. Where two have the same choice, the first folder wins."""

    roots: tuple[Path, ...]

    @classmethod
    def find(cls, config_dirs: Iterable[Path] = (), root: Path | None = None) -> "ConfigFolders":
        """The packaged folder (or `root`), then the user's own folders.

        Raises:
            ConfigError: one of the user's folders is not there.
        """
        own = tuple(Path(folder).absolute() for folder in config_dirs)
        for folder in own:
            if not folder.is_dir():
                raise ConfigError(f"--config-dir {folder}: there is no such folder")
        return cls((Path(root).absolute() if root is not None else config_root(), *own))

    @cached_property
    def files(self) -> dict[str, dict[str, Path]]:
        """{group: {choice: file}}; a folder in a folder is the group `outer/inner`."""
        found: dict[str, dict[str, Path]] = {}
        for root in self.roots:
            for path in sorted(root.rglob("*.yaml")):
                group = path.parent.relative_to(root).as_posix()
                if group != ".":
                    found.setdefault(group, {}).setdefault(path.stem, path)
        return found

    @property
    def groups(self) -> tuple[str, ...]:
        return tuple(sorted(self.files))

    def choices(self, group: str) -> tuple[str, ...]:
        return tuple(sorted(self.files.get(group, {})))

    @cached_property
    def main(self) -> dict[str, Any]:
        """The main configuration file as written."""
        return read_yaml(self.roots[0] / f"{MAIN}.yaml")

    @cached_property
    def defaults(self) -> dict[str, str | list[str] | None]:
        """{group: choice} of the main configuration's defaults list, in its order; None where nothing is chosen."""
        entries = [entry for entry in self.main.get("defaults", []) if isinstance(entry, dict)]
        return {group.removeprefix("optional ").strip(): choice for entry in entries for group, choice in entry.items()}
