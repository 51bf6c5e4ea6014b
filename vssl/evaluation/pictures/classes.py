"""Which classes are taken for which, and how well each is told, by the neighbours' votes."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vssl.drawing.class_bars import draw_class_bars
from vssl.drawing.confusion import draw_matrix
from vssl.evaluation.pictures.scene import Scene


def draw_confusion(scene: Scene, path: Path) -> None:
    draw_matrix(f"{scene.name}: {_told(scene)}, confusion", counts(scene), scene.task.classes, path)


def draw_classes(scene: Scene, path: Path) -> None:
    draw_class_bars(f"{scene.name}: {_told(scene)}, by class", counts(scene), scene.task.classes, path)


def counts(scene: Scene) -> NDArray[np.int64]:
    """int64 [K, K]: test videos of the class of the row that were taken for the class of the column."""
    found, classes = scene.neighbours.predictions, len(scene.task.classes)
    assert found is not None, "kNN predicts"
    cells = found["label"].to_numpy() * classes + found["prediction"].to_numpy()
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def _told(scene: Scene) -> str:
    found = scene.neighbours
    return f"{scene.task.label} by {found.chosen['k']} neighbours, top-1 {100 * found.metrics['top1']['value']:.1f} %"
