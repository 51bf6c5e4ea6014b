"""Lists in the forms of mmaction2 (and of TSN, SlowFast, VideoMAE): one video a line, its class index at the end.

    form=videos              path label                 wave/clip_01.mp4 3
    form=frames              folder frames label        wave/clip_01 250 3
    form=frames_with_offset  folder offset frames label wave/clip_01 100 50 3

`frames` is how many images of the folder are read, and `offset` how many are passed over before; a folder that holds
fewer counts as missing, and what it holds more is left out. With `multi_label` any number of labels ends a line.

Source: mmaction2's VideoDataset, RawframeDataset and RawFrameDecode (file number = start_index + offset + frame).
"""

import os
from pathlib import Path
from typing import Literal

from vssl.config.errors import ConfigError, UserError, nearest
from vssl.listed import Lists, OfficialVideos
from vssl.video.lists.classes import read_class_names
from vssl.video.lists.entries import Entry, class_file, numbered_lines, refuse_doubles, refuse_outside
from vssl.video.lists.manifest import relative_path

NUMBERS = {"videos": 1, "frames": 2, "frames_with_offset": 3}


class MMAction2(OfficialVideos):
    """Videos, or folders of frames, in mmaction2's lists. One label: `label`.

    Args:
        train_list, test_list: files, looked for in the folder of the lists and then by their own paths. Without
            `test_list` nothing can be evaluated.
        form: what a line holds.
        label_map: class names, one a line, in order; else `classes.txt` or `label_map.txt` beside the lists, else the
            classes are called by their numbers.
        outside_root: paths may lead out of root.
        multi_label: a video may carry several classes, and a line ends with all of them: `path 1 3 7`.
    """

    def __init__(
        self,
        root: str,
        train_list: str | None = None,
        test_list: str | None = None,
        form: Literal["videos", "frames", "frames_with_offset"] = "videos",
        label_map: str | None = None,
        outside_root: bool = False,
        multi_label: bool = False,
        **shared,
    ) -> None:
        super().__init__(root=root, **shared)
        if train_list is None:
            raise ValueError("train_list must be given: the list of the training videos")
        self.train_list, self.test_list, self.label_map = train_list, test_list, label_map
        self.form = form
        self.outside_root, self.multi_label = outside_root, multi_label

    def lists(self, folder: Path) -> Lists:
        if (self.form == "videos") == (self.decoder == "frames"):
            hint = "folders of frames are read by data.decoder=frames, and nothing else is"
            raise ConfigError(f"data.form={self.form} does not go with data.decoder={self.decoder}", hint)
        train_file = self._file(folder, str(self.train_list), "train_list")
        test_file = None if self.test_list is None else self._file(folder, self.test_list, "test_list")
        train = self._entries(train_file)
        test = [] if test_file is None else self._entries(test_file)
        classes = self._classes(train_file.parent) or _numbers(train, test)
        if self.form == "frames":  # a folder is one video, whatever number of frames its rows give
            refuse_doubles(entry._replace(id=entry.path) for entry in (*train, *test))
        for entries in (train, test):
            refuse_outside(entries, len(classes), f"there are {len(classes)} classes")
        tested = f"{test_file.name} is tested" if test_file else "nothing is tested"
        return Lists(classes, train, test, f"by list: {train_file.name} trains, {tested}")

    def _file(self, folder: Path, name: str, key: str) -> Path:
        for candidate in (folder / name, Path(name)):
            if candidate.is_file():
                return candidate
        held = sorted(path.name for path in folder.iterdir() if path.is_file())
        places = f"neither in {folder} nor by its own path"
        raise ConfigError(f"data.{key}: there is no file {name}, {places}{nearest(name, held)}")

    def _classes(self, folder: Path) -> tuple[str, ...] | None:
        if self.label_map is not None:
            return read_class_names(self._file(folder, self.label_map, "label_map"))
        return class_file(folder, "classes.txt", "label_map.txt")

    def _entries(self, file: Path) -> list[Entry]:
        entries, base = [], os.path.abspath(str(self.root))
        for where, path, numbers in numbered_lines(file, NUMBERS[self.form], self.multi_label):
            counts, (label, *others) = numbers[: NUMBERS[self.form] - 1], numbers[NUMBERS[self.form] - 1 :]
            below = relative_path(path, where, base, self.outside_root)
            if counts and (min(counts) < 0 or counts[-1] == 0):
                raise UserError(f"{where}: {' '.join(map(str, counts))} are no frames of a folder")
            part = (counts[0] if len(counts) == 2 else 0, counts[-1]) if counts else None
            name = f"{below}#{part[0]}+{part[1]}" if part else below
            several = tuple(dict.fromkeys((label, *others))) if self.multi_label else ()
            entries.append(Entry(where, name, 0 if several else label, below, path=below, frames=part, labels=several))
        return entries


def _numbers(train: list[Entry], test: list[Entry]) -> tuple[str, ...]:
    labels = (label for entry in (*train, *test) for label in entry.carried)
    return tuple(map(str, range(1 + max(labels, default=-1))))
