"""The ablations of `configs/sweep/`: each plans at every scale, says what is unverified, and knows its own settings."""

import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from vssl.config.folders import config_root, read_yaml
from vssl.config.overrides import split_axes
from vssl.sweeps.axes import axes_of
from vssl.sweeps.check import check_all
from vssl.sweeps.plan import plan
from vssl.sweeps.published import figures_of
from vssl.sweeps.settings import Sweep, settings_of

FILES = {path.stem: path for path in sorted((config_root() / "sweep").glob("*.yaml"))}
NO_ABLATION = {"learning_rate"}  # a search of the user's own
ABLATIONS = sorted(set(FILES) - NO_ABLATION)
PAGE = Path(__file__).parents[2] / "docs" / "ablations.md"
RELEASED = {69.6, 80.0, 81.5, 70.8, 38.9, 63.8, 67.4}  # VideoMAE, its issue 57, CVRL, SlowFast: see each note
ROOTS = {"data.root": "clips"}  # planning opens no file

# Trainings at the paper's scale and at `tiny`: what the axes of the papers multiply to.
TRAININGS = {
    "cvrl_augmentation": (8, 8),
    "cvrl_consistency": (2, 2),
    "cvrl_head": (4, 4),
    "cvrl_interval": (5, 5),
    "cvrl_temperature": (4, 4),
    "data_efficiency": (4 * 2 - 1, 4 * 2 - 1),
    "lstcl_framework": (3 * 2, 3 * 2),
    "lstcl_views": (3 * 3 * 2, 2 * 3 * 2),
    "masked_or_contrastive": (2, 2),
    "pairs_on_backbones": (3 * 5, 3 * 5),
    "videomae_data": (2, 3),
    "videomae_decoder_depth": (4, 4),
    "videomae_epochs": (5, 4),
    "videomae_loss": (3, 3),
    "videomae_mask": (4, 4),
    "videomae_mask_ratio": (4, 4),
    "videomae_strategy": (1, 1),
    "videomae_target": (4, 4),
}
# One of each kind: named axes, a scale with axes of its own, variables, a mix. The others plan in the same way.
QUICK = {"videomae_target", "lstcl_views", "masked_or_contrastive", "videomae_data"}
EACH = [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in ABLATIONS]


def node(name: str) -> Sweep:
    return settings_of(read_yaml(FILES[name])["sweep"])


def header(name: str) -> str:
    lines = FILES[name].read_text(encoding="utf-8").splitlines()
    return "\n".join(itertools.takewhile(lambda line: line.startswith("#"), lines))


def settings_at(name: str, scale: str) -> set[str]:
    """What a trial of a scale may be called: one setting of every axis, and the encoders."""
    own = node(name)
    words = [str(word) for word in own.scales[scale]]
    _, varied = split_axes(words)
    _, axes = axes_of(own, [word for word in words if word.partition("=")[0] in {*varied, *own.axes}])
    told = {axis.key: [one.told for one in axis.settings] for axis in axes}
    return {", ".join(one) for one in itertools.product(*(told[key] for key in own.axes))} | set(own.encoders)


def test_every_file_is_expected() -> None:
    assert sorted(TRAININGS) == ABLATIONS


@pytest.mark.parametrize("name", EACH)
@pytest.mark.parametrize(("place", "scale"), [(0, "paper"), (1, "tiny")])
def test_it_plans(name: str, place: int, scale: str) -> None:
    todo = plan("sweep", name, [f"scale={scale}"], ROOTS if scale == "paper" else {})
    trainings = [trial for trial in todo.trials if trial.encoder is None]
    assert len(trainings) == TRAININGS[name][place]
    assert len({trial.pretraining for trial in trainings}) == len(trainings)
    assert {trial.encoder for trial in todo.trials} == {None, "random"}
    sizes = {(trial.bound["clip"]["size"], trial.backbone.endswith("_nano")) for trial in todo.trials}
    assert sizes == ({(224, False)} if scale == "paper" else {(32, True)})


@pytest.mark.parametrize("name", [name for name in ABLATIONS if "paper_k400" in node(name).scales])
@pytest.mark.slow
def test_videomae_is_ablated_on_two_data_sets(name: str) -> None:
    for scale, data in (("paper", "ssv2"), ("paper_k400", "kinetics400")):
        trials = plan("sweep", name, [f"scale={scale}"], ROOTS).trials
        assert {trial.choices["data"] for trial in trials} == {data}


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) for name in ABLATIONS])
@pytest.mark.usefixtures("tiny")
def test_every_setting_of_a_tiny_one_can_be_built(name: str) -> None:
    few = [] if name == "data_efficiency" else ["data.num_videos=64"]
    assert check_all(plan("sweep", name, ["scale=tiny", *few], {})) == 1


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) for name in ABLATIONS])
def test_a_tiny_one_takes_clips_of_ones_own(name: str) -> None:
    own = "data.sets.own" if name == "videomae_data" else "data"
    trials = plan("sweep", name, ["scale=tiny", f"{own}=video_list"], {f"{own}.root": "clips"}).trials
    read: Any = [
        trial.bound["data"]["sets"]["own"] if name == "videomae_data" else trial.bound["data"] for trial in trials
    ]
    assert {(one["_target_"], one["root"]) for one in read} == {("datamodules.video_list.VideoList", "clips")}


@pytest.mark.parametrize("name", ABLATIONS)
def test_figures_are_of_settings_that_there_are(name: str) -> None:
    own = node(name)
    assert set(own.published) <= settings_at(name, "paper")
    assert own.published_note, "under which protocol figures were got, or that there are none"


@pytest.mark.parametrize("name", ABLATIONS)
def test_a_header_says_what_is_asked_how_it_is_run_and_what_is_unverified(name: str) -> None:
    text = header(name)
    first, *fields = text.splitlines()[1:]
    assert re.fullmatch(r"# \S.*[.?]", first), "what it asks"
    named = [found[1] for line in fields if (found := re.match(r"# ([A-Z]\w+):", line))]
    assert {"Paper", "Run", "Tiny", "Unverified"} <= set(named)
    assert f"vssl sweep {name} scale=tiny" in text and f"vssl sweep {name} " in text


def test_only_figures_of_released_runs_are_given() -> None:
    """Those of a paper's tables that were not read have no place here; a note names the source of each."""
    for name in ABLATIONS:
        given = {figure for one in figures_of(node(name).published).values() for figure in one.values()} - {None}
        assert given <= RELEASED, name
        assert not given or re.search(r"MODEL_ZOO\.md|README\.md|projects/", node(name).published_note), name


def test_the_page_lists_all_of_them() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .* \| (\d+) \| (\d+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {name: (int(paper), int(tiny)) for name, paper, tiny in rows} == TRAININGS
