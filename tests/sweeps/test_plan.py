"""The plan of a sweep: its trials, their names and ids."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from vssl.config.bind import bind
from vssl.config.compose import compose
from vssl.config.errors import ConfigError
from vssl.config.folders import config_root
from vssl.sweeps.plan import Trial, plan


def trainings(
    group: str, name: str | None, words: Sequence[str], paths: Mapping[str, str] | None = None
) -> list[Trial]:
    return [trial for trial in plan(group, name, words, paths or {}).trials if trial.encoder is None]


def names(words: list[str]) -> list[str]:
    return [trial.name for trial in trainings("bench", "quick", words)]


def test_points_times_axes() -> None:
    methods = ("videomae", "simsiam", "supervised")
    assert names([]) == [f"{method}, vit_nano, seed 0" for method in methods]
    assert names(["seed=0,1"])[3:] == [f"{method}, vit_nano, seed 1" for method in methods]


def test_a_method_keeps_its_point_and_the_user_wins_over_it() -> None:
    (trial,) = trainings("bench", "quick", ["method=videomae", "method.mask=tube"])
    assert trial.bound["method"]["mask"] == "tube"
    assert trial.bound["method"]["normalise_target"] is False  # the rest of the point stays


def test_a_value_that_only_one_method_knows_is_refused_for_the_others_before_anything_runs() -> None:
    with pytest.raises(ConfigError, match=r"method\.mask"):
        plan("bench", "quick", ["method.mask=tube"], {})


def test_every_trial_has_the_same_budget_in_one_line() -> None:
    trials = trainings("bench", "quick", ["budget.flops=1e12"])
    assert {trial.bound["budget"]["flops"] for trial in trials} == {1e12}
    trials = trainings("bench", "quick", ["budget.steps=10"])
    assert {(trial.bound["budget"]["steps"], trial.bound["budget"]["flops"]) for trial in trials} == {(10, None)}


def test_equal_trials_are_one_trial() -> None:
    assert len(trainings("bench", "quick", ["seed=0,0"])) == 3


def test_the_id_leaves_out_where_it_runs() -> None:
    def ids(words: list[str]) -> list[str]:
        return [trial.id for trial in trainings("bench", "quick", words)]

    assert ids(["run.workers=1", "logger=tensorboard", "launcher.jobs=2"]) == ids([])
    assert not set(ids(["seed=1"])) & set(ids([]))
    assert not set(ids(["train.batch_size=16"])) & set(ids([]))


def test_trials_that_differ_in_their_evaluation_share_a_training() -> None:
    trials = trainings("sweep", None, ["method=simsiam", "eval=knn", "eval.knn.temperature=0.05,0.1,0.2"])
    assert len({trial.id for trial in trials}) == 3
    assert len({trial.pretraining for trial in trials}) == 1
    assert len({trial.pretraining for trial in trainings("sweep", None, ["method=simsiam,byol"])}) == 2


def choices(group: str, pattern: str) -> set[str]:
    return {path.stem for path in (config_root() / group).glob(pattern)}


def test_all_has_every_method_and_zoo_every_family() -> None:
    trials = trainings("bench", "all", [])
    assert {trial.choices["method"] for trial in trials} == choices("method", "*.yaml")
    assert {trial.backbone for trial in trainings("bench", "zoo", [])} == choices("backbone", "*_nano.yaml")
    real = {trial.choices["method"] for trial in trainings("bench", "real", [], {"data.root": "clips"})}
    assert real >= {"videomae", "lstcl", "cvrl", "byol", "simsiam", "moco_v3", "svt", "supervised"}


@pytest.mark.parametrize("name", ["all", "zoo"])
def test_all_and_zoo_are_under_the_conditions_of_quick(name: str) -> None:
    quick, *others = (trial.bound for bench in ("quick", name) for trial in trainings("bench", bench, [])[:1])
    for other in others:
        assert all(quick[part] == other[part] for part in ("clip", "data", "optim", "train", "budget", "seed"))
    ids = {trial.id for trial in trainings("bench", "quick", [])}
    assert name == "zoo" or ids <= {trial.id for trial in trainings("bench", "all", [])}


def test_a_bench_over_backbones_keeps_its_points_and_takes_another_method() -> None:
    trials = trainings("bench", "zoo", ["backbone=vit_nano,r3d_18", "method=byol", "seed=0,1"])
    assert [trial.name for trial in trials[:2]] == ["byol, vit_nano, seed 0", "byol, r3d_18, seed 0"]
    assert len(trials) == 4
    assert trials[0].bound["backbone"]["patch_size"] == 8  # of the bench's point


def test_real_needs_a_root() -> None:
    with pytest.raises(ConfigError, match=r"data\.root"):
        plan("bench", "real", [], {})


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder of configurations with the sweep `mine`."""
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "mine.yaml").write_text(
        """# @package _global_
sweep:
  axes:
    method: [videomae, simsiam]
    backbone.depth: [1, 2, 3]
    time: {short: [clip.frames=8, clip.stride=2], long: [clip.frames=16]}
  exclude:
    - {method: simsiam, time: short}
    - {method: videomae, backbone.depth: [2, 3]}
  scales: {paper: [backbone=vit_small], tiny: [backbone=vit_nano, budget.steps=7]}
  scale: paper
  retries: 2
"""
    )
    return tmp_path


