"""Your own videos: a manifest, or a folder tree with one folder a class."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vssl.config.errors import ConfigError, nearest
from vssl.datamodule import Split, VideoDataModule
from vssl.video.lists import LABEL, Listing, Samples, read_class_folders, read_manifest
from vssl.video.splits import few

FEWEST = 8  # training videos; fewer cannot be divided into classes, selection and test


class VideoList(VideoDataModule):
    """Videos on disk, listed by a CSV or sorted into folders. One label: `label`.

    Args:
        root: folder of the videos; paths in the manifest start here.
        manifest: CSV with the columns `path` and, where there are any, `label, split, fold, group, start_s, end_s`;
            looked for below `root` first. None: one folder a class (`wave/clip_01.mp4`), or these under `train` and
            `test`.
        test_fold: the fold that is tested, where the manifest has folds and no splits.
        num_videos: at most this many training (and unlabelled) videos, and a fifth as many test videos, for a quick
            look; which ones depends on their names alone. None: all of them.
        classes: class names in order; else `classes.txt` beside the manifest, else sorted.
    """

    def __init__(
        self,
        root: str,
        manifest: str | None = None,
        test_fold: int = 0,
        num_videos: int | None = None,
        classes: list[str] | None = None,
        **shared,
    ) -> None:
        super().__init__(root=root, **shared)
        if test_fold < 0:
            raise ValueError(f"test_fold is counted from 0; got {test_fold}")
        if num_videos is not None and num_videos < FEWEST:
            raise ValueError(f"num_videos must be at least {FEWEST}; got {num_videos}")
        self.manifest = manifest
        self.test_fold = test_fold
        self.num_videos = num_videos
        self.class_names = classes

    @cached_property
    def listing(self) -> Listing:
        root = Path(str(self.root))
        if self.manifest is None:
            return read_class_folders(root, self.class_names)
        return read_manifest(_find(self.manifest, root), root, self.class_names, self.test_fold)

    def samples(self, split: Split) -> Samples:
        samples = self.listing.samples.take(self.listing.split == split)
        if self.num_videos is None:
            return samples
        if split == "test":
            trained = np.isin(_label(samples), _label(self.samples("train")))
            return _few(samples.take(trained), self.num_videos // 5)
        return _few(samples, self.num_videos)

    @property
    def classes(self) -> Mapping[str, tuple[str, ...]]:
        return self.listing.classes

    @property
    def split_rule(self) -> str:
        rule = self.listing.rule
        return rule if self.num_videos is None else f"{rule}; at most {self.num_videos} training videos"


def _label(samples: Samples) -> NDArray[np.int64]:
    return samples.labels.get(LABEL, np.full(len(samples), -1, dtype=np.int64))


def _few(samples: Samples, count: int) -> Samples:
    return samples.take(few(samples.id.tolist(), _label(samples).tolist(), count))


def _find(manifest: str, root: Path) -> Path:
    """The manifest below the root, or by its own path."""
    for candidate in (root / manifest, Path(manifest)):
        if candidate.is_file():
            return candidate
    beside = sorted(path.name for path in root.glob("*.csv")) if root.is_dir() else []
    found = f"; {root} holds {', '.join(beside)}" if beside else ""
    message = f"data.manifest: there is no file {manifest}, neither below data.root ({root}) nor by its own path"
    raise ConfigError(f"{message}{found}{nearest(manifest, beside)}")
