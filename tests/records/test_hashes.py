"""What enters a hash and what does not."""

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from vssl.records.hashes import PARTS, file_hash, hash_of, part_hashes, trial_hash

BOUND: dict[str, Any] = {
    "seed": 0,
    "clip": {"frames": 8},
    "data": {"_target_": "a.B", "root": "/here", "manifest": "m.csv", "label": "motion", "decoder": "pyav"},
    "views": {"clip": {"size": 32}},
    "backbone": {"depth": 4},
    "method": {"mask": "tube"},
    "train": {"batch_size": 64},
    "optim": {"base_lr": 0.1},
    "budget": {"steps": 5},
    "trainer": {},
    "eval": {"knn": {"k": 20}},
    "run": {"out": "runs"},
    "logger": {},
}


def changed(path: str, value: object) -> dict[str, Any]:
    bound = copy.deepcopy(BOUND)
    *parents, leaf = path.split(".")
    node = bound
    for name in parents:
        node = node[name]
    node[leaf] = value
    return bound


@pytest.mark.parametrize(
    ("path", "value", "parts"),
    [
        ("data.decoder", "prepared", {"data"}),
        ("data.root", "/there", set()),
        ("data.label", "shape", set()),
        ("data.prepared_gb", 1.0, set()),
        ("views.clip.size", 64, {"views"}),
        ("backbone.depth", 5, {"backbone"}),
        ("clip.frames", 16, {"backbone"}),
        ("method.mask", "random", {"method"}),
        ("optim.base_lr", 0.2, {"train"}),
        ("budget.steps", 6, {"train"}),
        ("train.batch_size", 32, {"train"}),
        ("eval.knn.k", 5, {"eval"}),
        ("run.out", "elsewhere", set()),
        ("seed", 1, set()),
    ],
)
def test_a_change_shows_in_its_part_alone(path: str, value: object, parts: set[str]) -> None:
    before, after = part_hashes(BOUND, "content"), part_hashes(changed(path, value), "content")
    assert {part for part in PARTS if before[part] != after[part]} == parts


def test_the_content_of_the_data_enters_its_hash() -> None:
    before, after = part_hashes(BOUND, "content"), part_hashes(BOUND, "other")
    assert {part for part in PARTS if before[part] != after[part]} == {"data"}


def test_a_run_is_another_with_another_seed_but_not_with_another_evaluation() -> None:
    same = trial_hash(BOUND, "content")
    assert trial_hash(changed("seed", 1), "content") != same
    assert trial_hash(changed("eval.knn.k", 5), "content") == same
    assert trial_hash(changed("run.out", "elsewhere"), "content") == same


def test_equal_data_has_one_hash_whatever_its_form() -> None:
    assert hash_of({"a": 1, "b": (1, 2)}) == hash_of({"b": [1, 2], "a": 1})
    assert hash_of(1) != hash_of(1.0) and hash_of(True) != hash_of(1) and hash_of(None) != hash_of("None")
    assert (
        hash_of({"a": [1, 2.5, "x"]})
        == hashlib.sha256(json.dumps({"a": [1, 2.5, "x"]}, separators=(",", ":")).encode()).hexdigest()
    )


def test_paths_are_refused_with_their_place() -> None:
    with pytest.raises(TypeError, match=r"value\.data\.root: a path does not belong"):
        hash_of({"data": {"root": Path("/here")}})


def test_the_hash_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert file_hash(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()
