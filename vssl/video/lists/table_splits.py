"""Which files hold which split of a Hugging Face data set on disk."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vssl.config.errors import UserError

# What the hub takes for the name of a split (huggingface/datasets, data_files.py: SPLIT_KEYWORDS).
SPLIT_WORDS = {
    "train": "train", "training": "train", "test": "test", "testing": "test", "eval": "test", "evaluation": "test",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
}  # fmt: skip
_NUMBERED = re.compile(r"(.+)-(\d{5,})-of-(\d{5,})")


def split_files(root: Path) -> dict[str, list[str]]:
    """{split: its files in order} of what lies on disk. Raises UserError where it is not whole or ambiguous."""
    if root.is_file():
        return {"train": [str(root)]}
    if (root / "dataset_dict.json").is_file():
        splits = _json(root / "dataset_dict.json").get("splits", [])
        return {str(split): _saved(root / str(split)) for split in splits}
    if (root / "state.json").is_file():
        return {str(_json(root / "state.json").get("_split") or "train"): _saved(root)}
    return _hub_files(root)


def _saved(folder: Path) -> list[str]:
    """The files of one split that `save_to_disk` wrote."""
    state = _json(folder / "state.json")
    if state.get("_indices_data_files"):
        raise UserError(
            f"{folder / 'state.json'}: the order of its rows is kept apart", "flatten_indices() and save it again"
        )
    files = [folder / str(one["filename"]) for one in state.get("_data_files", [])]
    if missing := next((file for file in files if not file.is_file()), None):
        raise UserError(f"{folder}: {missing.name} is missing, which its state.json names", "copy the folder again")
    return [str(file) for file in files]


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read: {error}", "copy or save the data set again") from error
    if not isinstance(content, dict):
        raise UserError(f"{file}: an object of JSON is expected")
    return content


def _hub_files(root: Path) -> dict[str, list[str]]:
    """Parquet files below `root` by the split that their names tell."""
    files = sorted(path for path in root.rglob("*.parquet") if path.is_file())
    found: dict[str, list[Path]] = {}
    for file in files:
        found.setdefault(_split_of(file.relative_to(root)), []).append(file)
    if "" in found and len(found) > 1:
        raise UserError(
            f"data.root: which split is {found[''][0]}?", "name it as on the hub: train-00000-of-00001.parquet"
        )
    for split, those in found.items():
        _refuse_incomplete(root, split, those)
    return {split or "train": [str(file) for file in those] for split, those in found.items()}


def _split_of(file: Path) -> str:
    if numbered := _NUMBERED.fullmatch(file.stem):
        return SPLIT_WORDS.get(numbered[1].lower(), numbered[1])
    words = [word for part in (*file.parts[:-1], file.stem) for word in re.split(r"[^a-z]+", part.lower())]
    return next((SPLIT_WORDS[word] for word in reversed(words) if word in SPLIT_WORDS), "")


def _refuse_incomplete(root: Path, split: str, files: Sequence[Path]) -> None:
    folders = list(dict.fromkeys(file.parent for file in files))
    if len(folders) > 1:
        one, other = (folder.relative_to(root) for folder in folders[:2])
        message = f"data.root: split '{split or 'train'}' lies in two folders of {root}: {one} and {other}"
        raise UserError(message, "set data.root to one of them")
    counts = {(found[1], int(found[3])) for file in files if (found := _NUMBERED.fullmatch(file.stem))}
    for name, count in counts:
        wanted = [f"{name}-{i:05d}-of-{count:05d}.parquet" for i in range(count)]
        if missing := next((one for one in wanted if not (folders[0] / one).is_file()), None):
            raise UserError(
                f"data.root: {folders[0] / missing} is missing: the split has {count} files", "copy it, too"
            )
