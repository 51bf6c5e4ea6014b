"""One linear probe, trained on clips as they are, asked about test clips of which something was changed."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vssl.backbones.base import Backbone
from vssl.evaluation.changes import Change
from vssl.evaluation.eval_views import EvalViews
from vssl.evaluation.features import Labelled, join, labelled
from vssl.evaluation.linear import Linear, Probe
from vssl.evaluation.metrics import Metric, classification, merge, predicted, predictions
from vssl.evaluation.protocol import Results, Task
from vssl.records.hashes import hash_of


@dataclass(frozen=True)
class Asked:
    """What a probe answered.

    Args:
        label: int64 [N]. answers: {change, or None for normal clips: predicted classes, int64 [N]}.
    """

    label: NDArray[np.int64]
    answers: dict[str | None, NDArray[np.int64]]

    def right(self, change: str | None) -> NDArray[np.float64]:
        """[N], 0 or 1 a video."""
        return (self.answers[change] == self.label).astype(np.float64)


class LinearOnChanges(Linear):
    """The linear probe with everything that it chooses, then its answers on each of `changes`.

    A subclass says which changes there are and what is computed of the answers. Training clips are single ones of
    `sampling`. Predictions are those on normal clips, with a column `prediction_<change>` for each change.
    """

    multi_label = False

    @abstractmethod
    def changes(self, task: Task) -> Mapping[str, Change]:
        """By the name under which metrics and predictions show them."""

    @abstractmethod
    def compared(self, encoder: Backbone, task: Task, asked: Asked) -> dict[str, Metric]:
        """What the changes did, beside the metrics on normal clips."""

    def settings(self, task: Task) -> dict[str, Any]:
        changes = self.changes(task).items()
        return {
            **super().settings(task),
            "probe": "trained and chosen on unchanged clips; test clips alone are changed",
            "training clip": self._training_views(None).stamp(task.clip)["mode"],
            "changes": {name: change.settings() for name, change in changes},
        }

    def test_views(self, change: Change | None) -> EvalViews:
        return replace(self.views, change=change)

    def _training_views(self, change: Change | None) -> EvalViews:
        return EvalViews(sampling=self.views.sampling, change=change)

    def run(self, encoder: Backbone, task: Task, out: Path) -> Results:
        probe, fit, chosen = self.probe(encoder, task, None)
        test = labelled(encoder, task.test, task, self.test_views(None))  # after every choice
        merged = merge(probe.probabilities(test.values))
        answers: dict[str | None, NDArray[np.int64]] = {None: predicted(merged.scores)}
        inputs = [fit.inputs, test.inputs]
        for name, change in self.changes(task).items():
            changed = labelled(encoder, task.test, task, self.test_views(change))
            answers[name] = predicted(merge(probe.probabilities(changed.values)).scores)
            inputs.append(changed.inputs)
        rows = predictions(test, merged)
        for name in self.changes(task):
            rows[f"prediction_{name}"] = answers[name]
        return Results(
            metrics={
                **classification(merged.scores, test.label, task.seed),
                **self.compared(encoder, task, Asked(test.label, answers)),
            },
            predictions=rows,
            chosen=chosen,
            stamp=self.stamp(task),
            inputs=hash_of(inputs),
        )

    def probe(self, encoder: Backbone, task: Task, change: Change | None) -> tuple[Probe, Labelled, dict[str, Any]]:
        """The probe of training clips under `change`, what it was trained on, and what was chosen."""
        views = self._training_views(change)
        train, select = (labelled(encoder, samples, task, views) for samples in (task.train, task.select))
        point, chosen = self._choose(train, select, task)
        fit = join(train, select)
        probe = self._fit(fit, (point,), task)
        return probe, fit, {"lr": point.lr, "weight_decay": point.weight_decay, **chosen}
