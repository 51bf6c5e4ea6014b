"""How the words after a command are sorted."""

from pathlib import Path
from typing import Any

import pytest

from vssl.cli.arguments import Arguments, read_arguments
from vssl.config.errors import UserError


def read(*words: str, **settings: Any) -> Arguments:
    usual: dict[str, Any] = {
        "first": "FIRST",
        "own_paths": ("encoder",),
        "configured": True,
        "flags": ("--dry-run", "--config-dir"),
    }
    return read_arguments("try", words, **{**usual, **settings})


def test_every_kind_of_word() -> None:
    found = read("runs/x", "seed=1", "data.root=a=b, c", "--dry-run", "encoder=r=1", "~optim.lr", "--config-dir", "own")
    assert found == Arguments(
        first="runs/x",
        overrides=("seed=1", "~optim.lr"),
        paths={"data.root": "a=b, c"},
        own_paths={"encoder": "r=1"},
        config_dirs=(Path("own"),),
        flags=frozenset({"--dry-run"}),
    )


@pytest.mark.parametrize("folder", ["./a=b", "/a=b", "视频 (a=b)", "1=2", "-", "a"])
def test_what_is_no_key_is_first(folder: str) -> None:
    assert read(folder).first == folder


def test_keys_of_a_command_alone_are_handed_over_as_they_stand() -> None:
    found = read("clips", "limits.pixels=(1", configured=False, own_keys=("limits.pixels",))
    assert (found.first, found.overrides) == ("clips", ("limits.pixels=(1",))


def test_config_dirs_may_be_repeated_and_joined_by_an_equals_sign() -> None:
    assert read("--config-dir", "a=1", "--config-dir=b=2").config_dirs == (Path("a=1"), Path("b=2"))


@pytest.mark.parametrize(
    ("words", "settings", "told"),
    [
        (["--dryrun"], {}, "try has no flag '--dryrun'; did you mean '--dry-run'?"),
        (["--dry-run=1"], {}, "try has no flag '--dry-run=1'; did you mean '--dry-run'?"),
        (["-x"], {}, "try has no flag '-x'"),
        (["--config-dir"], {}, "--config-dir needs a folder"),
        (["--config-dir", "x"], {"flags": ()}, "try has no flag '--config-dir'"),
        (["a", "b"], {}, "try takes one FIRST; given are 'a', 'b'"),
        (["a"], {"first": None}, "try: 'a' is not of the form key=value"),
        (["out=x"], {}, "try does not take out=x; it takes key=value of the configuration"),
        (["seed=1"], {"configured": False}, "try does not take seed=1; it takes encoder="),
        (
            ["seed=1"],
            {"configured": False, "own_keys": ("sed",)},
            "take seed=1; did you mean 'sed'?; it takes encoder=, sed=",
        ),
        (["run.out=x"], {"configured": False}, "try does not take run.out=x"),
    ],
)
def test_wrong_words_are_refused(words: list[str], settings: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError) as caught:
        read(*words, **settings)
    assert told in str(caught.value)
