"""Groups, values, paths, budgets and runs taken over; on a configuration folder made here."""

from pathlib import Path
from typing import Any

import pytest

from vssl.config.compose import Composed, compose
from vssl.config.errors import ConfigError
from vssl.config.paths import PATH_KEYS, take_paths


@pytest.fixture
def composed(config_root: Path) -> Any:
    def _compose(*overrides: str, **settings: Any) -> Composed:
        return compose(overrides, root=config_root, **settings)

    return _compose


def test_defaults_are_composed_and_interpolations_resolved(composed: Any) -> None:
    found = composed()
    assert found.tree["backbone"] == {"_target_": "vssl_toys.Encoder", "width": 32}
    assert found.choices == {"data": "toy", "backbone": "small", "views": "single", "optim": "slow", "eval": "knn"}
    assert "hydra" not in found.tree


def test_values_reach_interpolations(composed: Any) -> None:
    assert composed("clip.size=64").tree["backbone"]["width"] == 64


def test_a_method_proposes_and_the_command_line_wins(composed: Any) -> None:
    assert composed("method=masked").choices["views"] == "pair"
    assert composed("method=masked", "views=single").choices["views"] == "single"
    assert composed("views=single", "method=masked").tree["views"].keys() == {"_target_", "clip"}


def test_an_experiment_chooses_groups(composed: Any) -> None:
    assert composed("experiment=paper").choices["optim"] == "fast"
    assert composed("experiment=paper", "optim=slow").choices["optim"] == "slow"


@pytest.mark.parametrize("word", ["eval=knn,linear", "eval=[knn,linear]"])
def test_eval_is_a_set(composed: Any, word: str) -> None:
    found = composed(word, "eval.linear.k=7")
    assert found.tree["eval"]["linear"]["k"] == 7
    assert found.choices["eval"] == "knn,linear"
    assert len(found.files["eval"]) == 2


@pytest.mark.parametrize("word", ["method=null", "~method", "eval=null", "views=null"])
def test_a_group_can_be_left_out(composed: Any, word: str) -> None:
    group = word.removeprefix("~").split("=")[0]
    assert group not in composed(word).choices


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001), ("null", None), ("[1,2]", [1, 2]), ("'a,b'", "a,b"), ("true", True), ("text", "text"),
        ("001", "001"),
    ],
)  # fmt: skip
def test_values_follow_the_override_grammar(composed: Any, text: str, value: object) -> None:
    assert composed(f"run.new={text}").tree["run"]["new"] == value


@pytest.mark.parametrize("sign", ["", "+", "++"])
def test_signs_make_no_difference_for_values(composed: Any, sign: str) -> None:
    assert composed(f"{sign}run.new.deep=1").tree["run"]["new"] == {"deep": 1}


