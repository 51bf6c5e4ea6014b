"""The online probe: right numbers at the right steps, from training videos alone, and training does not notice it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

import vssl
from datamodules.moving_shapes import MovingShapes
from vssl.backbones.mean_frame import MeanFrame
from vssl.datamodule import Split, VideoDataModule
from vssl.evaluation import online
from vssl.evaluation.features import extract
from vssl.evaluation.knn import votes
from vssl.evaluation.online import KEYS, OnlineProbe
from vssl.method import Method
from vssl.training.health import effective_rank, feature_std
from vssl.video.lists.samples import Samples, select_split
from vssl.video.views import Clip

SIDE = 8
BLANK = dict.fromkeys(KEYS, "")


class Listed(VideoDataModule):
    """Training videos of a world in memory; whoever asks for the test list is found out."""

    def __init__(self, train: Samples, reader: Any, classes: int = 4) -> None:
        super().__init__()
        self.train, self.count = train, classes
        self.__dict__["reader"] = reader

    def samples(self, split: Split) -> Samples:
        assert split == "train", f"the probe asked for {split} videos"
        return self.train

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        return {name: tuple(f"class {place}" for place in range(self.count)) for name in self.train.labels}


class Still(Method):
    """A method that learns nothing."""

    def __init__(self) -> None:
        super().__init__(MeanFrame(size=SIDE))


def blobs(world: Any, noise: float = 60.0, **columns: Any) -> Samples:
    """120 videos of four images with noise on them."""
    task = world.blobs(videos=(120, 8, 8), noise=noise)
    return Samples(**{**task.train.__dict__, **columns})


def walk(probe: OnlineProbe, total: int, accumulate: int = 1, rank: int = 0) -> list[dict[str, float | str]]:
    """The probe's rows of all steps of a training in which nothing is trained."""
    method: Any = Still()
    trainer: Any = SimpleNamespace(global_step=0, max_steps=total, is_global_zero=rank == 0)
    rows = []
    for micro in range(total * accumulate):
        trainer.global_step = (micro + 1) // accumulate
        probe.on_train_batch_end(trainer, method, None, None, micro)
        if (micro + 1) % accumulate == 0:
            rows.append(probe.row())
    return rows


@pytest.mark.parametrize(
    ("times", "total", "steps"),
    [(1, 5, [5]), (2, 5, [3, 5]), (4, 8, [2, 4, 6, 8]), (10, 3, [1, 2, 3]), (3, 100, [34, 67, 100])],
)
def test_measurements_are_evenly_spread_and_the_last_step_is_one(
    world: Any, times: int, total: int, steps: list[int]
) -> None:
    rows = walk(OnlineProbe(Listed(blobs(world), world.reader), Clip(2, 1, SIDE), times=times, videos=8), total, 2)
    assert [list(row) for row in rows] == [list(KEYS)] * total
    assert [step for step, row in enumerate(rows, 1) if row != BLANK] == steps


def test_its_numbers_are_those_of_knn_on_the_select_split(world: Any, pixels: MeanFrame) -> None:
    train = blobs(world, noise=400)
    probe = OnlineProbe(Listed(train, world.reader), Clip(2, 1, SIDE), times=1, videos=1000)
    fit, select, _ = select_split(train)
    task = world.task(train.take(fit), train.take(select), train.take(select))
    bank, queries = (torch.from_numpy(extract(pixels, part, task).values[:, 0]) for part in (task.train, task.select))
    scores = votes(queries, bank, torch.from_numpy(task.train.labels["motion"]), 4, [20], 0.07)[0]
    both = torch.cat([bank, queries])
    [row] = walk(probe, 1)
    assert row == {
        "probe_knn": round(float((scores.argmax(1).numpy() == task.select.labels["motion"]).mean()), 6),
        "probe_std": round(feature_std(both), 6),
        "probe_rank": round(effective_rank(both), 6),
    }
    assert 0.25 < float(row["probe_knn"]) < 1