def test_a_file_names_axes_exclusions_and_scales(own: Path) -> None:
    whole = plan("sweep", "mine", [], {}, [own])
    assert [trial.name.split(", ", 2)[0] for trial in whole.trials] == ["videomae"] * 2 + ["simsiam"] * 3
    assert whole.excluded == 12 - 5
    assert {trial.backbone for trial in whole.trials} == {"vit_small"}
    assert whole.folder == Path("runs/sweep/mine") and whole.settings.retries == 2
    first = whole.trials[0]
    assert first.values == {"method": "videomae", "backbone.depth": "1", "time": "short"}
    assert first.bound["clip"]["stride"] == 2
    assert first.bound["clip"]["frames"] == first.bound["views"]["clip"]["frames"] == 8

    tiny = plan("sweep", "mine", ["scale=tiny", "sweep.retries=0"], {}, [own])
    assert {trial.backbone for trial in tiny.trials} == {"vit_nano"}
    assert {trial.bound["budget"]["steps"] for trial in tiny.trials} == {7}
    assert tiny.settings.retries == 0


def test_the_command_line_replaces_an_axis_of_the_file(own: Path) -> None:
    trials = trainings_of(own, ["method=byol", "time=long", "backbone.depth=4,5", "seed=0,1", "budget.epochs=2"])
    assert [(trial.bound["backbone"]["depth"], trial.seed) for trial in trials] == [(4, 0), (5, 0), (4, 1), (5, 1)]
    assert {trial.choices["method"] for trial in trials} == {"byol"}
    assert {(trial.bound["budget"]["epochs"], trial.bound["budget"]["steps"]) for trial in trials} == {(2.0, None)}


def test_a_scale_may_have_axes_of_its_own(own: Path) -> None:
    file = own / "sweep" / "mine.yaml"
    file.write_text(file.read_text().replace("budget.steps=7]", '"backbone.depth=4,5", "time=long", "seed=0,1"]'))
    tiny = trainings_of(own, ["scale=tiny", "method=byol"])
    assert [(trial.bound["backbone"]["depth"], trial.seed) for trial in tiny] == [(4, 0), (5, 0), (4, 1), (5, 1)]
    assert {trial.bound["clip"]["frames"] for trial in tiny} == {16}
    assert len(trainings_of(own, ["scale=tiny", "method=byol", "seed=3", "backbone.depth=6"])) == 1


def test_what_the_user_chooses_anew_takes_away_what_a_scale_says_of_its_own_choice(own: Path) -> None:
    file = own / "sweep" / "mine.yaml"
    words = "[data=moving_shapes, data.num_test=9, backbone=vit_nano, backbone.patch_size=8]"
    file.write_text(file.read_text().replace("[backbone=vit_nano, budget.steps=7]", words))
    (first, *_) = trainings_of(own, ["scale=tiny", "method=byol", "data.seed=3"])
    assert (first.bound["data"]["num_test"], first.bound["data"]["seed"]) == (9, 3)
    (first, *_) = plan(
        "sweep", "mine", ["scale=tiny", "method=byol", "data=video_list"], {"data.root": "x"}, [own]
    ).trials
    assert first.choices["data"] == "video_list" and first.bound["backbone"]["patch_size"] == 8


