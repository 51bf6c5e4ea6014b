"""Published lists in the forms that several data sets share: lines of text, `path label` lines, JSON arrays."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from vssl.config.errors import ConfigError, UserError, nearest
from vssl.video.lists.classes import read_class_names

FORMS = {1: "path label", 2: "folder frames label", 3: "folder offset frames label"}
_NUMBER = re.compile(r"-?\d{1,9}", re.ASCII)
_FIRST, _NEXT = re.compile(r"\s*\[\s*(\])?"), re.compile(r"\s*([],])\s*")
Json = TypeVar("Json")


class Entry(NamedTuple):
    """One video as a list gives it.

    where: "trainlist01.txt, line 7", for messages.
    id: what it is called in records; the same wherever the file lies.
    group: videos that belong together.
    names: what its file may be called, suffix apart, the likeliest first; or
    path: where it lies, below the root.
    frames: the first frame and their number where the video is part of a folder of frames.
    labels: all classes, where a video may carry several; `label` is then 0.
    """

    where: str
    id: str
    label: int
    group: str
    names: tuple[str, ...] = ()
    path: str = ""
    frames: tuple[int, int] | None = None
    labels: tuple[int, ...] = ()

    @property
    def carried(self) -> tuple[int, ...]:
        """Every class index of it."""
        return self.labels or (self.label,)


class Numbered(NamedTuple):
    """A line that ends in whole numbers."""

    where: str
    path: str
    numbers: tuple[int, ...]


def find_file(folder: Path, *names: str) -> Path:
    """The first of `names` that the folder holds. Raises ConfigError where it holds none."""
    for name in names:
        if (folder / name).is_file():
            return folder / name
    held = [path.name for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
    message = f"data.annotations: {folder} has no file {' or '.join(names)}{nearest(names[0], held)}"
    raise ConfigError(message, "data.annotations=... names the folder of the published lists")


def class_file(folder: Path, *names: str) -> tuple[str, ...] | None:
    """The class names in the first of `names` that there is, else None."""
    file = next((folder / name for name in names if (folder / name).is_file()), None)
    return None if file is None else read_class_names(file)


def read_text(file: Path, encodings: Sequence[str] = ("utf-8-sig",)) -> str:
    """The text of a list in the first encoding that fits it."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(f"the list {file} cannot be read: {error.strerror}") from error
    problem: UnicodeDecodeError | None = None
    for encoding in encodings:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError as error:
            problem = problem or error
    assert problem is not None, "there is at least one encoding"
    line = content.count(b"\n", 0, problem.start) + 1
    raise UserError(f"{file}, line {line}: byte 0x{content[problem.start]:02x} is not UTF-8", "save it as UTF-8")


def lines(file: Path, text: str) -> Iterator[tuple[str, str]]:
    """("FILE, line 7", what stands there) of every line that is not empty."""
    where = f"{file}, line "
    for number, line in enumerate(text.split("\n"), 1):
        if stripped := line.strip():
            yield f"{where}{number}", stripped


def numbered_lines(file: Path, count: int, more: bool = False) -> list[Numbered]:
    """The lines of a list in the form `path label`, or with `count` numbers behind the path.

    Blanks divide them, or commas where the first line has them. Raises UserError naming the line in another form.

    Args:
        more: any further numbers behind them belong to the line.
    """
    found: list[Numbered] = []
    comma = None
    for where, line in lines(file, read_text(file)):
        if comma is None:
            comma = "," in line and _NUMBER.fullmatch(line.rpartition(",")[2].strip()) is not None
        if more and (several := _all_numbers(line, bool(comma), count)):
            found.append(Numbered(where, *several))
            continue
        path, *numbers = (part.strip() for part in (line.rsplit(",", count) if comma else line.rsplit(None, count)))
        if len(numbers) != count or not all(map(_NUMBER.fullmatch, numbers)) or not path:
            raise UserError(f"{where}: '{line}' is not in the form '{FORMS[count]}'", _form_hint(count))
        ending = path.rsplit("," if comma else None, 1)
        if len(ending) == 2 and _NUMBER.fullmatch(ending[1].strip()):
            message = f"{where}: '{line}' has more numbers behind the path than '{FORMS[count]}'"
            hint = "data.multi_label=true reads several labels for one video"
            raise UserError(message, f"{hint}; {_form_hint(count)}")
        found.append(Numbered(where, path, tuple(map(int, numbers))))
    if not found:
        raise UserError(f"{file}: the list is empty")
    return found


