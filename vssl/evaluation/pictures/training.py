"""The curves of the training that made the encoder."""

from pathlib import Path

import pandas as pd

from vssl.drawing.training_curves import draw_curves
from vssl.evaluation.pictures.scene import LeftOut, Scene

METRICS = "metrics.csv"


def draw_training(scene: Scene, path: Path) -> None:
    if scene.run is None or not (scene.run / METRICS).is_file():
        raise LeftOut("no training of ours made this encoder")
    curves = pd.read_csv(scene.run / METRICS)
    if len(curves) < 2:
        raise LeftOut(f"{METRICS} of the run has {len(curves)} rows; a curve needs two")
    draw_curves(f"{scene.name}: training", curves, path)
