"""Temporal: the frozen linear probe once more on clips whose course in time was changed.

Source: our choice; the changes are the usual ones. The probe is trained on normal clips and asked about changed ones: a
fall says that encoder and probe together had used what was taken away. `retrain` asks what a probe of their own still
reads from the changed clips.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vssl.backbones.base import Backbone
from vssl.config.errors import UserError, nearest
from vssl.evaluation.change_time import time_changes
from vssl.evaluation.changed import Asked, LinearOnChanges
from vssl.evaluation.changes import Change
from vssl.evaluation.features import labelled
from vssl.evaluation.metrics import Metric, merge, predicted
from vssl.evaluation.protocol import Task
from vssl.evaluation.resampling import mean_metric
from vssl.video.views import Clip

NAMES = tuple(time_changes(Clip()))
OF_STRIDE = ("double_speed", "half_speed")


class Temporal(LinearOnChanges):
    """Top-1 of one linear probe on normal and on changed test clips; the gap is normal minus changed, video by video.

    Args:
        changes: what is done to the test clips: shuffled, reversed, single_frame (the middle one, all the time),
            static_frame (the mean of all, all the time), double_speed, half_speed. With sampling=segments, whose clips
            have no stride, the last two are left out.
        retrain: also trains and chooses a probe on each kind of changed training clips, for its own test clips.
    """

    name = "temporal"

    def __init__(self, changes: tuple[str, ...] = NAMES, retrain: bool = False, **shared) -> None:
        super().__init__(**shared)
        for change in changes:
            if change not in NAMES:
                raise ValueError(f"changes: there is no {change}{nearest(change, NAMES)}; known: {', '.join(NAMES)}")
        if not changes:
            raise ValueError(f"changes is empty; known: {', '.join(NAMES)}")
        by_segments = self.views.sampling == "segments"
        self.names = tuple(change for change in changes if not (by_segments and change in OF_STRIDE))
        self.retrain = retrain

    def check(self, task: Task) -> None:
        super().check(task)
        if task.clip.frames < 2:
            raise UserError("temporal: clips of one frame have no order", "clip.frames=16, for example")

    def changes(self, task: Task) -> Mapping[str, Change]:
        known = time_changes(task.clip)
        return {name: known[name] for name in self.names}

    def settings(self, task: Task) -> dict[str, Any]:
        return {**super().settings(task), "retrain": self.retrain}

    def compared(self, encoder: Backbone, task: Task, asked: Asked) -> dict[str, Metric]:
        normal = asked.right(None)
        found: dict[str, Metric] = {}
        for name in self.names:
            found[f"top1_{name}"] = mean_metric(asked.right(name), task.seed)
            found[f"gap_{name}"] = mean_metric(normal - asked.right(name), task.seed)
        for name, change in self.changes(task).items() if self.retrain else ():
            right = self._retrained(encoder, task, change)
            found[f"top1_{name}_retrained"] = mean_metric(right, task.seed)
            found[f"gap_{name}_retrained"] = mean_metric(normal - right, task.seed)
        return found

    def _retrained(self, encoder: Backbone, task: Task, change: Change) -> NDArray[np.float64]:
        """Whether a probe of the changed clips' own is right: [N], 0 or 1."""
        probe, _, _ = self.probe(encoder, task, change)
        test = labelled(encoder, task.test, task, self.test_views(change))
        scores = merge(probe.probabilities(test.values)).scores
        return (predicted(scores) == test.label).astype(np.float64)
