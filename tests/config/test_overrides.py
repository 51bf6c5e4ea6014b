"""What is an override, and what is an axis."""

import pytest

from vssl.config.errors import ConfigError
from vssl.config.overrides import is_override, split_axes


@pytest.mark.parametrize(
    "word", ["a=1", "a.b=", "+a=1", "++a.b=1", "~a", "~a.b", "~a=1", "group/inner=x", "a@b=c", "_x=1", "a=b=c", "a=\nb"]
)
def test_overrides(word: str) -> None:
    assert is_override(word)


@pytest.mark.parametrize(
    "word", ["a", "./a=b", "/a=b", "1a=2", "~/runs", "runs/x", "视频=1", "=x", "", "a b=c", "-a=1"]
)
def test_everything_else_is_a_folder_file_or_name(word: str) -> None:
    assert not is_override(word)


def test_axes_are_told_from_fixed_values() -> None:
    fixed, axes = split_axes(
        ["seed=0,1,2", "method=a,b", "eval=knn,linear", "x.y=[1,2]", "+z=1", "t='a,b'", "++r=range(2)"]
    )
    assert fixed == ["eval=knn,linear", "x.y=[1,2]", "+z=1", "t='a,b'"]
    assert axes == {
        "seed": ["seed=0", "seed=1", "seed=2"], "method": ["method=a", "method=b"], "r": ["r=0", "r=1"]
    }  # fmt: skip


def test_an_axis_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        split_axes(["seed=1,(2"])
