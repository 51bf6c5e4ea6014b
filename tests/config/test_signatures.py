"""Signatures read from source say the same as binding, and import nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from vssl.config.errors import ConfigError
from vssl.config.schema import schema_of
from vssl.config.signatures import describe


@pytest.mark.parametrize(
    "name", ["Masked", "Labelled", "Listed", "Inherited", "Optimiser", "Fast", "View", "Views", "Options", "Method"]
)
def test_the_names_are_those_that_binding_knows(name: str) -> None:
    import vssl_toys as toys  # type: ignore[import-not-found]

    bound = [key for key in schema_of(getattr(toys, name)).arguments if key not in ("encoder", "num_classes")]
    assert [argument.name for argument in describe(f"vssl_toys.{name}").arguments] == bound


def test_annotations_defaults_and_summary_are_as_written() -> None:
    text = describe("vssl_toys.Masked")
    assert text.summary == "Hides a part."
    assert [(part.name, part.annotation, part.default) for part in text.arguments] == [
        ("mask_ratio", "float", "0.75"),
        ("mask", "Literal['tube', 'random']", "'tube'"),
        ("dims", "int", "8"),
    ]


def test_a_required_argument_has_no_default_and_a_constant_shows_its_value() -> None:
    arguments = {part.name: part for part in describe("vssl_toys.Fast").arguments}
    assert arguments["shape"].default == "Augment()"
    assert arguments["lr"].default == "0.1"
    assert {part.name: part for part in describe("vssl_toys.Optimiser").arguments}["lr"].default is None


def test_a_class_is_followed_to_where_it_is_defined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "toy_package"
    package.mkdir()
    (package / "__init__.py").write_text("from .inner import Thing as Renamed\n")
    (package / "inner.py").write_text("class Thing:\n    def __init__(self, a: int, *, b=2): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = describe("toy_package.Renamed").arguments
    assert [(part.name, part.annotation, part.default) for part in found] == [("a", "int", None), ("b", "Any", "2")]


@pytest.mark.parametrize("target", ["vssl_toys.Nothing", "no_such_package.X", "builtins.dict"])
def test_a_class_without_source_is_refused(target: str) -> None:
    with pytest.raises(ConfigError, match="is not to be found"):
        describe(target)


def test_reading_a_signature_imports_no_parent_package() -> None:
    code = (
        "import sys; from vssl.config.signatures import describe; describe('vssl.training.settings.Train'); "
        "sys.exit('torch' in sys.modules or 'vssl.training' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
