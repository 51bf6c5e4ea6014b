"""Several data sets in one training, each with labels of its own, its own reader, and its share of an epoch."""

import hashlib
import inspect
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vssl.config.errors import ConfigError, UserError, WorkError, nearest
from vssl.datamodule import SPLITS, Split, VideoDataModule
from vssl.records.hashes import hash_of
from vssl.video.decoding.decode import NAN, Reader, Video
from vssl.video.lists.samples import Samples
from vssl.video.mixture import Mixture

# What the mix decides for all of its sets, by the argument's name.
DECIDED_HERE = ("max_bad_fraction",)
Answer = TypeVar("Answer")


class Mix(VideoDataModule):
    """Data sets side by side: samples are called `<set>/<id>`, labels `<set>.<label>`.

    A video has the labels of its own set and no others. It is read by its set's reader, and flipped only where its set
    allows that. An unreadable one is replaced by another of its set.

    Args:
        sets: by name: letters, digits and _.
        weights: how often an epoch takes each video of a set; 1 for sets that are not named. Of 0.5, half of the videos
            in turn; of 2, each twice, with other draws.
        label: name(s) of the label that evaluation and supervised training read by default; the first one of each set
            if None.
        max_bad_fraction: share of the training videos of all sets together that may be unreadable.
    """

    def __init__(
        self,
        sets: dict[str, VideoDataModule],
        weights: dict[str, float] | None = None,
        label: str | list[str] | None = None,
        max_bad_fraction: float = 0.05,
    ) -> None:
        super().__init__(label=label, max_bad_fraction=max_bad_fraction)
        _refuse_names(sets)
        _refuse_weights(weights or {}, sets)
        _refuse_what_is_decided_here(sets)
        self.sets, self.weights = sets, weights
        self.flip_safe = all(one.flip_safe for one in sets.values())
        self.reverse_safe = all(one.reverse_safe for one in sets.values())
        decoders = sorted({one.decoder for one in sets.values()})
        self.decoder: Any = decoders[0] if len(decoders) == 1 else "+".join(decoders)
        self._read: dict[Split, Samples] = {}

    @property
    def parts(self) -> Mapping[str, VideoDataModule]:
        return self.sets

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        return {
            f"{name}.{label}": tuple(classes)
            for name in self.sets
            for label, classes in self._asked(name, lambda one: one.classes).items()
        }

    @property
    def split_rule(self) -> str:
        return "; ".join(f"{name}: {one.split_rule}" for name, one in self.sets.items())

    def labels(self) -> tuple[str, ...]:
        if self.label is not None:
            return super().labels()
        return tuple(f"{name}.{label}" for name in self.sets for label in self._asked(name, lambda one: one.labels()))

    def samples(self, split: Split) -> Samples:
        """The samples of all sets, one set after the other. Raises UserError where a set has none to train on."""
        if split not in self._read:
            self._read[split] = Samples.concatenate([self._samples_of(name, split) for name in self.sets])
        return self._read[split]

    def _samples_of(self, name: str, split: Split) -> Samples:
        samples = self._asked(name, lambda one: one.samples(split))
        if split == "train" and not len(samples) and not len(self.sets[name].samples("unlabelled")):
            raise UserError(f"data.sets.{name}: there is no training video", "leave the set out")
        return _renamed(samples, name)

    def _asked(self, name: str, question: Callable[[VideoDataModule], Answer]) -> Answer:
        """What a set says; the keys that its errors name (`data.root`) are its own."""
        try:
            return question(self.sets[name])
        except UserError as error:
            error.args = (f"data.sets.{name}: {error}",)
            raise

    @cached_property
    def reader(self) -> Reader:
        """The one reader of all sets, or one that finds that of a video's set."""
        kinds = {name: (one.decoder, one.limits, one.frames_fps) for name, one in self.sets.items()}
        if len(set(kinds.values())) == 1 and self.decoder != "prepared":
            return next(iter(self.sets.values())).reader
        place: dict[str, int] = {}
        names = list(self.sets)
        for number, name in enumerate(names):
            for path in self._paths(name):
                other = names[place.setdefault(path, number)]
                if kinds[other] != kinds[name]:
                    told = f"data.sets.{other} and data.sets.{name} both hold {path} and read it in different ways"
                    raise ConfigError(told, f"give both one decoder: data.sets.{name}.decoder={kinds[other][0]}")
        numbers = np.array([_number(path) for path in place], dtype=np.uint64)
        order = np.argsort(numbers)
        places = np.array(list(place.values()), dtype=np.int64)
        return MixReader(tuple(one.reader for one in self.sets.values()), numbers[order], places[order])

    def _paths(self, name: str) -> list[str]:
        """Every file of a set once."""
        return list(dict.fromkeys(path for split in SPLITS for path in self.sets[name].samples(split).path.tolist()))

    def content_hash(self) -> str:
        return hash_of({name: one.content_hash() for name, one in self.sets.items()})

    def owner(self, label: str) -> VideoDataModule:
        return self.sets[label.partition(".")[0]]

    def belonging(self, samples: Samples, label: str) -> Samples:
        return samples.take(self._set_of(samples) == list(self.sets).index(label.partition(".")[0]))

    def flips(self, samples: Samples) -> NDArray[np.bool_]:
        safe = np.array([one.flip_safe for one in self.sets.values()], dtype=np.bool_)
        return safe[self._set_of(samples)]

    def mixture(self, samples: Samples) -> Mixture:
        given = self.weights or {}
        return Mixture(self._set_of(samples), tuple(self.sets), tuple(given.get(name, 1.0) for name in self.sets))

    def _set_of(self, samples: Samples) -> NDArray[np.int64]:
        """(N,) place of the set of each sample."""
        place = {name: place for place, name in enumerate(self.sets)}
        return np.array([place[name.partition("/")[0]] for name in samples.id.tolist()], dtype=np.int64)


