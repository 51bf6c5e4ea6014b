"""What setup.cfg promises against what the code is: packages, dependencies, pins."""

import ast
import configparser
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGES = ("vssl", "methods", "datamodules")


@pytest.fixture(scope="module")
def setup_cfg(clone: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(clone / "setup.cfg", encoding="utf-8")
    return parser


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def pins(clone: Path) -> dict[str, str]:
    requirements = [Requirement(line) for line in lines((clone / "constraints.txt").read_text(encoding="utf-8"))]
    return {canonicalize_name(pin.name): str(pin.specifier) for pin in requirements}


def test_every_folder_with_code_is_packaged(clone: Path, setup_cfg: configparser.ConfigParser) -> None:
    inits = [path for top in PACKAGES for path in (clone / top).rglob("__init__.py")]
    found = {".".join(path.parent.relative_to(clone).parts) for path in inits}
    assert set(lines(setup_cfg["options"]["packages"])) == found | {"vssl.configs"}


def test_every_folder_with_code_is_a_package(clone: Path) -> None:
    folders = {path.parent for top in PACKAGES for path in (clone / top).rglob("*.py")}
    assert [folder for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_what_is_imported_is_required(clone: Path, setup_cfg: configparser.ConfigParser) -> None:
    """An import that works only because another library happens to bring it along breaks with that library."""
    extras = [text for extra, text in setup_cfg["options.extras_require"].items() if extra not in ("test", "dev")]
    declared = [line for text in (setup_cfg["options"]["install_requires"], *extras) for line in lines(text)]
    known = {canonicalize_name(Requirement(line).name) for line in declared}
    # Extras of another name.
    owners = {"umap": ["umap-learn"], "pynvml": ["nvidia-ml-py"], **packages_distributions()}
    missing = {
        module
        for path in (path for top in PACKAGES for path in (clone / top).rglob("*.py"))
        for module in imported(path) - set(PACKAGES) - set(sys.stdlib_module_names)
        if not {canonicalize_name(owner) for owner in owners.get(module, [module])} & known
    }
    assert missing == set()


def imported(path: Path) -> set[str]:
    """Top-level names that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("extra", [None, "test", "dev"])
def test_pins_lie_in_the_ranges(extra: str | None, clone: Path, setup_cfg: configparser.ConfigParser) -> None:
    section = setup_cfg["options"]["install_requires"] if extra is None else setup_cfg["options.extras_require"][extra]
    pinned = pins(clone)
    for requirement in map(Requirement, lines(section)):
        name = canonicalize_name(requirement.name)
        if name in ("vssl", "setuptools"):  # setuptools: what a torch asks for differs between its builds
            continue
        assert name in pinned, f"{name} is not in constraints.txt"
        version = pinned[name].removeprefix("==")
        assert requirement.specifier.contains(version), f"{name} {version} is outside {requirement.specifier}"


def test_pins_hold_on_every_machine(clone: Path) -> None:
    """Exact versions, no places of one machine, no build of torch for one kind of hardware."""
    for name, specifier in pins(clone).items():
        assert specifier.startswith("==") and "+" not in specifier, f"{name}{specifier}"
        assert not name.startswith(("nvidia-", "cuda", "triton")), name
    text = (clone / "constraints.txt").read_text(encoding="utf-8")
    assert "://" not in text and " @ " not in text
