"""Diving48, lists V2 (corrected labels): 16,997 dives of 48 sequences, cut from recordings of competitions.

Source: svcl.ucsd.edu/projects/resound/dataset.html: a JSON array a split with `vid_name` and `label`, and the
vocabulary, one array of four moves a class. `start_frame` and `end_frame` span the whole file (0 to its length in the
2,270 rows at hand) and are not used.
"""

from pathlib import Path

from vssl.config.errors import UserError
from vssl.listed import Lists, OfficialVideos
from vssl.video.lists.entries import Entry, find_file, json_field, json_rows, read_json, refuse_outside


class Diving48(OfficialVideos):
    """Diving48 V2 by its published split."""

    def lists(self, folder: Path) -> Lists:
        vocabulary = find_file(folder, "Diving48_vocab.json")
        moves = read_json(vocabulary, list)
        if not moves or not all(isinstance(one, list) and all(isinstance(move, str) for move in one) for one in moves):
            raise UserError(f"{vocabulary}: expected is an array that holds an array of moves for each class")
        classes = tuple("+".join(one) for one in moves)
        train, test = (_entries(find_file(folder, f"Diving48_V2_{part}.json")) for part in ("train", "test"))
        for entries in (train, test):
            refuse_outside(entries, len(classes), f"{vocabulary.name} has {len(classes)} classes")
        return Lists(classes, train, test, "official split of V2")


def _entries(file: Path) -> list[Entry]:
    entries = []
    for where, row in json_rows(file):
        video = json_field(row, "vid_name", str, where)
        recording, _, number = video.rpartition("_")
        group = recording if recording and number.isdigit() else video
        entries.append(Entry(where, video, json_field(row, "label", int, where), group, (video,)))
    return entries
