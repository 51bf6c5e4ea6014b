"""Which test videos an encoder got right, from the predictions that its evaluation kept."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vssl.report.gather import METRIC, Evaluated

PREDICTIONS = "predictions.parquet"


class NotPaired(Exception):
    """Why two evaluations cannot be compared video by video, in words."""


@dataclass(frozen=True)
class Answers:
    """One row a test video, sorted by id.

    Args:
        id: text [N]. label: int64 [N]. right: bool [N].
    """

    id: NDArray[np.object_]
    label: NDArray[np.int64]
    right: NDArray[np.bool_]


def answers(one: Evaluated) -> Answers:
    """The predictions beside a record.

    Raises:
        NotPaired: there are none, they are not one class a video, or they do not give the recorded number.
    """
    path = one.folder / PREDICTIONS
    try:
        rows = pd.read_parquet(path, columns=["id", "label", "prediction"])
    except FileNotFoundError:
        raise NotPaired(f"{path.parent.name} has no {PREDICTIONS}") from None
    except (OSError, ValueError) as error:  # pyarrow's errors are of these two
        raise NotPaired(f"{path.parent.name}/{PREDICTIONS} cannot be read: {str(error).splitlines()[0]}") from error
    if not all(pd.api.types.is_integer_dtype(rows[name]) for name in ("label", "prediction")):
        raise NotPaired("several labels a video: there is no right or wrong to pair")
    rows = rows.sort_values("id", kind="stable")
    right = (rows["label"] == rows["prediction"]).to_numpy()
    recorded = one.result["value"]
    if one.metric != METRIC and len(rows) and abs(float(right.mean()) - recorded) > 1e-6:
        raise NotPaired(f"{one.metric} is not the share of videos whose prediction is right")
    if len(rows) == 0 or abs(float(right.mean()) - recorded) > 1e-6:
        told = f"{right.mean():.1%} of {len(rows)} videos are right" if len(rows) else "no video is in them"
        raise NotPaired(f"{path.parent.name}: by its predictions {told}, by its record {recorded:.1%}")
    return Answers(rows["id"].to_numpy(dtype=object), rows["label"].to_numpy(dtype=np.int64), right)


def same_videos(a: Answers, b: Answers) -> None:
    """Passes where both answered the same question.

    Raises:
        NotPaired: other videos, or other labels of the same ones.
    """
    if not np.array_equal(a.id, b.id):
        only_a, only_b = len(set(a.id) - set(b.id)), len(set(b.id) - set(a.id))
        raise NotPaired(f"not the same test list: {only_a} videos of the one and {only_b} of the other alone")
    if other := int((a.label != b.label).sum()):
        raise NotPaired(f"not the same test list: {other} videos carry another label")


def read_once(one: Evaluated, known: dict[Path, Answers | str]) -> Answers:
    """`answers`, from `known` where they are there; what is wrong with a file is told at each question.

    Raises:
        NotPaired: as `answers`.
    """
    if one.folder not in known:
        try:
            known[one.folder] = answers(one)
        except NotPaired as reason:
            known[one.folder] = str(reason)
    kept = known[one.folder]
    if isinstance(kept, str):
        raise NotPaired(kept)
    return kept