def _all_numbers(line: str, comma: bool, count: int) -> tuple[str, tuple[int, ...]] | None:
    """The path and all numbers behind it; None where there are fewer than `count`, or no path."""
    words = [part.strip() for part in (line.split(",") if comma else line.split())]
    behind = next((place for place, word in enumerate(reversed(words)) if not _NUMBER.fullmatch(word)), len(words))
    path = line.rsplit("," if comma else None, behind)[0].strip() if behind < len(words) else ""
    return (path, tuple(map(int, words[-behind:]))) if path and behind >= count else None


def _form_hint(count: int) -> str:
    others = " and ".join(f"'{form}'" for n, form in FORMS.items() if n != count)
    return f"all lines of a list have one form; data=mmaction2 with data.form=... reads {others}"


def json_rows(file: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """("FILE, line 7", what stands there) of each object of a JSON array."""
    text, decoder = read_text(file), json.JSONDecoder()
    opened = _FIRST.match(text)
    if opened is None:
        raise UserError(f"{file}, line 1: this is no JSON array of objects")
    at, line, seen, is_over = opened.end(), 1, 0, opened[1] is not None
    while not is_over:
        line, seen = line + text.count("\n", seen, at), at
        where = f"{file}, line {line}"
        try:
            row, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            raise UserError(f"{file}, line {error.lineno}: this is no JSON: {error.msg}") from error
        if not isinstance(row, dict):
            raise UserError(f"{where}: an object is expected, found {json.dumps(row)[:40]}")
        yield where, row
        follows = _NEXT.match(text, at)
        if follows is None:
            raise UserError(f"{file}, line {text.count(chr(10), 0, at) + 1}: this is no JSON: ',' or ']' is missing")
        at, is_over = follows.end(), follows[1] == "]"


def read_json(file: Path, kind: type[Json]) -> Json:
    """A whole JSON file, which has to be an array (list) or an object (dict)."""
    try:
        value = json.loads(read_text(file))
    except json.JSONDecodeError as error:
        raise UserError(f"{file}, line {error.lineno}: this is no JSON: {error.msg}") from error
    if not isinstance(value, kind):
        raise UserError(f"{file}: {'an array' if kind is list else 'an object'} of JSON is expected")
    return value


def json_field(row: Mapping[str, Any], key: str, kind: type[Json], where: str) -> Json:
    """The value of `key`, which has to be there and of that kind."""
    value = row.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        has = f"it is {json.dumps(value)[:40]}" if key in row else f"it has {', '.join(row) or 'nothing'}"
        raise UserError(f"{where}: '{key}' has to be {'text' if kind is str else 'a whole number'}; {has}")
    return value


def refuse_unknown(found: Iterable[tuple[str, str]], classes: Sequence[str], listed_in: object) -> None:
    """Raises UserError for the first class name that is none of `classes`.

    Args:
        found: (where, class name).
        listed_in: what gives the classes.
    """
    known = set(classes)
    unknown = [(where, name) for where, name in found if name not in known]
    if unknown:
        where, name = unknown[0]
        message = (
            f"{where}: class '{name}' is none of the {len(classes)} classes of {listed_in}{nearest(name, classes)}"
        )
        raise UserError(message, f"rows with such a class: {len(unknown)}")


def refuse_outside(entries: Sequence[Entry], count: int, hint: str) -> None:
    """Raises UserError for the first label that is not in 0..count-1."""
    outside = [entry for entry in entries if not all(0 <= label < count for label in entry.carried)]
    if outside:
        first = outside[0]
        wrong = next(label for label in first.carried if not 0 <= label < count)
        message = f"{first.where}: label {wrong} is outside 0..{count - 1}"
        raise UserError(message, f"{len(outside)} of {len(entries)} rows have such a label; {hint}")


def refuse_doubles(entries: Iterable[Entry]) -> None:
    """Raises UserError where a video stands in the lists twice."""
    first: dict[str, Entry] = {}
    for entry in entries:
        if (before := first.setdefault(entry.id, entry)) is not entry:
            message = f"{entry.where}: '{entry.id}' is already in {before.where}"
            raise UserError(message, "delete one of the two rows: a video that is listed twice counts twice, or leaks")
