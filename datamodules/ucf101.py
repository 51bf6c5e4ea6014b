"""UCF101: 13,320 videos of 101 actions, in three published splits by group (one setting and actor).

Source: crcv.ucf.edu/data/UCF101.php, `UCF101TrainTestSplits-RecognitionTask.zip`: classInd.txt counts classes from 1;
trainlist0k.txt holds `Class/v_Class_g08_c01.avi 1`, testlist0k.txt the same without the number.
"""

import re
from pathlib import Path
from typing import Literal

from vssl.config.errors import UserError
from vssl.listed import Lists, OfficialVideos
from vssl.video.lists.entries import Entry, find_file, lines, read_text, refuse_unknown
from vssl.video.lists.locate import stem

_GROUP = re.compile(r"(.*_g\d+)_c\d+")


class UCF101(OfficialVideos):
    """UCF101 by one of its three splits.

    Args:
        split: which of the published splits.
    """

    unpacked = ("ucfTrainTestlist",)

    def __init__(self, root: str, split: Literal[1, 2, 3] = 1, **shared) -> None:
        super().__init__(root=root, **shared)
        self.split = split

    def lists(self, folder: Path) -> Lists:
        index = _class_index(find_file(folder, "classInd.txt"))
        train, test = (
            _entries(find_file(folder, f"{part}list0{self.split}.txt"), index, folder) for part in ("train", "test")
        )
        return Lists(tuple(index), train, test, f"official split {self.split} of 3")


def _class_index(file: Path) -> dict[str, int]:
    """{class: its number, from 1}."""
    index: dict[str, int] = {}
    for where, line in lines(file, read_text(file)):
        number, _, name = line.partition(" ")
        if number != str(len(index) + 1) or not name.strip() or name.strip() in index:
            raise UserError(f"{where}: expected is '{len(index) + 1} Class' with a class of its own, found '{line}'")
        index[name.strip()] = len(index) + 1
    return index


def _entries(file: Path, index: dict[str, int], folder: Path) -> list[Entry]:
    rows = []
    for where, line in lines(file, read_text(file)):
        path, _, number = line.partition(" ")
        name, slash, video = path.partition("/")
        if not slash or "/" in video:
            raise UserError(f"{where}: expected is 'Class/video.avi', found '{line}'")
        rows.append((where, name, stem(video), number.strip()))
    refuse_unknown(((where, name) for where, name, _, _ in rows), tuple(index), folder / "classInd.txt")
    for where, name, _, number in rows:
        if number and number != str(index[name]):
            raise UserError(f"{where}: class {number} is given for {name}, which is {index[name]} in classInd.txt")
    return [Entry(where, video, index[name] - 1, _group(video), (video,)) for where, name, video, _ in rows]


def _group(video: str) -> str:
    found = _GROUP.fullmatch(video)
    return found[1] if found else video
