"""What holds for every protocol of configs/eval, those that are still to come included."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from tests.evaluation.conftest import SIDE, World
from vssl.backbones.base import Backbone
from vssl.config.bind import bind, construct
from vssl.config.compose import compose
from vssl.config.folders import config_root, read_yaml
from vssl.evaluation.features import labelled
from vssl.evaluation.freeze import Moved, unmoved, weights_hash
from vssl.evaluation.knn import Knn
from vssl.evaluation.linear import Linear
from vssl.evaluation.protocol import Protocol, Results, Task
from vssl.evaluation.retrieval import Retrieval
from vssl.evaluation.run import evaluate
from vssl.records.record import find_records, read_record

FILES = sorted((config_root() / "eval").glob("*.yaml"))
CLASSES, VIDEOS = 4, (96, 32, 120)

# Files that give a test video no class: what they write, and how it is checked, is in tests of their own.
NO_CLASSES = ("features", "pictures")
# Fine-tuning trains; the files for data sets differ in numbers only.
CLASSIFY = [
    pytest.param(file, marks=pytest.mark.slow if file.stem.startswith("finetune_") else (), id=file.stem)
    for file in FILES
    if file.stem not in NO_CLASSES
]
# Settings of classes that would take minutes at their published length; all others run as their files say.
SHORT: dict[str, dict[str, Any]] = {
    "Attentive": {"lrs": [0.003, 0.01], "weight_decays": [0.01], "epochs": 8, "batch_size": 32},
    "Finetune": {
        "base_lrs": [0.02, 0.06], "min_lr": 0.0, "epochs": 3, "warmup_epochs": 1, "batch_size": 16, "repeats": 1,
        "drop_path": 0.0, "dropout": 0.0, "init_scale": 1.0, "augment": None, "mixing": None, "clips": 2, "crops": 1,
    },
    "Linear": {"clips": 1, "crops": 1},  # these videos have too few frames for the ten clips of some recipes
    "Robustness": {"levels": [5]},
}  # fmt: skip
BACKBONE = {
    "_target_": "tests.evaluation.normed.Normed", "frames": 2, "size": SIDE, "tubelet_size": 2, "patch_size": 4,
    "embed_dim": 32, "depth": 1, "heads": 2,
}  # fmt: skip


def shipped(file: Path) -> Protocol:
    node = read_yaml(file)
    return construct({**node, **SHORT.get(node["_target_"].rpartition(".")[2], {})}, Protocol, f"eval.{file.stem}")


def encoder() -> Backbone:
    """In training mode, as it comes from a training."""
    torch.manual_seed(0)
    made = construct(BACKBONE, Backbone, "backbone").train()
    for _ in range(20):  # statistics that are worth keeping
        made(torch.rand(16, 3, 2, SIDE, SIDE))
    return made


def scores(results: Results) -> NDArray[np.float32]:
    return np.stack(results.predictions["scores"].tolist())


@dataclass
class Trial:
    """One protocol asked three times.

    Args:
        honest: as it is. blind: with the labels of the test list dealt out by lot. half: with the first half of it.
        opened: names of the videos that `honest` read, in order.
        same_weights: of the encoder before and after all three, buffers included, as `same_modes` is of its parts.
    """

    task: Task
    honest: Results
    blind: Results
    half: Results
    opened: list[str]
    same_weights: bool
    same_modes: bool


def trial(protocol: Protocol, folder: Path) -> Trial:
    (folder / "videos").mkdir(parents=True)
    world = World(folder / "videos")
    task = world.blobs(VIDEOS, CLASSES, noise=40.0, backbone=BACKBONE)
    asked = encoder()
    before, modes = weights_hash(asked), [part.training for part in asked.modules()]
    lot = np.random.default_rng(0).permutation(task.test.labels["motion"])
    tasks = {
        "honest": task,
        "blind": replace(task, test=replace(task.test, labels={"motion": lot})),
        "half": replace(task, test=task.test.take(np.arange(VIDEOS[2] // 2))),
    }
    found, opened = {}, list[str]()
    for name, one in tasks.items():
        (folder / name).mkdir()
        protocol.check(one)
        found[name] = protocol.run(asked, one, folder / name)
        opened = opened or list(world.reader.opened)
    after = [part.training for part in asked.modules()]
    return Trial(task, opened=opened, same_weights=weights_hash(asked) == before, same_modes=after == modes, **found)


@pytest.fixture(scope="module", params=CLASSIFY)
def shipped_trial(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    return trial(shipped(request.param), tmp_path_factory.mktemp(request.param.stem))


Check = Callable[[Trial], None]


def stays_frozen(found: Trial) -> None:
    """The encoder that was handed over is the same afterwards, statistics and modes included; tuning tunes a copy."""
    assert found.same_weights, "weights or running statistics moved"
    assert found.same_modes, "a part was left in another mode"


def reads_test_last(found: Trial) -> None:
    """Everything is chosen and trained before the first test video is opened."""
    test = set(found.task.test.id)
    early = [name in test for name in found.opened]
    assert set(found.opened) == test | set(found.task.train.id) | set(found.task.select.id)
    assert early == sorted(early), "a test video was read before the last training video"


def never_sees_test_labels(found: Trial) -> None:
    """Other test labels move the metrics and nothing else: no setting, no weight, no answer."""
    assert found.honest.chosen.keys() == found.blind.chosen.keys()
    assert np.array_equal(scores(found.honest), scores(found.blind)), "the answers depend on the test labels"


def is_at_chance_by_lot(found: Trial) -> None:
    """Where the test labels are dealt out by lot, top-1 is 1 / classes, by three standard errors; honest it is more."""
    chance, allowed = 1 / CLASSES, 3 * math.sqrt(0.25 * 0.75 / VIDEOS[2])
    assert found.honest.metrics["top1"]["value"] > chance + 2 * allowed, (
        "it learned nothing: chance would prove nothing"
    )
    for name, metric in found.blind.metrics.items():
        if name.startswith("top1"):
            assert abs(metric["value"] - chance) < allowed, name


def answers_one_by_one(found: Trial) -> None:
    """A video's answer does not depend on which others are tested, unless the stamp says that it does."""
    rows = len(found.half.predictions)
    alone = np.allclose(scores(found.half), scores(found.honest)[:rows], atol=1e-5)
    assert alone or found.honest.stamp.get("transductive"), "answers depend on the other test videos, unsaid"


