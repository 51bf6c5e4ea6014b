"""The online probe: kNN accuracy on held-back training videos, now and then while an encoder is pretrained.

A curve to watch a training by, not a result: it knows few videos, and never the test list. What is compared and tabled
comes from `vssl evaluate`.
"""

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vssl import _torchvision  # noqa: F401  (before Lightning)

# isort: split
import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray

from vssl.backbones.base import Backbone
from vssl.config.bind import construct
from vssl.config.errors import UserError, WorkError
from vssl.datamodule import VideoDataModule
from vssl.evaluation.features import Features, extract
from vssl.evaluation.knn import Knn, votes
from vssl.evaluation.metrics import predicted
from vssl.evaluation.protocol import Task
from vssl.method import Method
from vssl.training.build import Study
from vssl.training.callbacks import Probe
from vssl.training.health import effective_rank, feature_std
from vssl.video.clips import ClipDataset
from vssl.video.draws import permutation
from vssl.video.lists.samples import Samples, select_split
from vssl.video.unreadable import CheckedClips, Unreadable
from vssl.video.views import Clip, evaluation_views

KEYS = ("probe_knn", "probe_std", "probe_rank")

KNN = Knn()  # as `eval=knn` is by default; a bank of fewer than k videos votes as a whole
QUERY_SHARE = 0.25  # of `videos`; the others are the bank
VIDEOS_PER_CLASS = 8  # at least so many on average: of a set with many classes, only some are asked for

logger = logging.getLogger(__name__)


class OnlineProbe(Probe):
    """kNN of the exported encoder at `times` optimiser steps, evenly spread, the last one included.

    The same videos every time: a seeded draw from the labelled training videos, divided into bank and queries by the
    rule that holds videos back to choose a protocol's settings on (`select_split`), which never divides a group. Clips
    are those of evaluation: the middle of the video, nothing drawn. Videos that cannot be read are left out, as
    training leaves them out. The encoder, the random state of torch and the digests of the data set are as before
    afterwards.

    Args:
        clip: what evaluation reads.
        times: measurements in a whole training; 0 turns the probe off.
        videos: bank and queries together, at most.
        seed: of the draw.
        label: which one is asked for; None: the data set's first.
        batch_size: clips in one forward pass.
        workers: loader processes.
        stops: is asked after every measurement but the last one, with the step and top-1, whether the training shall
            end here: it then ends as after Ctrl-C, with a checkpoint and 130.
    """

    def __init__(
        self,
        datamodule: VideoDataModule,
        clip: Clip,
        times: int = 10,
        videos: int = 512,
        seed: int = 0,
        label: str | None = None,
        batch_size: int = 64,
        workers: int = 0,
        stops: Callable[[int, float], bool] | None = None,
    ) -> None:
        super().__init__()
        if times < 0 or videos < 8:
            raise ValueError(f"times={times} must be 0 or more and videos={videos} must be 8 or more")
        self.datamodule, self.clip, self.times = datamodule, clip, times
        self.batch_size, self.workers, self.stops = batch_size, workers, stops
        self.label = label or next(iter(datamodule.labels()), None)
        self.seconds = 0.0
        self.off = "run.probe_times is 0" if times == 0 else ""  # why nothing is measured; empty where something is
        if not self.off:
            try:
                self._bank, self._queries = drawn(datamodule, self.label, videos, seed)
            except UserError as error:
                self.off = str(error).splitlines()[0]
        self._blank: dict[str, float | str] = {} if self.off else dict.fromkeys(KEYS, "")
        self._row = dict(self._blank)

    def row(self) -> dict[str, float | str]:
        """For `metrics.csv`: the same keys at every step of a run, empty where nothing was measured at this one.

        `probe_knn` is top-1, a share; `probe_std` and `probe_rank` are spread and effective rank of the features of all
        probed videos. No keys at all where the probe is off.
        """
        return dict(self._row)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        self._row = dict(self._blank)
        if not self.stepped(trainer) or self.off or not trainer.is_global_zero:
            return
        step = trainer.global_step
        if step * self.times // trainer.max_steps > (step - 1) * self.times // trainer.max_steps:
            assert isinstance(pl_module, Method)
            begun = time.perf_counter()
            with torch.random.fork_rng(devices=[pl_module.device] if pl_module.device.type == "cuda" else []):
                self._row |= self._measured(pl_module.exported, pl_module.device, step)
            self.seconds += time.perf_counter() - begun
            top1 = self._row.get("probe_knn")
            if self.stops and isinstance(top1, float) and step < trainer.max_steps and self.stops(step, top1):
                trainer.should_stop = True

    def _measured(self, encoder: Backbone, device: torch.device, step: int) -> dict[str, float]:
        try:
            values = self._features(encoder, device).values[:, 0]
        except WorkError as error:
            logger.warning("online probe: nothing is measured at step %d: %s", step, error)
            return {}
        found = torch.from_numpy(values).to(device)
        bank, queries = found[: len(self._bank)], found[len(self._bank) :]
        labels = torch.from_numpy(self._bank.labels[self._label]).to(device)
        classes = len(self.datamodule.classes[self._label])
        scores = votes(queries, bank, labels, classes, KNN.grid, KNN.temperature)[0].cpu().numpy()
        right = predicted(scores) == self._queries.labels[self._label]
        measured = {
            "probe_knn": float(right.mean()),
            "probe_std": feature_std(found),
            "probe_rank": effective_rank(found),
        }
        return {key: round(value, 6) for key, value in measured.items()}

    def _features(self, encoder: Backbone, device: torch.device) -> Features:
        """Of the bank, then of the queries. Raises WorkError, see `extract`."""
        try:
            return self._extracted(encoder, device)
        except WorkError:
            self._leave_out_unreadable()
            return self._extracted(encoder, device)

    def _extracted(self, encoder: Backbone, device: torch.device) -> Features:
        nothing = self._bank.take(np.empty(0, dtype=np.int64))
        owner = self.datamodule.owner(self._label)
        task = Task(
            train=self._bank, select=self._queries, test=nothing, label=self._label,
            classes=self.datamodule.classes[self._label], clip=self.clip, flip_safe=owner.flip_safe,
            reader=owner.reader, cache=Path(), workers=self.workers, batch_size=self.batch_size,
            device=str(device),
        )  # fmt: skip
        return extract(encoder, Samples.concatenate([task.train, task.select]), task, silent=True)

    def _leave_out_unreadable(self) -> None:
        self._bank, self._queries = (found.take(self._readable(found)) for found in (self._bank, self._queries))
        if not len(self._bank) or not len(self._queries):
            raise WorkError("none of its videos can be read")

    def _readable(self, samples: Samples) -> NDArray[np.bool_]:
        reader = self.datamodule.owner(self._label).reader
        clips = CheckedClips(ClipDataset(samples, evaluation_views(self.clip), reader))
        return np.array([not isinstance(clips[place, 0], Unreadable) for place in range(len(samples))])

    @property
    def _label(self) -> str:
        assert self.label is not None, "a probe without a label is off"
        return self.label

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds = state_dict["seconds"]


