"""What a bench consists of before anything runs."""

import pytest

from vssl.config.errors import ConfigError
from vssl.sweeps.plan import plan


def names(words: list[str]) -> list[str]:
    return [trial.name for trial in plan("quick", words, {}).trials]


def test_points_times_axes() -> None:
    assert names([]) == ["videomae, seed 0", "simsiam, seed 0", "supervised, seed 0"]
    assert names(["seed=0,1"])[3:] == ["videomae, seed 1", "simsiam, seed 1", "supervised, seed 1"]


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


def test_real_needs_a_root() -> None:
    with pytest.raises(ConfigError, match=r"data\.root"):
        plan("real", [], {})
