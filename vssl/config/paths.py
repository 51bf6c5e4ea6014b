"""Values that are paths are taken verbatim: they never meet the override grammar."""

from collections.abc import Iterable

from vssl.config.sets import as_alone

PATH_KEYS = (
    "run.out", "data.root", "data.manifest", "data.annotations", "data.train_list", "data.test_list", "data.label_map",
    "data.train_shards", "data.test_shards", "data.unlabelled_shards",
    "backbone.weights", "encoder", "out",
)  # fmt: skip


def is_path(key: str) -> bool:
    """Whether its value is a path; so is that of `data.sets.NAME.root`."""
    return as_alone(key) in PATH_KEYS


def take_paths(words: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Divides arguments into those for the override grammar, in order, and `{path key: text}`; the last of a key wins.

    `data.root=视频 (a=b), c` gives `{"data.root": "视频 (a=b), c"}`.
    """
    rest: list[str] = []
    paths: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if equals and is_path(key):
            paths[key] = value
        else:
            rest.append(word)
    return rest, paths