def online_probe(study: Study, stops: Callable[[int, float], bool] | None = None) -> OnlineProbe:
    """The probe of a training, as its settings ask for it; `stops` as `OnlineProbe` takes it."""
    clip = construct(study.bound["clip"], Clip, "clip")
    assert isinstance(clip, Clip)
    return OnlineProbe(
        study.datamodule, clip, times=study.run.probe_times, videos=study.run.probe_videos, seed=study.seed,
        workers=study.workers, stops=stops,
    )  # fmt: skip


def drawn(datamodule: VideoDataModule, label: str | None, videos: int, seed: int) -> tuple[Samples, Samples]:
    """Bank and queries, at most `videos` together, of classes that both show; the test list is not asked for.

    Raises:
        UserError: there is no such label, or too little of it.
    """
    if label is None:
        raise UserError("the data set has no labels")
    train = datamodule.belonging(datamodule.samples("train"), label)
    if label not in train.labels:
        raise UserError(f"no training video carries a label '{label}'")
    if label in train.multi:
        raise UserError(f"the videos of '{label}' carry several classes each")
    fit, select, _ = select_split(train)
    of = train.labels[label]
    order = permutation(seed, 0, len(train))
    shown = [c for c in dict.fromkeys(of[order].tolist()) if c >= 0 and c in of[fit] and c in of[select]]
    if len(shown) < 2:
        raise UserError(f"'{label}': fewer than two classes have training videos both to vote and to be asked for")
    asked = order[np.isin(of[order], shown[: max(2, videos // VIDEOS_PER_CLASS)])]
    queries = asked[np.isin(asked, select)][: math.ceil(QUERY_SHARE * videos)]
    bank = asked[np.isin(asked, fit)][: videos - len(queries)]
    return train.take(np.sort(bank)), train.take(np.sort(queries))
