"""Labels for videos without any: a classifier reads each of them in the views that it was tested in."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vssl.config.errors import UserError, WorkError
from vssl.evaluation.finetuning.labeller import Labeller
from vssl.training.settings import cores
from vssl.video.augmentation.augment import apply, draw
from vssl.video.clips import ClipDataset
from vssl.video.decoding import addresses
from vssl.video.decoding.decode import PyAVReader
from vssl.video.decoding.errors import Limits, VideoError
from vssl.video.lists.samples import Samples
from vssl.video.upkeep.journal import Journal, stamp
from vssl.video.workers import worker_start


@dataclass(frozen=True)
class Predicting:
    """How videos are read and what is told of them.

    Args:
        top: classes told of each video, the likeliest first.
        batch_size: clips in one forward pass.
        workers: loader processes; None: one per spare core.
        device: "auto" takes a GPU where there is one.
        fresh: forget what a prediction that was ended has found.
    """

    top: int = 5
    batch_size: int = 16
    workers: int | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    fresh: bool = False

    def __post_init__(self) -> None:
        for name, least in {"top": 1, "batch_size": 1, "workers": 0}.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name}={value} must be {least} or more")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ValueError("device=cuda: torch finds no GPU here; device=auto takes one where there is one")


@dataclass(frozen=True)
class Prediction:
    """Of one video.

    Args:
        labels, scores: of the likeliest classes, the first one best; none of a video that could not be read.
        reason: why it could not be; empty where it could.
    """

    labels: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    reason: str = ""


class Read(NamedTuple):
    """Place of a video in the list, its clips uint8 [V, T, C, H, W], or why there are none."""

    place: int
    clips: Tensor | None
    reason: str


class Videos(Dataset[Read]):
    """All views of each video; what cannot be read is told, not raised."""

    def __init__(self, paths: Sequence[str], labeller: Labeller) -> None:
        self.paths = paths
        self.clips = ClipDataset(_samples(paths), labeller.views.views(labeller.clip), PyAVReader(Limits()))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, place: int) -> Read:
        try:
            views = self.clips[(place, 0)]["views"].values()
        except VideoError as error:
            return Read(place, None, f"{error.verdict.replace('_', ' ')}: {error.reason}")
        except UserError as error:  # fewer frames than clips
            first = str(error).splitlines()[0]
            return Read(place, None, first.removeprefix(f"{addresses.name(self.paths[place])}: "))
        return Read(place, torch.cat([view if view.ndim == 5 else view[None] for view in views]), "")


def predict_missing(
    paths: Sequence[str], labeller: Labeller, settings: Predicting, journal: Journal
) -> Generator[tuple[str, Prediction]]:
    """Predictions for files that the journal does not know; each is in it before it is given.

    Raises:
        WorkError: a loader process died.
    """
    stamps = {path: stamp(path) for path in paths}  # before they are opened: a file may change meanwhile
    device = "cuda" if settings.device != "cpu" and torch.cuda.is_available() else "cpu"
    labeller.network.to(device).eval()
    for batch in _batches(Videos(paths, labeller), labeller, settings):
        for place, prediction in _predicted(batch, labeller, settings, device):
            journal.add(paths[place], stamps[paths[place]], asdict(prediction))
            yield paths[place], prediction


def known_predictions(paths: Sequence[str], journal: Journal) -> dict[str, Prediction]:
    """What a prediction that was ended found of the files that have not changed since."""
    known = {path: journal.get(path, stamp(path)) for path in paths}
    return {
        path: Prediction(tuple(facts["labels"]), tuple(facts["scores"]), facts["reason"])
        for path, facts in known.items()
        if facts is not None
    }


def what_counts(labeller: Labeller, settings: Predicting) -> Mapping[str, Any]:
    """All that a prediction depends on beside its file; not how many are read at a time."""
    clip, views = asdict(labeller.clip), asdict(labeller.views)
    return {"for": "vssl predict", "weights": labeller.weights, "clip": clip, "views": views, "top": settings.top}


def _batches(videos: Videos, labeller: Labeller, settings: Predicting) -> Iterator[list[Read]]:
    workers = settings.workers if settings.workers is not None else max(0, min(8, cores() - 1))
    loader = DataLoader(
        videos,
        batch_size=max(1, settings.batch_size // labeller.views.count),
        collate_fn=list,
        num_workers=workers,
        # Forked workers deadlock where torch's threads have been busy.
        multiprocessing_context="forkserver" if workers else None,
        worker_init_fn=worker_start() if workers else None,
        generator=torch.Generator(),
    )
    try:
        yield from loader
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        hint = (
            "the same command goes on where it was; fewer workers= need less memory, and vssl data check finds a file "
            "that kills its reader"
        )
        raise WorkError(f"a loader process died: {error}", hint) from error


def _predicted(
    batch: Sequence[Read], labeller: Labeller, settings: Predicting, device: str
) -> Iterator[tuple[int, Prediction]]:
    clips = [read.clips for read in batch if read.clips is not None]
    scores = iter(_scores(torch.cat(clips), labeller, settings, device) if clips else ())
    for place, readable, reason in batch:
        yield place, Prediction(reason=reason) if readable is None else _best(next(scores), labeller, settings)


@torch.no_grad()
def _scores(clips: Tensor, labeller: Labeller, settings: Predicting, device: str) -> NDArray[np.float32]:
    """uint8 [n * V, T, C, H, W] -> probabilities [n, K]."""
    found = []
    for chunk in torch.split(clips, settings.batch_size):
        pixels = apply(chunk.to(device), draw(torch.zeros(len(chunk), dtype=torch.int64), 0, None, False))
        logits = labeller.network(pixels).float()
        found.append((logits.sigmoid() if labeller.several else logits.softmax(dim=1)).cpu())
    of_views = torch.cat(found)
    scores: NDArray[np.float32] = of_views.view(-1, labeller.views.count, of_views.shape[1]).mean(dim=1).numpy()
    return scores


def _best(scores: NDArray[np.float32], labeller: Labeller, settings: Predicting) -> Prediction:
    order = np.argsort(-scores, kind="stable")[: settings.top].tolist()
    return Prediction(tuple(labeller.classes[place] for place in order), tuple(float(scores[place]) for place in order))


def _samples(paths: Sequence[str]) -> Samples:
    count = len(paths)
    names = np.array(paths, dtype=np.str_)
    whole = np.full(count, np.nan)
    return Samples(names, names, whole, whole, {}, names, np.full(count, -1, dtype=np.int64))
