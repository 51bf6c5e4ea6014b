"""HMDB51: 6,766 clips of films and web videos, 51 actions, three published splits of 70 and 30 clips a class.

Source: serre-lab.clps.brown.edu, `test_train_splits.rar`: one file a class and split, `wave_test_split1.txt`, with
`clip.avi 1` to train, 2 to test, 0 for what the split does not use. Those are left out: they come from the same films.
"""

import re
from pathlib import Path
from typing import Literal

from vssl.config.errors import UserError
from vssl.listed import Lists, OfficialVideos
from vssl.video.lists.entries import Entry, class_file, find_file, lines, read_text
from vssl.video.lists.locate import stem

CLASS_FILES = ("classes.txt", "label_map_hmdb51.txt", "label_map.txt")
_FILE = re.compile(r"([^.].*)_test_split([123])\.txt")
_SOURCE = r"(.+)_{}_[a-z]_[a-z]+_np\d+_[a-z]+_[a-z]+_\d+"  # film, class, body, camera, people, view, quality, number
_USE = {"1": "train", "2": "test", "0": ""}


class HMDB51(OfficialVideos):
    """HMDB51 by one of its three splits.

    Args:
        split: which of the published splits.
    """

    unpacked = ("testTrainMulti_7030_splits",)

    def __init__(self, root: str, split: Literal[1, 2, 3] = 1, **shared) -> None:
        super().__init__(root=root, **shared)
        self.split = split

    def lists(self, folder: Path) -> Lists:
        found = [match for path in folder.iterdir() if (match := _FILE.fullmatch(path.name))]
        names = sorted({match[1] for match in found})
        given = class_file(folder, *CLASS_FILES)
        if given is not None and (odd := sorted(set(given) ^ set(names))):
            where = "in the class list and has no split lists" if odd[0] in given else "not in the class list"
            raise UserError(f"data.annotations: {folder}: class '{odd[0]}' is {where}")
        classes = given or tuple(names)
        if not classes:
            find_file(folder, f"brush_hair_test_split{self.split}.txt")  # says what is there instead
        parts: dict[str, list[Entry]] = {"train": [], "test": [], "": []}
        for label, name in enumerate(classes):
            for use, entry in _rows(find_file(folder, f"{name}_test_split{self.split}.txt"), name, label):
                parts[use].append(entry)
        return Lists(classes, parts["train"], parts["test"], f"official split {self.split} of 3")


def _rows(file: Path, name: str, label: int) -> list[tuple[str, Entry]]:
    rows, source = [], re.compile(_SOURCE.format(re.escape(name)))
    for where, line in lines(file, read_text(file, ("utf-8-sig", "latin-1"))):
        video, code = line.rsplit(None, 1) if " " in line else (line, "")
        if code not in _USE or "/" in video:
            raise UserError(f"{where}: expected is 'clip.avi 1', with 1 to train, 2 to test, 0 for neither: '{line}'")
        video = stem(video)
        film = source.fullmatch(video)
        rows.append((_USE[code], Entry(where, video, label, film[1] if film else video, (video,))))
    return rows
