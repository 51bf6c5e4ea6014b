import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from vssl.backbones.mean_frame import MeanFrame
from vssl.config.errors import UserError
from vssl.evaluation import knn
from vssl.evaluation.knn import Knn, votes


def problem(queries: int = 30, bank: int = 80, width: int = 12, classes: int = 5) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(classes, (bank,), generator=generator)
    centres = torch.randn(classes, width, generator=generator, dtype=torch.float64)
    vectors = centres[label] + torch.randn(bank, width, generator=generator, dtype=torch.float64)
    return torch.randn(queries, width, generator=generator, dtype=torch.float64), vectors, label


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (7, 0.07), (20, 0.5), (80, 0.07)])
def test_votes_equal_a_loop_over_all_pairs(k: int, temperature: float) -> None:
    queries, bank, label = problem()
    (found,) = votes(queries, bank, label, 5, [k], temperature)
    q, b = queries.numpy(), bank.numpy()
    for row in range(len(q)):
        cosine = [q[row] @ b[n] / np.sqrt((q[row] @ q[row]) * (b[n] @ b[n])) for n in range(len(b))]
        tally = np.zeros(5)
        for n in sorted(range(len(b)), key=lambda n: -cosine[n])[:k]:
            tally[label[n]] += np.exp(cosine[n] / temperature)
        np.testing.assert_allclose(found[row], tally / tally.sum(), rtol=1e-9)


def test_votes_equal_those_of_scikit_learn() -> None:
    queries, bank, label = problem()
    reference = KNeighborsClassifier(20, weights=lambda distance: np.exp((1 - distance) / 0.07), metric="cosine")
    expected = reference.fit(bank.numpy(), label.numpy()).predict_proba(queries.numpy())
    np.testing.assert_allclose(votes(queries, bank, label, 5, [20], 0.07)[0], expected, rtol=1e-7)


def test_several_k_at_once_and_in_chunks_are_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, bank, label = problem()
    together = votes(queries, bank, label, 5, [3, 500, 10], 0.07)
    monkeypatch.setattr(knn, "SIMILARITIES", 7 * len(bank))
    alone = torch.stack([votes(queries, bank, label, 5, [k], 0.07)[0] for k in (3, 80, 10)])
    torch.testing.assert_close(together, alone)


def test_a_low_temperature_leaves_the_nearest_one_and_no_overflow() -> None:
    queries, bank, label = problem()
    cold = votes(queries.float(), bank.float(), label, 5, [20], 1e-4)[0]
    assert torch.isfinite(cold).all()
    assert torch.equal(cold.argmax(1), votes(queries, bank, label, 5, [1], 0.07)[0].argmax(1))


def test_train_and_select_vote_and_each_test_video_has_a_row(world: Any, pixels: MeanFrame, tmp_path: Path) -> None:
    task = world.blobs()
    results = Knn(k=5).run(pixels, task, tmp_path)
    assert results.metrics["top1"]["value"] > 0.9
    assert results.predictions["id"].tolist() == task.test.id.tolist()
    alone = Knn(k=len(task.train) + len(task.select))  # above either list, not above both
    alone.check(task)
    assert alone.run(pixels, task, tmp_path).chosen == {"k": 160, "left_out": []}


def test_k_by_hand_above_the_training_videos_is_refused_and_the_advice_holds(world: Any) -> None:
    task = world.blobs(videos=(12, 4, 8))
    with pytest.raises(
        UserError, match=r"k=20 is above the 16 training videos .*\n.*eval.knn.k=16 lets all of them vote"
    ):
        Knn(k=20).check(task)
    Knn(k=16).check(task)


def test_a_grid_leaves_out_what_is_too_large_and_names_it(
    world: Any, pixels: MeanFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = world.blobs(videos=(12, 4, 8))
    protocol = Knn(k=(3, 20, 200))
    protocol.check(task)
    with caplog.at_level(logging.WARNING):
        assert protocol.run(pixels, task, tmp_path).chosen == {"k": 3, "left_out": [20, 200]}
    assert "k=[20, 200] left out: there are 16 training videos" in caplog.text
    assert Knn().run(pixels, task, tmp_path).chosen == {"k": 16, "left_out": [20]}


def test_a_grid_is_chosen_on_select_and_not_on_test(
    world: Any, pixels: MeanFrame, tmp_path: Path, random_images: Any
) -> None:
    # A copy of every select video is in the training list under its own class, so that k=1 is right on select. The
    # test videos are the same images under the other class: there the nearest neighbour lies, the majority would not.
    images = random_images(4, seed=1)
    select = world.samples("select", images, motion=np.zeros(4))
    train = world.samples(
        "train", np.concatenate([images, random_images(20, seed=2)]), motion=np.concatenate([np.zeros(4), np.ones(20)])
    )
    test = world.samples("test", images, motion=np.ones(4))
    results = Knn(k=(1, 28)).run(pixels, world.task(train, select, test), tmp_path)
    assert results.chosen == {"k": 1, "select_top1": 1.0, "left_out": []}
    assert results.metrics["top1"]["value"] == 0.0


@pytest.mark.parametrize(
    ("settings", "text"), [({"k": 0}, "k=0"), ({"k": ()}, "k="), ({"temperature": 0.0}, "above 0")]
)
def test_settings_out_of_range(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Knn(**settings)
