"""Which shards a pattern names: `train-{000..099}.tar`, `{a,b}.tar`, `val-*.tar`, `https://host/train-{0..9}.tar`."""

import glob
import os
import re
from collections.abc import Iterator, Sequence

from vssl.config.errors import ConfigError
from vssl.video.decoding.remote import is_remote

BETWEEN = "::"  # patterns in one text, as in WebDataset
MOST_SHARDS = 1_000_000
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_WILD = re.compile(r"[*?[]")
_WILD_URL = re.compile(r"[*[]")  # a question mark begins a query there


def shards(patterns: str | Sequence[str], root: str | None, key: str) -> list[str]:
    """Absolute paths and URLs of the shards that the patterns name, each once, in the order of patterns and numbers.

    Args:
        patterns: one or several, also joined by `::`; relative ones start at `root`.
        key: what they are called in messages.
    Raises:
        ConfigError: a pattern is malformed, or names nothing, or a shard that is missing, or one for the second time.
    """
    texts = [text for one in ([patterns] if isinstance(patterns, str) else patterns) for text in one.split(BETWEEN)]
    found = [(text, shard) for text in texts for shard in _named(text.strip(), root, key)]
    first: dict[str, str] = {}
    for text, shard in found:
        if shard in first:
            raise ConfigError(f"{key}: {shard} is named twice, by {first[shard]} and by {text}")
        first[shard] = text
    return list(first)


def _named(text: str, root: str | None, key: str) -> list[str]:
    if not text:
        raise ConfigError(f"{key}: a pattern is empty", "such as train-{000..099}.tar, or val-*.tar")
    base = os.path.abspath(root or ".")
    if not is_remote(text) and os.path.isfile(literal := os.path.join(base, text)):
        return [literal]
    names = []
    for name in _without_braces(text, key):
        names.append(name)
        if len(names) > MOST_SHARDS:
            raise ConfigError(f"{key}: {text} names more than {MOST_SHARDS} shards")
    return [shard for name in names for shard in _there(name, text, base, key)]


def _without_braces(text: str, key: str) -> Iterator[str]:
    """Every text that the braces stand for; a range keeps the width of its first number."""
    braces = _BRACES.search(text)
    if braces is None:
        if "{" in text or "}" in text:
            raise ConfigError(f"{key}: {text}: a brace is not closed, or not opened")
        yield text
        return
    for one in _alternatives(braces[1], text, key):
        yield from _without_braces(text[: braces.start()] + one + text[braces.end() :], key)


def _alternatives(inside: str, text: str, key: str) -> Iterator[str]:
    if numbers := _RANGE.fullmatch(inside):
        first, last = int(numbers[1]), int(numbers[2])
        if first > last:
            raise ConfigError(f"{key}: {text}: {{{inside}}} counts down")
        width = len(numbers[1])
        yield from (f"{i:0{width}d}" for i in range(first, last + 1))
    elif "," in inside:
        yield from inside.split(",")
    else:
        raise ConfigError(f"{key}: {text}: in braces stands a range, {{000..099}}, or a choice, {{a,b}}")


def _there(name: str, text: str, base: str, key: str) -> list[str]:
    if is_remote(name):
        if _WILD_URL.search(name):
            raise ConfigError(f"{key}: {text}: shards on a server are named with braces, not with *")
        return [name]
    path = os.path.join(base, name)
    if os.path.isfile(path):
        return [path]
    if _WILD.search(name):
        found = sorted(one for one in glob.glob(name, root_dir=base) if os.path.isfile(os.path.join(base, one)))
        if found:
            return [os.path.join(base, one) for one in found]
        raise ConfigError(f"{key}: {name} fits no file below {base}")
    of = "" if name == text else f", which {text} names"
    hint = "relative patterns start at data.root; name only shards that are there, or use * for those that are"
    raise ConfigError(f"{key}: there is no shard {path}{of}", hint)
