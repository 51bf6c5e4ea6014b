import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from vssl.backbones.mean_frame import MeanFrame
from vssl.evaluation import retrieval
from vssl.evaluation.features import features
from vssl.evaluation.knn import Knn
from vssl.evaluation.resampling import class_balanced_metric
from vssl.evaluation.retrieval import Centring, Retrieval, search

Rows = NDArray[np.float64]


def by_loops(
    queries: Rows, gallery: Rows, asked: list[int], label: list[int], k: int
) -> tuple[list[bool], list[float]]:
    """R@k and average precision of each query, written as loops."""
    hits, precisions = [], []
    for query, own in zip(queries, asked, strict=True):
        cosine = [
            sum(a * b for a, b in zip(query, video, strict=True))
            / math.dist(query, 0 * query)
            / math.dist(video, 0 * video)
            for video in gallery
        ]
        ranked = sorted(range(len(gallery)), key=lambda place: -cosine[place])
        hits.append(any(label[place] == own for place in ranked[:k]))
        found, total = 0, 0.0
        for rank, place in enumerate(ranked, 1):
            if label[place] == own:
                found += 1
                total += found / rank
        precisions.append(total / found)
    return hits, precisions


@pytest.fixture
def drawn() -> tuple[Rows, Rows, list[int], list[int]]:
    rng = np.random.default_rng(0)
    label, asked = [*rng.integers(0, 4, 36).tolist(), 0, 1, 2, 3], rng.integers(0, 4, 25).tolist()
    return rng.normal(size=(25, 6)), rng.normal(size=(40, 6)), asked, label


def searched(drawn: tuple[Rows, Rows, list[int], list[int]], ks: list[int]) -> Any:
    queries, gallery, asked, label = drawn
    return search(torch.tensor(queries), torch.tensor(gallery), torch.tensor(asked), torch.tensor(label), 4, ks)


@pytest.mark.parametrize("similarities", [2**24, 100])
def test_hits_and_precision_are_those_of_loops(drawn: Any, similarities: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "SIMILARITIES", similarities)  # all queries at once, or a few at a time
    found = searched(drawn, [1, 3, 10])
    for place, k in enumerate((1, 3, 10)):
        hits, precisions = by_loops(*drawn, k)
        assert found.hits[:, place].tolist() == hits
        np.testing.assert_allclose(found.precision, precisions, rtol=1e-12)
    assert 0.1 < found.hits[:, 0].mean() < 0.6 and found.hits[:, 2].mean() > found.hits[:, 1].mean()


def test_average_precision_is_sklearns(drawn: Any) -> None:
    queries, gallery, asked, label = drawn
    cosine = (queries / np.linalg.norm(queries, axis=1, keepdims=True)) @ (
        gallery / np.linalg.norm(gallery, axis=1, keepdims=True)
    ).T
    expected = [average_precision_score(np.array(label) == own, row) for own, row in zip(asked, cosine, strict=True)]
    found = searched(drawn, [1])
    np.testing.assert_allclose(found.precision, expected, rtol=1e-12)
    nearest = [[row[np.array(label) == one].max() for one in range(4)] for row in cosine]
    np.testing.assert_allclose(found.scores, nearest, rtol=1e-6)


def test_of_equals_the_first_in_the_gallery_comes_first() -> None:
    gallery, query = torch.ones(5, 2), torch.ones(1, 2)
    found = search(query, gallery, torch.tensor([1]), torch.tensor([0, 0, 1, 0, 1]), 2, [2, 3])
    assert found.hits.tolist() == [[False, True]]
    assert found.precision.tolist() == [pytest.approx((1 / 3 + 2 / 5) / 2)]


def test_the_mean_precision_gives_every_class_the_same_weight() -> None:
    metric = class_balanced_metric(np.array([0.2, 0.2, 0.2, 0.8]), np.array([0, 0, 0, 3]))
    assert metric["value"] == pytest.approx(0.5)
    assert 0.2 <= metric["low"] < 0.5 <= metric["high"] <= 0.8