def test_few_videos_are_a_seeded_draw_and_no_neighbours_are_missed(world: Any) -> None:
    """With 12 videos all of the bank votes, fewer than k."""
    train = blobs(world)
    drawn = {}
    for seed in (0, 0, 1):
        probe = OnlineProbe(Listed(train, world.reader), Clip(2, 1, SIDE), times=1, videos=12, seed=seed)
        world.reader.opened.clear()
        [row] = walk(probe, 1)
        assert 0 <= float(row["probe_knn"]) <= 1
        names = tuple(world.reader.opened)
        assert len(set(names)) == len(names) == 12
        assert drawn.setdefault(seed, names) == names
    assert drawn[0] != drawn[1]
    _, select, _ = select_split(train)
    assert sum(name in set(train.id[select]) for name in drawn[0]) == 3  # a quarter are queries


def test_groups_and_folds_are_not_divided(world: Any) -> None:
    group = np.array([f"subject {place // 6}" for place in range(120)])
    for columns in ({"group": group}, {"group": group, "fold": np.arange(120) // 6 % 4}):
        train = blobs(world, **columns)
        bank, queries = online.drawn(Listed(train, world.reader), "motion", 80, 0)
        assert len(bank) == 60 and len(queries) == 20
        assert not set(bank.group) & set(queries.group)
    assert set(queries.fold) == {0}


def test_of_many_classes_some_are_asked_for_and_those_are_in_the_bank(world: Any, random_images: Any) -> None:
    label = np.where(np.arange(400) < 300, np.arange(400) % 40, -1)
    train = world.samples("train", random_images(400), motion=label)
    bank, queries = online.drawn(Listed(train, world.reader, classes=40), "motion", 64, 0)
    assert len(set(bank.labels["motion"])) == 64 // online.VIDEOS_PER_CLASS
    assert set(queries.labels["motion"]) <= set(bank.labels["motion"]) <= set(range(40))


@pytest.mark.parametrize(
    ("labels", "times", "reason"),
    [
        ({"motion": np.arange(120) % 4}, 0, "times is 0"),
        ({}, 10, "no labels"),
        ({"motion": np.full(120, -1)}, 10, "fewer than two classes"),
        ({"motion": np.zeros(120, dtype=np.int64)}, 10, "fewer than two classes"),
    ],
)
def test_where_nothing_can_be_asked_there_are_no_columns(
    world: Any, labels: dict[str, Any], times: int, reason: str
) -> None:
    probe = OnlineProbe(Listed(blobs(world, labels=labels), world.reader), Clip(2, 1, SIDE), times=times)
    assert reason in probe.off
    assert walk(probe, 3) == [{}, {}, {}]
    assert world.reader.opened == []


def test_only_the_first_rank_measures_and_all_have_the_columns(world: Any) -> None:
    probe = OnlineProbe(Listed(blobs(world), world.reader), Clip(2, 1, SIDE), times=2)
    assert walk(probe, 4, rank=1) == [BLANK] * 4
    assert world.reader.opened == []


def test_unreadable_videos_are_left_out_for_good(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    train = blobs(world)
    probe = OnlineProbe(Listed(train, world.reader), Clip(2, 1, SIDE), times=2, videos=1000)
    fit, _, _ = select_split(train)
    del world.reader.images[train.id[fit[0]]]
    rows = walk(probe, 2)
    whole = walk(OnlineProbe(Listed(train.take(np.delete(np.arange(120), fit[0])), world.reader), Clip(2, 1, SIDE)), 1)
    assert rows[0] == rows[1] and float(rows[0]["probe_rank"]) == pytest.approx(float(whole[0]["probe_rank"]))
    assert len(probe._bank) == len(fit) - 1


def test_a_set_that_cannot_be_read_is_told_and_training_goes_on(world: Any, caplog: pytest.LogCaptureFixture) -> None:
    probe = OnlineProbe(Listed(blobs(world), world.reader), Clip(2, 1, SIDE), times=1)
    world.reader.images.clear()
    with caplog.at_level(logging.WARNING):
        assert walk(probe, 1) == [BLANK]
    assert "nothing is measured at step 1" in caplog.text


def test_it_draws_no_bar_into_that_of_the_training(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("vssl.evaluation.extraction.track")
    assert walk(OnlineProbe(Listed(blobs(world), world.reader), Clip(2, 1, SIDE), times=1), 1) != [BLANK]


def test_settings_out_of_range(world: Any) -> None:
    for settings in ({"times": -1}, {"videos": 7}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            OnlineProbe(Listed(blobs(world), world.reader), Clip(2, 1, SIDE), **settings)


class Restless(MeanFrame):
    """Draws from torch's generator in evaluation mode too."""

    def forward(self, clip: Tensor) -> Tensor:
        return super().forward(clip) + torch.rand(())


def test_the_random_state_is_as_it_was(world: Any) -> None:
    probe = OnlineProbe(Listed(blobs(world), world.reader), Clip(2, 1, SIDE), times=1)
    method: Any = Still()
    method.encoder = Restless(size=SIDE)
    before = torch.random.get_rng_state()
    probe.on_train_batch_end(SimpleNamespace(global_step=1, max_steps=1, is_global_zero=True), method)
    assert probe.row() != BLANK
    assert torch.equal(torch.random.get_rng_state(), before)


class Guarded:
    """A reader that no test video gets past."""

    def __init__(self, reader: Any, forbidden: set[str]) -> None:
        self.reader, self.forbidden = reader, forbidden
        self.opened: set[str] = set()

    @contextmanager
    def open(self, path: str, *segment: float) -> Iterator[Any]:
        assert path not in self.forbidden, f"{path} is a test video"  # no VideoError, which would be put up with
        self.opened.add(path)
        with self.reader.open(path, *segment) as video:
            yield video


class Seen(pl.Callback):
    def __init__(self, probe: OnlineProbe) -> None:
        self.probe = probe
        self.rows: list[dict[str, float | str]] = []

    def on_train_batch_end(self, *_: Any) -> None:
        self.rows.append(self.probe.row())


def trained(words: list[str], probed: bool) -> tuple[Any, list[dict[str, float | str]], OnlineProbe]:
    run = vssl.build(words)
    probe = OnlineProbe(run.datamodule, Clip(8, 2, 32), times=2, videos=24)
    seen = Seen(probe)
    if probed:
        run.trainer.callbacks += [probe, seen]
    run.trainer.fit(run.method, run.datamodule)
    return run, seen.rows, probe


def test_a_training_with_a_probe_is_the_training_without_it(tiny: list[str], shared_cache: Path) -> None:
    words = [*tiny, "method=simsiam", "train.accumulate=2", "backbone.drop_path=0.3", "data.decoder=pyav"]
    words += ["run.workers=0"]
    before = set(shared_cache.rglob("*"))
    bare, _, _ = trained(words, probed=False)
    probed, rows, probe = trained(words, probed=True)
    assert [row != BLANK for row in rows] == [False, False, False, True, False, False, False, True]
    assert probe.seconds > 0
    first, second = bare.method.state_dict(), probed.method.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert bare.datamodule.digests() == probed.datamodule.digests()
    assert bare.datamodule.state_dict() == probed.datamodule.state_dict()
    assert all(part.training for part in probed.method.modules())
    assert not [path for path in set(shared_cache.rglob("*")) - before if "features" in path.parts]


def test_test_videos_are_never_opened(tiny: list[str]) -> None:
    run = vssl.build([*tiny, "data.decoder=pyav", "run.workers=0"])
    data = run.datamodule
    assert isinstance(data, MovingShapes)
    guard = Guarded(data.reader, set(data.samples("test").path.tolist()))
    data.__dict__["reader"] = guard
    probe = OnlineProbe(data, Clip(8, 2, 32), times=1, videos=10_000)
    seen = Seen(probe)
    run.trainer.callbacks += [probe, seen]
    run.trainer.fit(run.method, data)
    assert seen.rows[-1] != BLANK
    assert guard.opened and guard.opened <= set(data.samples("train").path.tolist())


def test_its_seconds_go_on_over_a_resume(world: Any) -> None:
    probe, later = (OnlineProbe(Listed(blobs(world), world.reader), Clip(2, 1, SIDE), times=1) for _ in range(2))
    walk(probe, 1)
    later.load_state_dict(probe.state_dict())
    assert later.seconds == probe.seconds > 0
