"""Every YAML under configs/ composes and binds: found by walking the folder, so that no file is forgotten."""

from pathlib import Path
from typing import Any

import pytest

from vssl.config.bind import bind, import_target
from vssl.config.compose import Composed, compose
from vssl.config.folders import ConfigFolders, config_root, read_yaml

ROOT = config_root()
FILES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.yaml") if path.parent != ROOT)
PATHS = {"data.root": "clips"}  # what a user's own set cannot do without
MIX = ["data.sets.a=video_list", "data.sets.b=moving_shapes"]  # what a mix cannot do without
MIX_PATHS = {"data.sets.a.root": "clips"}
NAMES = [str(path.with_suffix("")) for path in FILES]


def test_there_are_files() -> None:
    assert {path.parent.name for path in FILES} >= {"data", "views", "backbone", "method", "optim", "train", "eval"}


def chosen(file: Path) -> Composed:
    """The choice with all other groups by default; views under a method that consumes them."""
    group, choice = file.parent.as_posix(), file.stem
    words = [f"{group}={choice}"]
    if group == "views":
        words += _consumer(choice)
    return of_data(choice, words) if group == "data" else compose(words, paths=PATHS)


def of_data(choice: str, words: list[str]) -> Composed:
    return compose([*words, *MIX], paths=MIX_PATHS) if choice == "mix" else compose(words, paths=PATHS)


def _consumer(views: str) -> list[str]:
    names = {name for name in read_yaml(ROOT / "views" / f"{views}.yaml") if name not in ("_target_", "relation")}
    for method in ConfigFolders.find().choices("method"):
        needed = getattr(import_target(read_yaml(ROOT / "method" / f"{method}.yaml")["_target_"]), "views", ())
        if set(needed) <= names:
            return [f"method={method}"]
    raise AssertionError(f"no method can take views={views}, which has {sorted(names)}")


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_it_composes_and_binds(file: Path) -> None:
    composed = chosen(file)
    assert file.stem in composed.choices[file.parent.as_posix()].split(",")
    bound: dict[str, Any] = bind(composed.tree)
    assert bind(bound) == bound


@pytest.mark.parametrize("file", [file for file in FILES if file.parent.name == "eval"], ids=str)
def test_a_protocol_is_composed_at_its_own_name(file: Path) -> None:
    assert "_target_" in chosen(file).tree["eval"][file.stem]


@pytest.mark.parametrize("file", [file for file in FILES if file.parent.name == "method"], ids=str)
def test_a_method_proposes_views_that_it_can_take(file: Path) -> None:
    tree = chosen(file).tree
    needed = import_target(tree["method"]["_target_"]).views  # type: ignore[attr-defined]
    assert set(needed) <= set(tree["views"])


@pytest.mark.parametrize("file", [file for file in FILES if file.parent.name == "scale"], ids=str)
@pytest.mark.parametrize("data", ConfigFolders.find().choices("data"))
def test_a_scale_fits_every_data_set(file: Path, data: str) -> None:
    bind(of_data(data, [f"data={data}", f"scale={file.stem}"]).tree)


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_a_file_repeats_no_default(file: Path) -> None:
    """A default lives once, in the signature; a value equal to it would hide a change of it."""
    node = read_yaml(ROOT / file)
    if "_target_" not in node:
        pytest.skip("sets values of several nodes")
    from vssl.config.schema import schema_of

    defaults = schema_of(import_target(node["_target_"])).arguments
    given = {key: value for key, value in node.items() if key in defaults}
    repeated = [key for key, value in given.items() if defaults[key].default == value]
    assert repeated == []
