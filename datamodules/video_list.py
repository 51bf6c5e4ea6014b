"""Your own videos: a manifest, or a folder tree with one folder a class."""

from functools import cached_property
from pathlib import Path

from vssl.config.errors import ConfigError, nearest
from vssl.listed import ListedVideos
from vssl.video.lists.samples import Listing, read_class_folders, read_manifest


class VideoList(ListedVideos):
    """Videos on disk, listed by a CSV or sorted into folders. One label: `label`.

    Args:
        root: folder of the videos; paths in the manifest start here.
        manifest: CSV with the columns `path` and, where there are any, `label, split, fold, group, start_s, end_s`;
            looked for below `root` first. None: one folder a class (`wave/clip_01.mp4`), or these under `train` and
            `test`.
        test_fold: the fold that is tested, where the manifest has folds and no splits.
        outside_root: paths in the manifest may lead out of root.
        classes: class names in order; else `classes.txt` beside the manifest, else sorted.
    """

    def __init__(
        self,
        root: str,
        manifest: str | None = None,
        test_fold: int = 0,
        outside_root: bool = False,
        classes: list[str] | None = None,
        **shared,
    ) -> None:
        super().__init__(root=root, **shared)
        if test_fold < 0:
            raise ValueError(f"test_fold is counted from 0; got {test_fold}")
        self.manifest = manifest
        self.test_fold = test_fold
        self.outside_root = outside_root
        self.class_names = classes

    @cached_property
    def listing(self) -> Listing:
        root, frames = Path(str(self.root)), self.decoder == "frames"
        if self.manifest is None:
            return read_class_folders(root, self.class_names, frames)
        manifest = _find(self.manifest, root)
        return read_manifest(manifest, root, self.class_names, self.test_fold, self.outside_root, frames)


def _find(manifest: str, root: Path) -> Path:
    """The manifest below the root, or by its own path."""
    for candidate in (root / manifest, Path(manifest)):
        if candidate.is_file():
            return candidate
    beside = sorted(path.name for path in root.glob("*.csv")) if root.is_dir() else []
    found = f"; {root} holds {', '.join(beside)}" if beside else ""
    message = f"data.manifest: there is no file {manifest}, neither below data.root ({root}) nor by its own path"
    raise ConfigError(f"{message}{found}{nearest(manifest, beside)}")