@dataclass(frozen=True, eq=False)
class MixReader:
    """Opens each video by the reader of its set.

    Args:
        numbers: (F,) of all paths, ascending: small where a million of texts would go to every worker.
        places: (F,) which reader is that of each path.
    """

    readers: tuple[Reader, ...]
    numbers: NDArray[np.uint64]
    places: NDArray[np.int64]

    def open(self, path: str, start_s: float = NAN, end_s: float = NAN) -> AbstractContextManager[Video]:
        number = _number(path)
        found = int(np.searchsorted(self.numbers, number))
        if found == len(self.numbers) or self.numbers[found] != number:
            raise WorkError(f"{path} is in none of the sets of the mix")
        return self.readers[self.places[found]].open(path, start_s, end_s)


def _number(path: str) -> np.uint64:
    """64 bits that tell it from other paths; the same in every process."""
    name = path.encode("utf-8", "surrogateescape")
    return np.uint64(int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little"))


def _renamed(samples: Samples, name: str) -> Samples:
    return replace(
        samples,
        id=np.array([f"{name}/{one}" for one in samples.id.tolist()], dtype=np.str_),
        labels={f"{name}.{label}": values for label, values in samples.labels.items()},
        multi={f"{name}.{label}": values for label, values in samples.multi.items()},
        group=np.array([f"{name}/{group}" for group in samples.group.tolist()], dtype=np.str_),
    )


def _refuse_names(sets: Mapping[str, VideoDataModule]) -> None:
    if not sets:
        raise ConfigError("data.sets: there is no set", "data.sets.NAME=... adds one, any choice of data=")
    for name, one in sets.items():
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            raise ConfigError(f"data.sets: a set is named {name!r}, allowed are letters, digits and _")
        if one.parts:
            raise ConfigError(f"data.sets.{name}: a mix in a mix", "name its sets here")


def _refuse_weights(weights: Mapping[str, float], sets: Mapping[str, VideoDataModule]) -> None:
    for name, weight in weights.items():
        if name not in sets:
            raise ConfigError(
                f"data.weights.{name}: there is no such set{nearest(name, sets)}; there are {', '.join(sets)}"
            )
        if not 0 < weight < float("inf"):
            hint = f"without it: ~data.sets.{name}" if weight == 0 else None
            raise ConfigError(f"data.weights.{name}={weight:g} must be above 0", hint)


def _refuse_what_is_decided_here(sets: Mapping[str, VideoDataModule]) -> None:
    """Raises ConfigError for an argument of a set that nobody would ask for."""
    for key in DECIDED_HERE:
        default = inspect.signature(VideoDataModule).parameters[key].default
        for name, one in sets.items():
            if getattr(one, key) != default:
                raise ConfigError(f"data.sets.{name}.{key}: all sets are counted together", f"give data.{key}=...")
