"""What a bench consists of before anything runs."""

import pytest

from vssl.config.errors import ConfigError
from vssl.config.folders import config_root
from vssl.sweeps.plan import plan


def names(words: list[str]) -> list[str]:
    return [trial.name for trial in plan("quick", words, {}).trials]


def test_points_times_axes() -> None:
    methods = ("videomae", "simsiam", "supervised")
    assert names([]) == [f"{method}, vit_nano, seed 0" for method in methods]
    assert names(["seed=0,1"])[3:] == [f"{method}, vit_nano, seed 1" for method in methods]


def test_a_method_keeps_its_point_and_the_user_wins_over_it() -> None:
    (trial,) = plan("quick", ["method=videomae", "method.mask=tube"], {}).trials
    assert trial.bound["method"]["mask"] == "tube"
    assert trial.bound["method"]["normalise_target"] is False  # the rest of the point stays


def test_a_value_that_only_one_method_knows_is_refused_for_the_others_before_anything_runs() -> None:
    with pytest.raises(ConfigError, match=r"method\.mask"):
        plan("quick", ["method.mask=tube"], {})


def test_every_trial_has_the_same_budget_in_one_line() -> None:
    trials = plan("quick", ["budget.flops=1e12"], {}).trials
    assert {trial.bound["budget"]["flops"] for trial in trials} == {1e12}
    trials = plan("quick", ["budget.steps=10"], {}).trials
    assert {(trial.bound["budget"]["steps"], trial.bound["budget"]["flops"]) for trial in trials} == {(10, None)}


def test_equal_trials_are_one_trial() -> None:
    assert len(plan("quick", ["seed=0,0"], {}).trials) == 3


def test_the_id_leaves_out_where_it_runs_and_how_it_is_evaluated() -> None:
    def ids(words: list[str]) -> list[str]:
        return [trial.id for trial in plan("quick", words, {}).trials]

    assert ids(["run.workers=1", "eval=knn", "logger=tensorboard"]) == ids([])
    assert not set(ids(["seed=1"])) & set(ids([]))
    assert not set(ids(["train.batch_size=16"])) & set(ids([]))


def choices(group: str, pattern: str) -> set[str]:
    return {path.stem for path in (config_root() / group).glob(pattern)}


def test_all_has_every_method_and_zoo_every_family() -> None:
    trials = plan("all", [], {}).trials
    assert {trial.composed.choices["method"] for trial in trials} == choices("method", "*.yaml")
    assert {trial.backbone for trial in plan("zoo", [], {}).trials} == choices("backbone", "*_nano.yaml")
    real = {trial.composed.choices["method"] for trial in plan("real", [], {"data.root": "clips"}).trials}
    assert real >= {"videomae", "lstcl", "cvrl", "byol", "simsiam", "moco_v3", "svt", "supervised"}


@pytest.mark.parametrize("name", ["all", "zoo"])
def test_all_and_zoo_are_under_the_conditions_of_quick(name: str) -> None:
    quick, *others = (trial.bound for bench in ("quick", name) for trial in plan(bench, [], {}).trials[:1])
    for other in others:
        assert all(quick[part] == other[part] for part in ("clip", "data", "optim", "train", "budget", "seed"))
    ids = {trial.id for trial in plan("quick", [], {}).trials}
    assert name == "zoo" or ids <= {trial.id for trial in plan("all", [], {}).trials}


def test_a_bench_over_backbones_keeps_its_points_and_takes_another_method() -> None:
    trials = plan("zoo", ["backbone=vit_nano,r3d_18", "method=byol", "seed=0,1"], {}).trials
    assert [trial.name for trial in trials[:2]] == ["byol, vit_nano, seed 0", "byol, r3d_18, seed 0"]
    assert len(trials) == 4
    assert trials[0].bound["backbone"]["patch_size"] == 8  # of the bench's point


def test_real_needs_a_root() -> None:
    with pytest.raises(ConfigError, match=r"data\.root"):
        plan("real", [], {})
