"""What the pictures of one evaluation are made of: test videos, their clips, features, the run behind the encoder."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vssl.backbones.base import Backbone
from vssl.config.bind import construct
from vssl.config.errors import UserError
from vssl.evaluation.encoders import load
from vssl.evaluation.extraction import video_key
from vssl.evaluation.features import Features, features
from vssl.evaluation.freeze import weights_hash
from vssl.evaluation.knn import Knn
from vssl.evaluation.protocol import Results, Task
from vssl.method import Method
from vssl.records.record import owner
from vssl.records.run_config import CONFIG, read_config
from vssl.training.run import LAST
from vssl.video.augmentation.augment import apply, draw
from vssl.video.clips import ClipBatch, ClipDataset
from vssl.video.lists.samples import Samples
from vssl.video.relations.centre import Centre
from vssl.video.unreadable import CheckedClips, collate_checked, readable
from vssl.video.views import Views, evaluation_views


class LeftOut(Exception):
    """Why there is no such picture of this encoder, in words for the record."""


@dataclass
class Scene:
    """Everything is read when a picture first asks for it, and once.

    Args:
        out: folder of the evaluation.
        videos: how many are shown.
    """

    encoder: Backbone
    task: Task
    out: Path
    videos: int
    _features: list[tuple[Samples, Features]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Of the encoder, as its folder is called."""
        return owner(self.out).name

    @property
    def inputs(self) -> list[str]:
        """Digests of what was read for features so far."""
        return [found.inputs for _, found in self._features]

    @cached_property
    def others(self) -> Samples:
        """The videos to learn from, those held back for selection among them."""
        return Samples.concatenate(self._others)

    @property
    def asks_itself(self) -> bool:
        """There is no test list, as in a folder of clips: all videos are asked."""
        return len(self.task.test) == 0

    @cached_property
    def asked(self) -> Samples:
        """The test videos."""
        return self.others if self.asks_itself else self.task.test

    @property
    def noun(self) -> str:
        return "videos" if self.asks_itself else "test videos"

    @property
    def _others(self) -> list[Samples]:
        lists = (self.task.train, self.task.select, self.task.unlabelled)
        return [samples for samples in lists if samples is not None and len(samples)] or [self.task.train]

    def features_of_others(self) -> NDArray[np.float32]:
        """[N, D], in the order of `others`."""
        return np.concatenate([self._read_features(samples) for samples in self._others])

    def features_of_asked(self) -> NDArray[np.float32]:
        """[N, D], in the order of `asked`."""
        return self.features_of_others() if self.asks_itself else self._read_features(self.task.test)

    def _read_features(self, samples: Samples) -> NDArray[np.float32]:
        for known, found in self._features:
            if known is samples:
                return found.values[:, 0]
        self._features.append((samples, features(self.encoder, samples, self.task)))
        return self._features[-1][1].values[:, 0]

    def label(self, samples: Samples) -> NDArray[np.int64]:
        """int64 [N], -1 where a video has none."""
        if self.task.is_multi:
            return np.full(len(samples), -1, dtype=np.int64)
        return samples.labels.get(self.task.label, np.full(len(samples), -1, dtype=np.int64))

    def class_name(self, label: int) -> str:
        """Of a video; of videos without any label nothing."""
        return self.task.classes[label] if label >= 0 else "no label" if self.task.classes else ""

    @cached_property
    def shown(self) -> NDArray[np.int64]:
        """Places in `asked` of the videos that are shown: evenly from the list, sorted by class."""
        order = np.argsort(self.label(self.asked), kind="stable")
        count = min(self.videos, len(order))
        return order[np.arange(count) * len(order) // count]

    @cached_property
    def neighbours(self) -> Results:
        """What the protocol `knn` as it comes finds on the test videos with a label."""
        if not self.task.classes:
            raise LeftOut("the videos have no label")
        if self.task.is_multi:
            raise LeftOut("the videos carry several classes each")
        probe = Knn()
        try:
            probe.check(self.task)
        except UserError as error:
            raise LeftOut(f"no neighbours can be asked for classes: {str(error).splitlines()[0]}") from error
        return probe.run(self.encoder, self.task, self.out)

    @cached_property
    def run(self) -> Path | None:
        """The folder of the run that trained the encoder; None where none of ours did."""
        folder = owner(self.out)
        return folder if (folder / CONFIG).is_file() else None

    @cached_property
    def config(self) -> dict[str, Any]:
        """Of that run."""
        if self.run is None:
            raise LeftOut("no training of ours made this encoder")
        return read_config(self.run)

    @cached_property
    def method(self) -> Method:
        """The method with all of its parts, whose encoder is the one that is evaluated."""
        if self.run is None or "method" not in self.config or not (self.run / LAST).is_file():
            raise LeftOut("there is no training checkpoint with the parts beside this encoder")
        method = load(self.run, method=True)
        assert isinstance(method, Method)
        if weights_hash(method.exported) != weights_hash(self.encoder):
            raise LeftOut("the training checkpoint holds another encoder than the one that is evaluated")
        return method.eval().to(self.task.device)

    def clips(self, samples: Samples) -> tuple[Tensor, NDArray[np.float64]]:
        """Centre clips, float [n, C, T, H, W] in [0, 1], and the seconds of their frames [n, T]."""
        batch = self._read(samples, evaluation_views(self.task.clip))
        return _pixels(batch)["clip"], batch["time"]["clip"].numpy()

    def of_method(self, samples: Samples) -> tuple[dict[str, Tensor], ClipBatch]:
        """The views that the method was trained on, each in the middle of the video and without augmentation, and all
        else that a method is told of a batch; on the device."""
        views = construct(self.config["views"], Views, "views")
        views.relation = Centre()
        views.positions = tuple((name, replace(view, augment=None)) for name, view in views.positions)
        batch = self._read(samples, views)
        pixels = {name: clips.to(self.task.device) for name, clips in _pixels(batch).items()}
        batch["key"] = batch["key"].to(self.task.device)
        return pixels, batch

    def _read(self, samples: Samples, views: Views) -> ClipBatch:
        clips = CheckedClips(ClipDataset(samples, views, self.task.reader))
        return readable(collate_checked([clips[place, video_key(str(id))] for place, id in enumerate(samples.id)]))


def _pixels(batch: ClipBatch) -> dict[str, Tensor]:
    return {name: apply(clips, draw(batch["key"], 0, None, False)) for name, clips in batch["views"].items()}


def pictures_of(clip: Tensor, frames: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Those frames of a clip [C, T, H, W] in [0, 1], as uint8 [n, H, W, 3]; what is not a number is black."""
    chosen = clip[:, torch.from_numpy(frames)].permute(1, 2, 3, 0).nan_to_num(0.0).clamp(0, 1)
    return (chosen * 255).round().byte().cpu().numpy()