def test_later_values_win_and_keys_can_be_removed(composed: Any) -> None:
    found = composed("run.a=1", "run.a=2", "~run.out")
    assert found.tree["run"] == {"_target_": "vssl_toys.Options", "a": 2}


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("method=maskd", "method=maskd: method has no choice 'maskd'; did you mean 'masked'?; choices: masked"),
        ("metod=masked", "metod: there is no 'metod'; did you mean 'method'?"),
        ("cilp.frames=3", "cilp.frames: there is no 'cilp'; did you mean 'clip'?"),
        ("runs/a=b", "runs/a: there is no such group"),
        ("runs/a=b", "./runs/a=b"),
        ("seed=1,2", "only sweep and bench take axes"),
        ("method=masked,other", "only sweep and bench take axes"),
        ("method=[masked]", "only eval takes several"),
        ("run.x=a(b", "'run.x=\"a(b\"'"),
        ("run.x=视频", "'run.x=\"视频\"'"),
        ("clip=3", "clip=3: clip is no single value; its keys are clip.frames, clip.size"),
        ("~run.ou", "~run.ou: there is nothing to remove; did you mean 'out'?"),
        ("run.x=${clip.frame}", "clip.frame"),
        ("seed", "'seed' is not of the form key=value"),
    ],
)
def test_mistakes_are_told_with_the_nearest_right_name(composed: Any, word: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        composed(word)
    assert told in str(caught.value)


@pytest.mark.parametrize("text", ['视频 (a=b), "c"\\', 'a\\b(\\"', "(\\\\"])
def test_the_advice_on_quoting_works(composed: Any, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        composed(f"run.x={text}")
    advised = str(caught.value).rpartition("hint: ")[2].strip("'")
    assert composed(advised).tree["run"]["x"] == text


def test_all_wrong_overrides_are_in_one_message(composed: Any) -> None:
    with pytest.raises(ConfigError, match="3 problems") as caught:
        composed("method=maskd", "seed=1,2", "views=pear")
    assert "did you mean 'masked'" in str(caught.value)
    assert "did you mean 'pair'" in str(caught.value)


NASTY = [
    "视频 (a=b), c", "a,b", "1e-3", "null", "~home", "#x", "{x: 1}", "[1]", "it's", 'say "x"', "a;b", "${clip.frames}",
    "\\${x}", "back\\slash\\", "trailing ", "", "$HOME", "x\\\\${y}\\",
]  # fmt: skip


@pytest.mark.parametrize("path", NASTY)
def test_paths_are_verbatim(composed: Any, path: str) -> None:
    words, paths = take_paths(["seed=1", f"data.root={path}", f"run.out={path}"])
    tree = composed(*words, paths=paths).tree
    assert (tree["data"]["root"], tree["run"]["out"]) == (path, path)


def test_only_path_keys_are_taken_out_of_the_arguments() -> None:
    words = [f"{key}=a=b" for key in PATH_KEYS]
    assert take_paths([*words, "seed=1", "data.rooot=x", "x"]) == (
        ["seed=1", "data.rooot=x", "x"], dict.fromkeys(PATH_KEYS, "a=b")
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "budget"),
    [
        ([], {"epochs": 3}),
        (["bench=quick"], {"flops": 1500.0}),
        (["bench=quick", "experiment=paper"], {"samples": 100}),
        (["experiment=paper", "scale=smoke"], {"steps": 2}),
        (["scale=smoke", "budget.epochs=9"], {"epochs": 9}),
        (["experiment=two", "scale=smoke"], {"steps": 2}),
        (["budget={samples:7}"], {"samples": 7}),
    ],
)
def test_the_budget_of_the_highest_place_is_the_only_one(composed: Any, words: list[str], budget: object) -> None:
    assert composed(*words).tree["budget"] == budget


@pytest.mark.parametrize(
    ("words", "place"),
    [(["budget.epochs=1", "budget.steps=2"], "the command line"), (["experiment=two"], "two.yaml")],
)
def test_two_budgets_at_one_place_are_refused(composed: Any, words: list[str], place: str) -> None:
    with pytest.raises(ConfigError, match="exactly one of epochs, steps, samples, clips, flops, seconds") as caught:
        composed(*words)
    assert place in str(caught.value)


BASE = {
    "data": {"_target_": "vssl_toys.Data", "root": "${x} 视频"}, "clip": {"frames": 16, "size": 8},
    "backbone": {"_target_": "vssl_toys.Encoder", "width": 8, "depth": 2}, "seed": 5,
    "method": {"_target_": "gone.Gone"},
}  # fmt: skip


def test_an_evaluation_takes_over_what_its_run_was(composed: Any) -> None:
    found = composed("eval=linear", base=BASE)
    assert {name: found.tree[name] for name in ("data", "clip", "backbone", "seed")} == {
        name: BASE[name] for name in ("data", "clip", "backbone", "seed")
    }
    assert "method" not in found.tree
    assert found.choices == {"views": "single", "optim": "slow", "eval": "linear"}


def test_what_the_user_says_is_applied_to_what_was_taken_over(composed: Any) -> None:
    found = composed("data=listed", "seed=7", "backbone.depth=3", base=BASE)
    assert found.tree["data"]["_target_"] == "vssl_toys.Listed"
    assert found.tree["seed"] == 7
    assert found.tree["backbone"] == {"_target_": "vssl_toys.Encoder", "width": 8, "depth": 3}
    assert found.choices["data"] == "listed"


@pytest.mark.parametrize("name", ["own", "own (a=b), c$x", "it's", "${x} 视频"])
def test_choices_from_a_folder_of_the_users_own(composed: Any, tmp_path: Path, name: str) -> None:
    folder = tmp_path / name / "method"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("_target_: vssl_toys.Method\n")
    (folder / "masked.yaml").write_text("_target_: another.Class\n")
    found = composed("method=mine", config_dirs=[folder.parent])
    assert found.tree["method"] == {"_target_": "vssl_toys.Method"}
    assert found.files["method"] == [folder / "mine.yaml"]
    packaged = composed("method=masked", config_dirs=[folder.parent])
    assert packaged.tree["method"]["_target_"] == "vssl_toys.Masked"


def test_a_missing_folder_of_the_users_own_is_refused(composed: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such folder"):
        composed(config_dirs=[tmp_path / "nowhere"])


@pytest.mark.parametrize(
    ("text", "told"),
    [("a: [1", "broken.yaml"), ("defaults: [/nothing/here]\n", "'nothing/here'")],
)
def test_a_broken_file_is_named(composed: Any, config_root: Path, text: str, told: str) -> None:
    (config_root / "method" / "broken.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        composed("method=broken")
    assert told in str(caught.value)
    assert "search path" not in str(caught.value)
