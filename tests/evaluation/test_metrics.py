from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import (
    confusion_matrix,
    precision_recall_fscore_support,
    recall_score,
    top_k_accuracy_score,
)

from vssl.evaluation.features import Labelled
from vssl.evaluation.metrics import classification, in_top, predictions, write_class_tables


def some_scores(videos: int = 300, classes: int = 9) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    label = np.minimum(rng.geometric(0.3, size=videos) - 1, classes - 2)  # unbalanced; the last class is never shown
    scores = rng.normal(size=(videos, classes))
    scores[np.arange(videos), label] += 1.0
    scores[:, 0] += 1.0  # the first class is guessed too often: its recall is above the others'
    return scores, label


def test_values_equal_those_of_scikit_learn() -> None:
    scores, label = some_scores()
    found = classification(scores, label)
    assert found["top1"]["value"] == pytest.approx((scores.argmax(1) == label).mean())
    assert found["top5"]["value"] == pytest.approx(top_k_accuracy_score(label, scores, k=5, labels=range(9)))
    recall = recall_score(label, scores.argmax(1), labels=np.unique(label), average="macro")
    assert found["mean_class"]["value"] == pytest.approx(recall)
    assert found["mean_class"]["value"] < found["top1"]["value"] - 0.02


def test_interval_of_the_mean_class_accuracy_is_that_of_resampled_videos() -> None:
    scores, label = some_scores()
    right, rng = scores.argmax(1) == label, np.random.default_rng(1)
    means = []
    for _ in range(2000):
        videos = rng.integers(0, len(label), size=len(label))
        means.append(np.mean([right[videos][label[videos] == k].mean() for k in np.unique(label[videos])]))
    found = classification(scores, label)["mean_class"]
    assert (found["low"], found["high"]) == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.012)


def test_intervals_hold_the_value_and_are_the_same_again() -> None:
    scores, label = some_scores()
    found = classification(scores, label, seed=3)
    assert all(0 <= metric["low"] < metric["value"] < metric["high"] <= 1 for metric in found.values())
    assert found == classification(scores, label, seed=3)


def test_a_class_without_a_vote_is_among_no_five() -> None:
    votes = np.zeros((2, 10))
    votes[:, 7], votes[:, 9] = 0.6, 0.4  # two classes voted for; the others tie at nothing
    assert in_top(votes, np.array([9, 0]), 5).tolist() == [True, False]


def test_with_equal_scores_top_five_is_never_below_top_one() -> None:
    found = classification(np.full((6, 10), 0.1), np.array([0, 0, 0, 1, 2, 3]))
    assert found["top1"]["value"] == found["top5"]["value"] == 0.5


def test_among_four_classes_every_answer_is_in_the_top_five() -> None:
    assert classification(np.eye(4)[[0, 1, 2]], np.array([3, 3, 3]))["top5"]["value"] == 1.0


def test_predictions_have_a_row_a_video() -> None:
    test = Labelled(np.array(["a.mp4", "b.mp4"]), np.zeros((2, 3), np.float32), np.array([1, 0]), "digest")
    rows = predictions(test, np.array([[0.2, 0.8], [0.1, 0.9]]))
    assert rows[["id", "label", "prediction"]].values.tolist() == [["a.mp4", 1, 1], ["b.mp4", 0, 1]]
    assert np.allclose(np.stack(rows["scores"]), [[0.2, 0.8], [0.1, 0.9]])


def test_class_tables_count_the_test_videos(tmp_path: Path) -> None:
    label, prediction = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 1, 1, 1, 0, 1])
    rows = pd.DataFrame({"label": label, "prediction": prediction})
    names = ["a, b", "wave", "nod", "never shown"]
    assert write_class_tables(tmp_path, rows, names) == {"per_class": "per_class.csv", "confusion": "confusion.csv"}
    table = pd.read_csv(tmp_path / "confusion.csv", index_col="class")
    assert table.index.tolist() == table.columns.tolist() == names
    expected = confusion_matrix(label, prediction, labels=range(4))
    assert (table.to_numpy() == expected).all() and table.loc["a, b", "wave"] == 2  # true, then predicted
    per_class = pd.read_csv(tmp_path / "per_class.csv").set_index("class")
    precision, recall, _, support = precision_recall_fscore_support(
        label, prediction, labels=range(4), zero_division=np.nan
    )
    np.testing.assert_allclose(per_class["recall"], recall)
    np.testing.assert_allclose(per_class["precision"], precision)
    assert per_class["videos"].tolist() == support.tolist() and per_class["predicted"].tolist() == [2, 4, 0, 0]
