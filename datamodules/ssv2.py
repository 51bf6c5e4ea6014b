"""Something-Something V2: 220,847 clips of people who do something with something, 174 classes.

Source: developer.qualcomm.com, the archive of labels: a JSON array a split with `id` and `template`, whose brackets are
taken away (`Spinning [something]`), and an object of class to index. The published test list has no labels, so the
validation videos are tested, as in all publications.
"""

from pathlib import Path

from vssl.config.errors import UserError
from vssl.listed import Lists, OfficialVideos
from vssl.video.lists.entries import Entry, find_file, json_field, json_rows, read_json, refuse_unknown

PREFIX = "something-something-v2-"
_BRACKETS = str.maketrans("", "", "[]")


class SomethingV2(OfficialVideos):
    """Something-Something V2; the validation videos are tested."""

    unpacked = ("labels",)

    def lists(self, folder: Path) -> Lists:
        labels = _file(folder, "labels")
        classes = _classes(labels)
        train, test = (_entries(_file(folder, part), classes, labels) for part in ("train", "validation"))
        return Lists(classes, train, test, "official; the validation videos are tested")


def _file(folder: Path, name: str) -> Path:
    return find_file(folder, f"{PREFIX}{name}.json", f"{name}.json")


def _classes(file: Path) -> tuple[str, ...]:
    index = read_json(file, dict)
    by_number = {str(number): name for name, number in index.items()}
    missing = next((i for i in range(len(index)) if str(i) not in by_number), None)
    if missing is not None or not index:
        raise UserError(
            f"{file}: expected is an object of class to index, '0' to '{len(index) - 1}'; {missing} is none"
        )
    return tuple(by_number[str(i)] for i in range(len(index)))


def _entries(file: Path, classes: tuple[str, ...], labels: Path) -> list[Entry]:
    rows = [
        (where, json_field(row, "id", str, where), json_field(row, "template", str, where).translate(_BRACKETS))
        for where, row in json_rows(file)
    ]
    refuse_unknown(((where, name) for where, _, name in rows), classes, labels)
    label = {name: i for i, name in enumerate(classes)}
    return [Entry(where, video, label[name], video, (video,)) for where, video, name in rows]