@pytest.mark.parametrize("centring", ["own", "gallery", "none"])
def test_each_set_is_centred_as_the_stamp_says(
    world: Any, pixels: MeanFrame, tmp_path: Path, centring: Centring
) -> None:
    task = world.blobs(videos=(60, 20, 40), noise=150.0)
    results = Retrieval(ks=(1, 5), centring=centring).run(pixels, task, tmp_path)
    lists = [features(pixels, samples, task).values[:, 0].astype(np.float64) for samples in (task.train, task.select)]
    gallery, queries = np.concatenate(lists), features(pixels, task.test, task).values[:, 0].astype(np.float64)
    away = {"own": queries.mean(0), "gallery": gallery.mean(0), "none": 0.0}[centring]
    label = np.concatenate([task.train.labels["motion"], task.select.labels["motion"]]).tolist()
    asked = task.test.labels["motion"].tolist()
    centre = 0.0 if centring == "none" else gallery.mean(0)
    for k in (1, 5):
        hits, precisions = by_loops(queries - away, gallery - centre, asked, label, k)
        assert results.metrics[f"recall_at_{k}"]["value"] == pytest.approx(np.mean(hits))
    assert results.metrics["map"]["value"] == pytest.approx(np.mean(precisions), rel=1e-5)  # ten queries a class
    assert results.stamp["transductive"] is (centring == "own")


def test_its_first_metric_is_what_its_predictions_give(world: Any, pixels: MeanFrame, tmp_path: Path) -> None:
    task = world.blobs(videos=(60, 20, 40), noise=150.0)
    results = Retrieval(centring="none").run(pixels, task, tmp_path)
    right = (results.predictions["prediction"] == results.predictions["label"]).mean()
    assert next(iter(results.metrics)) == "top1"
    assert results.metrics["top1"]["value"] == results.metrics["recall_at_1"]["value"] == right
    # Without centring, R@1 is one nearest neighbour.
    assert Knn(k=1).run(pixels, task, tmp_path).metrics["top1"]["value"] == right


def test_values_above_the_gallery_are_left_out_and_named(
    world: Any, pixels: MeanFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    results = Retrieval().run(pixels, world.blobs(videos=(12, 4, 8)), tmp_path)
    assert [name for name in results.metrics if name.startswith("recall")] == [f"recall_at_{k}" for k in (1, 5, 10)]
    assert results.chosen == {"left_out": [20, 50]}
    assert "R@[20, 50] left out: there are 16 gallery videos" in caplog.text


def test_views_are_averaged_before_the_search_in_both_sets(world: Any, pixels: MeanFrame, tmp_path: Path) -> None:
    task = world.blobs(videos=(24, 8, 8))
    one, several = (Retrieval(clips=clips).run(pixels, task, tmp_path) for clips in (1, 3))
    # Every frame of these videos is the same, so that three clips say what one does.
    np.testing.assert_allclose(np.stack(several.predictions["scores"]), np.stack(one.predictions["scores"]), atol=1e-5)
    assert several.stamp["clip"]["views"] == "3 x 1" and several.inputs != one.inputs


def test_shuffled_test_labels_give_chance(world: Any, pixels: MeanFrame, tmp_path: Path) -> None:
    task = world.blobs(videos=(120, 40, 400))
    shuffled = np.random.default_rng(0).permutation(task.test.labels["motion"])
    blind = Retrieval().run(pixels, replace(task, test=replace(task.test, labels={"motion": shuffled})), tmp_path)
    assert blind.metrics["top1"]["low"] < 0.25 < blind.metrics["top1"]["high"]
    honest = Retrieval().run(pixels, task, tmp_path)
    assert honest.metrics["map"]["low"] > 0.9 > blind.metrics["map"]["high"] + 0.3
    assert np.array_equal(np.stack(honest.predictions["scores"]), np.stack(blind.predictions["scores"]))


@pytest.mark.parametrize("ks", [(), (0, 5)])
def test_settings_out_of_range(ks: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="ks="):
        Retrieval(ks=ks)