def test_variables_of_a_file_can_be_given(own: Path) -> None:
    file = own / "sweep" / "mine.yaml"
    text = file.read_text().replace("sweep:\n", "sweep:\n  vars: {stride: 3}\n", 1)
    text = text.replace("[clip.frames=16]", '["clip.stride=\\\\${sweep.vars.stride}"]')
    file.write_text(text.replace("tiny: [", "tiny: [sweep.vars.stride=5, "))
    strides = [
        {trial.bound["clip"]["stride"] for trial in trainings_of(own, ["method=byol", "time=long", *words])}
        for words in ([], ["scale=tiny"], ["scale=tiny", "sweep.vars.stride=7"])
    ]
    assert strides == [{3}, {5}, {7}]


def trainings_of(own: Path, words: list[str]) -> list[Trial]:
    return list(plan("sweep", "mine", words, {}, [own]).trials)


@pytest.mark.parametrize("scale", ["scale=tiny", "scale=paper"])
def test_a_larger_subset_holds_the_smaller_one(own: Path, scale: str) -> None:
    whole, *smaller = (
        [trial.id for trial in trainings_of(own, [scale, *([f"sweep.subset={size}"] if size else [])])]
        for size in (0, 1, 2, 4)
    )
    assert [len(one) for one in smaller] == [1, 2, 4]
    assert set(smaller[0]) < set(smaller[1]) < set(smaller[2]) < set(whole)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["method.mask_ratoi=0.5,0.9"], r"method\.mask_ratoi.*did you mean 'mask_ratio'"),
        (["methd=videomae,simsiam"], "methd"),
        (["method=videomae,simsam"], "did you mean 'simsiam'"),
        (["seed=0,1", "sweep.exclude=[{seed:[0,1]}]"], "no trial is left: everything is excluded"),
        (["seed=0,1", "sweep.exclude=[{sed:0}]"], "sweep.exclude: there is no sed; did you mean 'seed'"),
        (["seed=0,1", "sweep.axes={backbone.depth:[]}"], "backbone.depth has no values"),
        (["seed=0,1", "sweep.subset=0"], "subset=0 must be 1 or more"),
        (["seed=0,1", "sweep.subsets=3"], "did you mean 'subset'"),
        (["budget.steps=1,2", "budget.epochs=3"], "the axis budget.steps and budget.epochs=3"),
        (["budget.steps=1,2", "budget.epochs=3,4"], "the axes budget.steps and budget.epochs"),
        (["sweep.axes={both:{a:['seed=1','data.seed=2'],b:['seed=3']},data.seed:[4,5]}"], "both set data.seed"),
        (["seed=0,1", "launcher.jobz=2"], "did you mean 'jobs'"),
    ],
)
def test_a_plan_that_is_wrong_is_refused_in_one_message(words: list[str], told: str) -> None:
    from vssl.sweeps.run import launcher_of

    with pytest.raises(ConfigError, match=told):
        launcher_of(plan("sweep", None, words, {}).launcher)


@pytest.mark.parametrize(
    "words",
    [
        ["seed=0,1,2", "optim.base_lr=1e-3,2e-3,5e-3", "method=videomae,simsiam"],
        ["clip.frames=8,16", "views.clip.frames=4,8", "clip.size=32,64"],  # both reach the same view
        ["budget.steps=3,4,5", "data.num_videos=16,32", "eval.knn.temperature=0.1,0.2"],
        ["optim.schedule.after=constant,cosine", "optim.schedule={floor:0.1},{floor:0.2}"],
    ],
)
def test_every_trial_is_what_its_words_compose_to(words: list[str]) -> None:
    for trial in trainings("sweep", None, [*words, "backbone=vit_nano"]):
        alone = bind(compose(trial.words).tree)
        assert trial.bound == {node: value for node, value in alone.items() if node not in ("sweep", "launcher")}


def test_ten_thousand_trials_take_a_few_compositions(monkeypatch: pytest.MonkeyPatch) -> None:
    composed: list[int] = []

    def counted(*given: object, **named: object) -> object:
        composed.append(1)
        return compose(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr("vssl.sweeps.variants.compose", counted)
    seeds, rates = range(200), [round(0.001 * place, 3) for place in range(1, 26)]
    words = [f"seed={','.join(map(str, seeds))}", f"optim.base_lr={','.join(map(str, rates))}"]
    trials = trainings("sweep", None, ["method=videomae,simsiam", *words])
    assert len({trial.id for trial in trials}) == 10_000
    assert len(composed) <= 2 * 4
    assert [(trial.seed, trial.bound["optim"]["base_lr"]) for trial in trials[-1:]] == [(199, 0.025)]
