"""Predictions beside the made-up records, as evaluations leave them."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from vssl.report.answers import PREDICTIONS


def answer(
    run: Path, right: Sequence[bool], label: str = "motion", protocol: str = "knn", ids: Sequence[str] | None = None,
    shift: int = 0, order: int | None = None,
) -> Path:  # fmt: skip
    """Writes the predictions of one evaluation and the top-1 that follows from them.

    Args:
        shift: of all labels.
        order: seed of an order of the rows; None leaves them sorted.
    """
    (place,) = run.glob(f"eval/{protocol}-{label}-*")
    truth = (np.arange(len(right)) + shift) % 4
    rows = pd.DataFrame(
        {
            "id": [f"test/{place:04d}" for place in range(len(right))] if ids is None else list(ids),
            "label": truth,
            "prediction": np.where(right, truth, (truth + 1) % 4),
        }
    )
    rows = rows if order is None else rows.sample(frac=1, random_state=order)
    rows.to_parquet(place / PREDICTIONS, index=False)
    record = json.loads((place / "record.json").read_text())
    record["results"]["top1"]["value"] = float(np.mean(right))
    (place / "record.json").write_text(json.dumps(record))
    return place
