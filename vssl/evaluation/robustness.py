"""Robustness: the frozen linear probe on damaged test clips, by kind and strength.

Source: kinds and strengths, see `vssl.evaluation.change_picture`; that the probe is trained on whole clips is as in
ImageNet-C. The mean over kinds is of accuracies as they are, not relative to another network's.
"""

from collections.abc import Mapping

import numpy as np

from vssl.backbones.base import Backbone
from vssl.config.errors import nearest
from vssl.evaluation.change_picture import STRENGTHS, damage
from vssl.evaluation.changed import Asked, LinearOnChanges
from vssl.evaluation.changes import Change
from vssl.evaluation.metrics import Metric
from vssl.evaluation.protocol import Task
from vssl.evaluation.resampling import mean_metric

KINDS = tuple(STRENGTHS)
LEVELS = (1, 2, 3, 4, 5)


class Robustness(LinearOnChanges):
    """Top-1 of one linear probe on whole and on damaged test clips; what is drawn is drawn for the video, so that all
    encoders see the same damage.

    Args:
        kinds: compression, noise, blur, frame_drops.
        levels: strengths, 1 (weak) to 5.
    """

    name = "robustness"

    def __init__(self, kinds: tuple[str, ...] = KINDS, levels: tuple[int, ...] = LEVELS, **shared) -> None:
        super().__init__(**shared)
        for kind in kinds:
            if kind not in KINDS:
                raise ValueError(f"kinds: there is no {kind}{nearest(kind, KINDS)}; known: {', '.join(KINDS)}")
        if not kinds or not levels or not set(levels) <= set(LEVELS):
            raise ValueError(f"kinds={list(kinds)} and levels={list(levels)}: one or more of each, levels from 1 to 5")
        self.kinds, self.levels = kinds, levels

    def changes(self, task: Task) -> Mapping[str, Change]:
        return {f"{kind}_{level}": damage(kind, level) for kind in self.kinds for level in self.levels}

    def compared(self, encoder: Backbone, task: Task, asked: Asked) -> dict[str, Metric]:
        right = {kind: [asked.right(f"{kind}_{level}") for level in self.levels] for kind in self.kinds}
        of_kinds = {kind: np.mean(parts, axis=0) for kind, parts in right.items()}
        damaged = np.mean(list(of_kinds.values()), axis=0)
        return {
            "top1_damaged": mean_metric(damaged, task.seed),
            "gap_damaged": mean_metric(asked.right(None) - damaged, task.seed),
            **{f"top1_{kind}": mean_metric(values, task.seed) for kind, values in of_kinds.items()},
            **{
                f"top1_{kind}_{level}": mean_metric(values, task.seed)
                for kind, parts in right.items()
                for level, values in zip(self.levels, parts, strict=True)
            },
        }
