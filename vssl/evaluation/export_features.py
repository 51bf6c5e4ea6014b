"""Features as a product: those of every video of a data set in one file, for whatever people do with them.

No label is needed, and no number is made. What is computed lies in the cache as well, so that a killed run goes on
where it was, and another type or format reads no video again.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from vssl.backbones.base import Backbone
from vssl.config.errors import UserError
from vssl.evaluation.extraction import require_tokens
from vssl.evaluation.feature_cache import write_tensor
from vssl.evaluation.features import features
from vssl.evaluation.protocol import Protocol, Results, Task
from vssl.records.atomic import atomic
from vssl.records.hashes import hash_of
from vssl.video.lists.samples import Samples

FEATURES = "features.safetensors"
VIDEOS = "videos"
OWN = ("id", "path", "split")


class ExportFeatures(Protocol):
    """`features.safetensors` holds one tensor, `features`, a row a video: [N, D], of several views [N, V, D]; of tokens
    [N, n, D] or [N, V, n, D]. `videos.parquet` has its rows in the same order: id, path, split, and a class name under
    each label's name, empty where a video has none, `a|b` where it carries several classes.

    Args:
        tokens: all tokens of each view instead of one summary.
        dtype: of the file; they are computed as `eval.precision` says.
        table: format of the table of videos.
    """

    name = "features"
    needs_label = False

    def __init__(
        self,
        tokens: bool = False,
        dtype: Literal["float32", "float16"] = "float32",
        table: Literal["parquet", "csv"] = "parquet",
        **shared,
    ) -> None:
        super().__init__(**shared)
        self.tokens, self.dtype, self.table = tokens, dtype, table

    def check(self, task: Task) -> None:
        if not any(len(samples) for samples in _lists(task).values()):
            raise UserError("eval=features: the data set has no videos")

    def check_encoder(self, encoder: Backbone, task: Task) -> None:
        if self.tokens:
            require_tokens(encoder)

    def settings(self, task: Task) -> dict[str, Any]:
        return {"features": "tokens" if self.tokens else "summary", "dtype": self.dtype, "head": "none"}

    def run(self, encoder: Backbone, task: Task, out: Path) -> Results:
        lists = {split: samples for split, samples in _lists(task).items() if len(samples)}
        found = [features(encoder, samples, task, self.views, self.tokens) for samples in lists.values()]
        values = [one.values[:, 0] if self.views.count == 1 else one.values for one in found]
        write_tensor(out / FEATURES, values, {"layer": "last"}, np.dtype(self.dtype))
        table = pd.concat([_rows(split, samples, task) for split, samples in lists.items()], ignore_index=True)
        with atomic(out / f"{VIDEOS}.{self.table}") as temporary:
            table.to_csv(temporary, index=False) if self.table == "csv" else table.to_parquet(temporary, index=False)
        return Results(
            metrics={}, predictions=None, chosen={}, stamp=self.stamp(task),
            inputs=hash_of([one.inputs for one in found]),
            artefacts={"features": FEATURES, "videos": f"{VIDEOS}.{self.table}"},
        )  # fmt: skip


def _lists(task: Task) -> dict[str, Samples]:
    return {"train": task.train, "test": task.test, "unlabelled": task.unlabelled or task.train.take(np.empty(0, int))}


def _rows(split: str, samples: Samples, task: Task) -> pd.DataFrame:
    columns: dict[str, Any] = {"id": samples.id.tolist(), "path": samples.path.tolist(), "split": split}
    for name, label in samples.labels.items():
        classes = task.class_names[name]
        column = f"label_{name}" if name in OWN else name
        if name in samples.multi:
            named = ["|".join(classes[index] for index in np.flatnonzero(row)) for row in samples.multi[name]]
            columns[column] = [text if index >= 0 else None for text, index in zip(named, label.tolist(), strict=True)]
        else:
            columns[column] = [classes[index] if index >= 0 else None for index in label.tolist()]
    return pd.DataFrame(columns)