def tells_of_every_video_once(found: Trial) -> None:
    """One row a test video, from which top-1 follows: what paired tests are made from."""
    rows: pd.DataFrame = found.honest.predictions
    assert rows["id"].tolist() == found.task.test.id.tolist()
    assert rows["label"].tolist() == found.task.test.labels["motion"].tolist()
    top1 = found.honest.metrics["top1"]
    assert (rows["prediction"] == rows["label"]).mean() == pytest.approx(top1["value"])
    assert top1["low"] <= top1["value"] <= top1["high"]
    assert found.honest.stamp["lists"]["test"] == found.task.test.list_hash()


CHECKS = (
    stays_frozen, reads_test_last, never_sees_test_labels, is_at_chance_by_lot, answers_one_by_one,
    tells_of_every_video_once,
)  # fmt: skip


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_every_protocol(shipped_trial: Trial, check: Check) -> None:
    check(shipped_trial)


@pytest.mark.parametrize("of", [Knn, Linear, Retrieval])
def test_several_test_views_change_none_of_it(of: Callable[..., Protocol], tmp_path: Path) -> None:
    found = trial(of(clips=2, crops=3), tmp_path)
    assert found.honest.stamp["clip"]["views"] == "2 x 3"
    for check in CHECKS:
        check(found)


class Careless(Knn):
    """Forgets that reading an encoder in training mode moves its running statistics."""

    def run(self, encoder: Backbone, task: Task, out: Path) -> Results:
        modes = {part: part.training for part in encoder.modules()}
        encoder.train()(torch.rand(8, 3, 2, SIDE, SIDE))
        for part, mode in modes.items():
            part.training = mode
        return super().run(encoder, task, out)


