"""Pictures of what an encoder has learned, beside the run; no numbers.

A picture that this encoder, run or data set has no material for is left out, and the record says why.
"""

import logging
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

from vssl.backbones.base import Backbone
from vssl.config.errors import ConfigError, UserError
from vssl.evaluation.pictures.log import log_to_tensorboard
from vssl.evaluation.pictures.projection import Embedding
from vssl.evaluation.pictures.scene import LeftOut, Scene
from vssl.evaluation.protocol import Protocol, Results, Task
from vssl.records.hashes import hash_of

Name = Literal["reconstruction", "attention", "neighbours", "confusion", "classes", "embedding", "training"]
NAMES: tuple[Name, ...] = get_args(Name)

logger = logging.getLogger(__name__)


class Pictures(Protocol):
    """PNG files of a few test videos, of all of them, and of the training. Clips are centre clips.

    Args:
        only: the pictures that are drawn, see `Name`.
        videos: test videos in the pictures of clips: evenly from the list, sorted by class.
        neighbours: training videos beside each of them, the nearest first, by cosine.
        embedding: how the test videos are laid out in a plane; umap needs `pip install 'vssl[umap-learn]'`.
    """

    name = "pictures"
    needs_label = None

    def __init__(
        self, only: tuple[Name, ...] = NAMES, videos: int = 4, neighbours: int = 5, embedding: Embedding = "pca"
    ) -> None:
        super().__init__()
        for setting, value in {"videos": videos, "neighbours": neighbours}.items():
            if value < 1:
                raise ValueError(f"{setting}={value} must be 1 or more")
        if not only:
            raise ValueError(f"only=[] draws nothing; known are {', '.join(NAMES)}")
        self.only = tuple(name for name in NAMES if name in only)
        self.videos, self.neighbours, self.embedding = videos, neighbours, embedding

    def check(self, task: Task) -> None:
        """Pictures need no label and no test list; those that do are left out where there is none."""
        if not any(len(samples) for samples in (task.train, task.select, task.test, task.unlabelled or ())):
            raise UserError("eval=pictures: the data set has no videos to draw")
        if self.embedding == "umap" and find_spec("umap") is None:
            raise ConfigError(
                "eval.pictures.embedding=umap: the package umap-learn is not installed",
                "pip install 'vssl[umap-learn]', or leave it at pca",
            )

    def settings(self, task: Task) -> dict[str, Any]:
        return {
            "pictures": list(self.only), "videos": self.videos, "neighbours": self.neighbours,
            "embedding": self.embedding, "head": "none",
        }  # fmt: skip

    def run(self, encoder: Backbone, task: Task, out: Path) -> Results:
        scene = Scene(encoder, task, out, self.videos)
        artefacts: dict[str, str] = {}
        left_out: dict[str, str] = {}
        for name, draw in self._pictures().items():
            path = out / f"{name}.png"
            path.unlink(missing_ok=True)  # of an evaluation that was made anew
            try:
                draw(scene, path)
            except LeftOut as reason:
                left_out[name] = str(reason)
                logger.info("pictures: %s is left out: %s", name, reason)
            else:
                artefacts[name] = path.name
        chosen: dict[str, Any] = {"left_out": left_out}
        if scene.run is not None:
            files = {name: out / file for name, file in artefacts.items()}
            chosen["tensorboard"] = log_to_tensorboard(scene.run, files)
        return Results(
            metrics={}, predictions=None, chosen=chosen, stamp=self.stamp(task), inputs=hash_of(scene.inputs),
            artefacts=artefacts,
        )  # fmt: skip

    def _pictures(self) -> dict[Name, Callable[[Scene, Path], None]]:
        # Here and not above: matplotlib takes a second that other evaluations need not wait for.
        from vssl.evaluation.pictures.attention import draw_attention
        from vssl.evaluation.pictures.classes import draw_classes, draw_confusion
        from vssl.evaluation.pictures.embedding import draw_embedding
        from vssl.evaluation.pictures.neighbours import draw_neighbours
        from vssl.evaluation.pictures.reconstruction import draw_reconstruction
        from vssl.evaluation.pictures.training import draw_training

        known: dict[Name, Callable[[Scene, Path], None]] = {
            "reconstruction": draw_reconstruction,
            "attention": draw_attention,
            "neighbours": lambda scene, path: draw_neighbours(scene, path, self.neighbours),
            "confusion": draw_confusion,
            "classes": draw_classes,
            "embedding": lambda scene, path: draw_embedding(scene, path, self.embedding),
            "training": draw_training,
        }
        return {name: known[name] for name in self.only}
