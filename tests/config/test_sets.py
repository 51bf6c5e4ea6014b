"""The sets of a mix on the command line: chosen, bound and hashed as one set is."""

from pathlib import Path
from typing import Any

import pytest

from tests.config.conftest import write_configs
from vssl.config.bind import bind
from vssl.config.compose import Composed, compose
from vssl.config.errors import ConfigError
from vssl.config.overrides import split_axes
from vssl.config.paths import take_paths
from vssl.records.hashes import part_hashes

MIX = ["data=mix", "data.sets.a=toy", "data.sets.b=listed"]


@pytest.fixture
def composed(config_root: Path) -> Any:
    write_configs(
        config_root,
        {
            "data/mix.yaml": "{_target_: vssl_toys.Mix}",
            "data/counted.yaml": "{_target_: vssl_toys.Counted, num_videos: 9}",
            "data/own.yaml": "{_target_: vssl_toys.Mix, sets: {c: {_target_: vssl_toys.Data, root: clips}}}",
            "data/joined.yaml": "defaults: [toy@sets.c, listed@sets.d]\n_target_: vssl_toys.Mix\nsets: {c: {root: x}}",
            "scale/few.yaml": "# @package _global_\ndata: {num_videos: 5}",
        },
    )

    def _compose(*words: str, **settings: Any) -> Composed:
        rest, paths = take_paths(words)
        return compose(rest, root=config_root, paths=paths, **settings)

    return _compose


def bound(found: Composed) -> dict[str, Any]:
    return bind({"data": found.tree["data"]})


def test_a_set_is_composed_at_its_name(composed: Any) -> None:
    found = composed(*MIX, "data.sets.b.manifest=a (b=c), d.csv", "data.weights.b=2")
    assert found.tree["data"] == {
        "_target_": "vssl_toys.Mix",
        "sets": {
            "a": {"_target_": "vssl_toys.Data"},
            "b": {"_target_": "vssl_toys.Listed", "manifest": "a (b=c), d.csv"},
        },
        "weights": {"b": 2},
    }
    assert {key: found.choices[key] for key in ("data", "data.sets.a", "data.sets.b")} == {
        "data": "mix", "data.sets.a": "toy", "data.sets.b": "listed",
    }  # fmt: skip
    assert [path.name for path in found.files["data.sets.b"]] == ["listed.yaml"]


@pytest.mark.parametrize(("choice", "added"), [("own", []), ("joined", ["data.sets.d.manifest=m"])])
def test_a_file_of_sets_is_taken_and_added_to(composed: Any, choice: str, added: list[str]) -> None:
    words = [f"data={choice}", "data.sets.a=toy", "data.sets.c.root=mine", *added]
    sets = bound(composed(*words))["data"]["sets"]
    assert sets["c"] == {"_target_": "vssl_toys.Data", "root": "mine", "label": None, "decoder": "pyav"}
    assert sets["a"]["_target_"] == "vssl_toys.Data"


def test_sets_are_bound_with_all_their_problems_in_one_message(composed: Any) -> None:
    with pytest.raises(ConfigError, match="3 problems") as caught:
        bound(composed(*MIX, "data.sets.a.rooot=x", "data.sets.c.root=y"))
    for told in (
        "data.sets.a.rooot: Data has no argument 'rooot'; did you mean 'root'?",
        "data.sets.b.manifest must be given",
        "data.sets.c: no Data is named here (_target_); is data.sets.c=... chosen?",
    ):
        assert told in str(caught.value)


def test_a_number_of_videos_is_handed_to_the_sets(composed: Any) -> None:
    words = ["data=mix", "data.sets.a=counted", "data.sets.b=counted", "~data.sets.a.num_videos", "scale=few"]
    tree = composed(*words).tree["data"]
    assert "num_videos" not in tree
    assert [tree["sets"][name]["num_videos"] for name in "ab"] == [5, 9]
    assert composed("data=counted", "scale=few").tree["data"]["num_videos"] == 5


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["data=mix", "data.sets.a=tyo"], "data.sets.a=tyo: data has no choice 'tyo'; did you mean 'toy'?"),
        (["data=mix", "data.sets.a/b=toy"], "data.sets: a set is named 'a/b', allowed are letters, digits and _"),
        (["data=mix", "data.sets.2a=toy"], "data.sets: a set is named '2a', allowed are letters, digits and _"),
        (["data=mix", "data.sets.a=toy,listed"], "only sweep and bench take axes"),
        (["data.sets.a=toy"], "data.sets.a: data=toy is one data set"),
        (["data=mix", "~data.sets.a"], "~data.sets.a: there is nothing to remove"),
    ],
)
def test_mistakes_are_told(composed: Any, words: list[str], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        composed(*words)
    assert told in str(caught.value)


def test_a_set_is_an_axis_of_a_sweep() -> None:
    fixed, axes = split_axes(["data=mix", "data.sets.a=toy,listed"])
    assert axes == {"data.sets.a": ["data.sets.a=toy", "data.sets.a=listed"]} and fixed == ["data=mix"]


def test_a_set_is_added_to_the_data_of_a_run(composed: Any) -> None:
    base = {"data": {"_target_": "vssl_toys.Mix", "sets": {"c": {"_target_": "vssl_toys.Data", "root": "${x}"}}}}
    found = composed("data.sets.a=toy", base=base)
    assert found.tree["data"]["sets"] == {**base["data"]["sets"], "a": {"_target_": "vssl_toys.Data"}}  # type: ignore[dict-item]


def test_where_the_files_of_a_set_lie_is_in_no_hash(composed: Any) -> None:
    def hashed(*words: str) -> str:
        return part_hashes(bound(composed(*MIX, "data.sets.b.manifest=m", *words)), "content")["data"]

    assert hashed() == hashed("data.sets.a.root=/elsewhere", "data.sets.b.manifest=other", "data.sets.a.label=x")
    assert len({hashed(), hashed("data.weights.a=2"), hashed("data.sets.c=toy"), hashed("data.sets.b.folds=[1]")}) == 4