class LeavesEvalMode(Knn):
    def run(self, encoder: Backbone, task: Task, out: Path) -> Results:
        return super().run(encoder.eval(), task, out)


class Peeking(Knn):
    """Looks at the test videos before it chooses."""

    def run(self, encoder: Backbone, task: Task, out: Path) -> Results:
        labelled(encoder, task.test, task)
        return super().run(encoder, task, out)


class BestOnTest(Protocol):
    """Reports the best of several settings on the reported list."""

    name = "best_on_test"

    def settings(self, task: Task) -> dict[str, Any]:
        return {"selection": "top-1 on select"}

    def run(self, encoder: Backbone, task: Task, out: Path) -> Results:
        found = [Knn(k=k).run(encoder, task, out) for k in (1, 3, 9, 27, 81, 128)]
        return max(found, key=lambda one: one.metrics["top1"]["value"])


class Centred(Knn):
    """Takes the mean of all test videos from each, and says nothing of it."""

    def run(self, encoder: Backbone, task: Task, out: Path) -> Results:
        results = super().run(encoder, task, out)
        centred = scores(results) - scores(results).mean(axis=0)
        return replace(results, predictions=results.predictions.assign(scores=list(centred)))


class KnowsTheAnswers(Knn):
    """Its answers are the test labels."""

    def run(self, encoder: Backbone, task: Task, out: Path) -> Results:
        results = super().run(encoder, task, out)
        return replace(results, metrics={"top1": {"value": 0.9, "low": 0.8, "high": 1.0}})


OFFENDERS: list[tuple[Protocol, Check]] = [
    (Careless(), stays_frozen), (LeavesEvalMode(), stays_frozen), (Peeking(), reads_test_last),
    (BestOnTest(), never_sees_test_labels), (Centred(), answers_one_by_one), (KnowsTheAnswers(), is_at_chance_by_lot),
    (KnowsTheAnswers(), tells_of_every_video_once),
]  # fmt: skip


@pytest.mark.parametrize(("offender", "check"), OFFENDERS, ids=lambda one: getattr(one, "__name__", type(one).__name__))
def test_an_offender_is_caught(offender: Protocol, check: Check, tmp_path: Path) -> None:
    found = trial(offender, tmp_path)
    with pytest.raises(AssertionError):
        check(found)


def test_the_mean_of_the_test_set_is_used_only_where_the_stamp_says_so(tmp_path: Path) -> None:
    own = trial(Retrieval(centring="own"), tmp_path / "own")
    answers_one_by_one(own)
    answers_one_by_one(trial(Retrieval(centring="gallery"), tmp_path / "gallery"))
    unsaid = replace(own.honest, stamp={**own.honest.stamp, "transductive": False})
    with pytest.raises(AssertionError, match="depend on the other test videos, unsaid"):
        answers_one_by_one(replace(own, honest=unsaid))


def test_an_encoder_that_moved_fails_the_evaluation(tiny: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in tests alone: a stranger's protocol that moves it leaves a failed record and no number."""
    whole = Knn.run

    def careless(self: Knn, encoder: Backbone, task: Task, out: Path) -> Results:
        with torch.no_grad():
            next(encoder.parameters()).add_(1e-3)
        return whole(self, encoder, task, out)

    composed = compose([*tiny, "eval=knn"])
    monkeypatch.setattr(Knn, "run", careless)
    with pytest.raises(Moved, match="weights or buffers changed while knn was at it"):
        evaluate(bind(composed.tree), composed.choices, "random", Path("runs"))
    (record,) = [read_record(path) for path in find_records(Path("runs")) if path.parent.parent.name == "eval"]
    assert record["status"] == "failed" and "results" not in record


@pytest.mark.parametrize("name", ["running_mean", "num_batches_tracked", "weight"])
def test_a_single_moved_tensor_is_seen(name: str) -> None:
    asked = encoder()
    with pytest.raises(Moved, match="while it was looked at"), unmoved(asked, "it was looked at"), torch.no_grad():
        getattr(asked.bn, name).view(-1)[0] += 1
