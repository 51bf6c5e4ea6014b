"""The test videos in a plane, a dot a video, coloured by class."""

from pathlib import Path

from vssl.drawing.scatter import draw_scatter
from vssl.evaluation.pictures.projection import Embedding, pca, umap
from vssl.evaluation.pictures.scene import LeftOut, Scene

LEAST = 5


def draw_embedding(scene: Scene, path: Path, kind: Embedding) -> None:
    values = scene.features_of_asked()
    if len(values) < LEAST:
        raise LeftOut(f"{len(values)} {scene.noun} are too few to be laid out; {LEAST} are the least")
    if kind == "pca":
        places, share = pca(values)
        axes = tuple(f"component {place}, {100 * part:.0f} % of the variance" for place, part in enumerate(share, 1))
    else:
        places, axes = umap(values, scene.task.seed), ("UMAP 1, no unit", "UMAP 2, no unit")
    title = f"{scene.name}: {scene.noun} by {kind.upper()} of their features"
    draw_scatter(title, places, axes, scene.label(scene.asked), scene.task.classes, path)
