"""The command of a row binds to the configuration that the row was made by."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.report.factory import Runs
from vssl.cli.arguments import read_arguments
from vssl.config.bind import bind
from vssl.config.compose import Composed, compose
from vssl.config.render import to_yaml
from vssl.records.hashes import part_hashes
from vssl.report.gather import Encoder, gather
from vssl.report.html.commands import Known, commands_of
from vssl.report.html.page import page
from vssl.report.html.recipe import GROUPS, recipe
from vssl.report.table import comparison

TINY = ("backbone=vit_nano", "data=moving_shapes")
RUNS: dict[str, tuple[str, ...]] = {
    "plain": ("method=videomae",),
    "values of every kind": (
        "method=videomae", "method.mask=tube", "method.mask_ratio=0.9", "backbone.patch_size=8",
        "backbone.mean=[0.1,0.2,0.3]",
        "clip.frames=8", "clip.size=32", "train.batch_size=32", "train.accumulate=2", "data.num_videos=60", "seed=3",
        "data.label=[motion,shape]", "optim.base_lr=3e-4", "data.limits.seconds=10",
    ),
    "another optimiser": ("method=simsiam", "optim=lars", "views=cvrl", "budget.epochs=2"),
    "an augmentation of its own": (
        "method=byol", "views.a.augment.grey_p=0.5", "views.b.augment.flip=0", "views.a.stride=1",
    ),
    "a scale": ("method=moco_v3", "scale=tiny", "optim.schedule.cooldown_fraction=0.5"),
    "an option of the trainer": ("method=videomae", "trainer.deterministic=true", "budget.flops=1e12"),
}  # fmt: skip


def bound_of(words: Sequence[str]) -> tuple[Composed, dict[str, Any]]:
    """As `vssl pretrain` and a run's config.yaml have it."""
    given = read_arguments("pretrain", list(words), first=None, own_paths=(), configured=True, flags=())
    composed = compose(given.overrides, paths=given.paths)
    return composed, yaml.safe_load(to_yaml(bind(composed.tree)))


def written(text: str) -> list[str]:
    """What a shell makes of a command, without its first two words."""
    return shlex.split(text)[2:]


def only(folder: Path) -> Encoder:
    (encoder,) = (one for one in gather(folder).encoders if one.kind == "run")
    return encoder


@pytest.mark.parametrize("words", RUNS.values(), ids=list(RUNS))
def test_a_recipe_binds_to_the_same_configuration(words: tuple[str, ...]) -> None:
    composed, bound = bound_of((*TINY, *words))
    names = {group: composed.choices[group] for group in GROUPS}
    again = recipe(bound, names)
    for node in ("run", "eval", "logger"):
        bound.pop(node, None)
    found = bound_of(written("vssl pretrain " + shlex.join(again)))[1]
    assert {node: found[node] for node in bound} == bound


def test_a_path_with_spaces_and_signs_stays_what_it_is() -> None:
    composed, bound = bound_of(("method=videomae", "backbone=vit_nano", "data=video_list", "data.root=a b (c=d), $e"))
    words = recipe(bound, {group: composed.choices[group] for group in GROUPS})
    assert "data.root=a b (c=d), $e" in words
    assert bound_of(written("vssl pretrain " + shlex.join(words)))[1]["data"] == bound["data"]


def test_what_nobody_changed_is_not_said() -> None:
    composed, bound = bound_of((*TINY, "method=videomae", "method.mask_ratio=0.8"))
    words = recipe(bound, {group: composed.choices[group] for group in GROUPS})
    own = [word for word in words if word.startswith(("method.", "train.", "budget.", "seed"))]
    assert own == ["method.mask_ratio=0.8"]


def test_a_trial_is_told_in_its_own_words(tmp_path: Path) -> None:
    runs = Runs(tmp_path / "sweep")
    place = runs.run("videomae", {("motion", "knn"): 0.5})
    trial = tmp_path / "sweep" / "trials" / "aa"
    trial.mkdir(parents=True)
    config = yaml.safe_load((place / "config.yaml").read_text())
    (trial / "plan.json").write_text(json.dumps({"words": ["method=videomae", "scale=tiny"], "bound": config}))
    (trial / "trial.json").write_text(json.dumps({"status": "done", "run": place.name}))
    made, _ = commands_of(only(tmp_path), Known.of([only(tmp_path)], tmp_path))
    assert made[0] == ["vssl", "pretrain", "method=videomae", "scale=tiny", "data.root=/somewhere"]
    other = {**config, "seed": 5}
    (trial / "plan.json").write_text(json.dumps({"words": ["method=videomae", "scale=tiny"], "bound": other}))
    made, _ = commands_of(only(tmp_path), Known.of([only(tmp_path)], tmp_path))
    assert "scale=tiny" not in made[0]


def test_an_untrained_encoder_is_told_by_a_run_with_its_hashes(tmp_path: Path) -> None:
    _, bound = bound_of((*TINY, "method=videomae", "backbone.patch_size=8", "data.num_videos=60"))
    runs = Runs(tmp_path)
    place = runs.run("videomae", {("motion", "knn"): 0.5})
    (place / "config.yaml").write_text(yaml.safe_dump(bound))
    runs.baseline("random", {("motion", "knn"): 0.3}, seed=4)
    table = comparison(tmp_path)
    random = next(row.first for row in table.rows if row.kind == "random")
    known = Known.of([encoder for row in table.rows for encoder in row.encoders], tmp_path)
    made, notes = commands_of(random, known)
    assert made[0][:3] == ["vssl", "evaluate", "random"]
    assert {"backbone=vit_nano", "backbone.patch_size=8", "data.num_videos=60", "seed=4", "eval=knn"} < set(made[0])
    found = bound_of(made[0][3:-1])[1]
    names = ("data", "backbone")
    hashes, expected = part_hashes(found, "content"), part_hashes(bound, "content")
    assert [hashes[name] for name in names] == [expected[name] for name in names]
    assert not any("no record" in note for note in notes)


def test_an_untrained_encoder_alone_says_what_is_not_known(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    runs.baseline("random", {("motion", "knn"): 0.3})
    (encoder,) = gather(tmp_path).encoders
    made, notes = commands_of(encoder, Known())
    assert made[0][:3] == ["vssl", "evaluate", "random"]
    assert any("in no record" in note for note in notes)


def test_a_run_without_its_configuration_says_so(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    runs.run("videomae", {("motion", "knn"): 0.5}, config=False)
    text = page(comparison(tmp_path), tmp_path)
    assert "No command for its training" in text
    assert "vssl pretrain " not in text


def test_every_row_has_a_command_or_says_why_not(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    for seed in (0, 1):
        runs.run("videomae", {("motion", "knn"): 0.5}, seed=seed)
    runs.run("stranger", {("motion", "knn"): 0.5}, names={"data": "not_installed"})
    runs.baseline("official.pth", {("motion", "knn"): 0.6}, kind="file")
    table = comparison(tmp_path)
    known = Known.of([encoder for row in table.rows for encoder in row.encoders], tmp_path)
    for row in table.rows:
        for encoder in row.encoders:
            made, notes = commands_of(encoder, known)
            trained = [words for words in made if words[1] == "pretrain"]
            assert (len(trained) == 1) != any("its training" in note or "its own path" in note for note in notes)
            assert made[-1][1] == "evaluate"
