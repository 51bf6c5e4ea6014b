"""The same features, read by us and by scikit-learn: the same answers where the solver is the same."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, balanced_accuracy_score, log_loss, top_k_accuracy_score
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from vssl.backbones.mean_frame import MeanFrame
from vssl.evaluation.features import Labelled, join, labelled
from vssl.evaluation.heads import Point, fit_heads
from vssl.evaluation.knn import Knn
from vssl.evaluation.linear import Linear, standardisation
from vssl.evaluation.metrics import classification
from vssl.evaluation.protocol import Task
from vssl.evaluation.retrieval import Retrieval

TOLERANCE = 0.001  # a tenth of a point


@dataclass
class Problem:
    task: Task
    fit: Labelled
    test: Labelled

    @property
    def standardised(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        mean, scale = standardisation(self.fit.centre())
        return (self.fit.centre() - mean) / scale, (self.test.centre() - mean) / scale


@pytest.fixture
def problem(world: Any, pixels: MeanFrame) -> Problem:
    """Eight classes, hard enough that neither is right by being easy."""
    task = world.blobs(videos=(300, 100, 500), classes=8, noise=170.0)
    train, select, test = (labelled(pixels, samples, task) for samples in (task.train, task.select, task.test))
    return Problem(task, join(train, select), test)


@pytest.mark.parametrize("k", [1, 5, 20])
def test_knn(problem: Problem, pixels: MeanFrame, tmp_path: Path, k: int) -> None:
    results = Knn(k=k).run(pixels, problem.task, tmp_path)
    peer = KNeighborsClassifier(k, weights=lambda away: np.exp((1 - away) / 0.07), metric="cosine")
    expected = peer.fit(problem.fit.centre(), problem.fit.label).predict_proba(problem.test.centre())
    np.testing.assert_allclose(np.stack(results.predictions["scores"]), expected, atol=1e-4)
    top1 = float((expected.argmax(axis=1) == problem.test.label).mean())
    assert 0.3 < top1 < 0.98
    assert results.metrics["top1"]["value"] == pytest.approx(top1, abs=TOLERANCE)


def test_logistic_regression_has_the_same_minimum(problem: Problem) -> None:
    """SGD goes on until it stands; then loss, answers and accuracy are those of a second-order solver."""
    decay, (fit, test) = 0.1, problem.standardised
    heads = fit_heads(
        torch.from_numpy(fit), torch.from_numpy(problem.fit.label), 8, [Point(0.05, decay)],
        epochs=2000, batch_size=len(fit), momentum=0.9, seed=0,
    )  # fmt: skip
    ours = heads.logits(torch.from_numpy(test))[0].softmax(dim=1).numpy()
    peer = LogisticRegression(C=1 / (decay * len(fit)), tol=1e-8, max_iter=5000).fit(fit, problem.fit.label)
    theirs = peer.predict_proba(test)
    np.testing.assert_allclose(heads.weight[:, 0].T.numpy(), peer.coef_, atol=2e-3)
    assert log_loss(problem.test.label, ours) == pytest.approx(log_loss(problem.test.label, theirs), abs=1e-3)
    accuracy = [float((one.argmax(axis=1) == problem.test.label).mean()) for one in (ours, theirs)]
    assert 0.3 < accuracy[1] < 0.98
    assert accuracy[0] == pytest.approx(accuracy[1], abs=TOLERANCE)


def test_linear_as_it_ships_is_within_a_point_of_the_same_choice_by_their_solver(
    problem: Problem, pixels: MeanFrame, tmp_path: Path
) -> None:
    """Not the same solver: 100 epochs of SGD at a rate of the grid stop before the minimum."""
    results = Linear().run(pixels, problem.task, tmp_path)
    fit, test = problem.standardised
    decay = max(results.chosen["weight_decay"], 1e-3)
    peer = LogisticRegression(C=1 / (decay * len(fit)), max_iter=5000).fit(fit, problem.fit.label)
    assert results.metrics["top1"]["value"] == pytest.approx(peer.score(test, problem.test.label), abs=0.02)


def test_accuracies(problem: Problem, pixels: MeanFrame, tmp_path: Path) -> None:
    rows = Linear().run(pixels, problem.task, tmp_path).predictions
    scores, label = np.stack(rows["scores"]), rows["label"].to_numpy()
    ours = classification(scores, label)
    assert ours["top1"]["value"] == pytest.approx(top_k_accuracy_score(label, scores, k=1))
    assert ours["top5"]["value"] == pytest.approx(top_k_accuracy_score(label, scores, k=5))
    assert ours["mean_class"]["value"] == pytest.approx(balanced_accuracy_score(label, scores.argmax(axis=1)))


@pytest.mark.parametrize("centring", ["own", "gallery", "none"])
def test_retrieval(problem: Problem, pixels: MeanFrame, tmp_path: Path, centring: Any) -> None:
    metrics = Retrieval(centring=centring).run(pixels, problem.task, tmp_path).metrics
    gallery, queries = (part.centre().astype(np.float64) for part in (problem.fit, problem.test))
    centre = gallery.mean(axis=0) * (centring != "none")
    queries = queries - (queries.mean(axis=0) if centring == "own" else centre)
    peer = NearestNeighbors(n_neighbors=len(gallery), metric="cosine").fit(gallery - centre)
    away, order = peer.kneighbors(queries)
    relevant = problem.fit.label[order] == problem.test.label[:, None]
    for k in (1, 5, 10, 20, 50):
        assert metrics[f"recall_at_{k}"]["value"] == pytest.approx(relevant[:, :k].any(axis=1).mean(), abs=TOLERANCE)
    precision = np.array([average_precision_score(hit, -far) for hit, far in zip(relevant, away, strict=True)])
    of_classes = [precision[problem.test.label == one].mean() for one in range(8)]
    assert metrics["map"]["value"] == pytest.approx(np.mean(of_classes), abs=TOLERANCE)
