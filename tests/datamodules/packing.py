"""Packs files into tar shards and tables, as the tests of these data sets need them."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vssl.datamodule import VideoDataModule
from vssl.video.clips import ClipDataset, Item
from vssl.video.decoding.decode import Reader
from vssl.video.lists.samples import Samples
from vssl.video.views import View, Views


def pack(shard: Path, members: Mapping[str, bytes | str | Path], form: int = tarfile.PAX_FORMAT) -> Path:
    """A tar of these members in their order; a Path is read, a text is written."""
    shard.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(shard, "w", format=form, errors="surrogateescape") as tar:
        for name, content in members.items():
            data = content.read_bytes() if isinstance(content, Path) else content
            add(tar, name, data.encode() if isinstance(data, str) else data)
    return shard


def add(tar: tarfile.TarFile, name: str, content: bytes, **header: Any) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for key, value in header.items():
        setattr(member, key, value)
    tar.addfile(member, io.BytesIO(content))


def clips(data: VideoDataModule, samples: Samples) -> list[Item]:
    """A clip of every sample by the key of its place, under ids that are the same for every data set."""
    named = Samples(**{**vars(samples), "id": np.array([f"{i}" for i in range(len(samples))])})
    views = Views(clip=View(frames=4, stride=2, size=16))
    read = ClipDataset(named, views, data.reader)
    return [read[i, 1000 + i] for i in range(len(named))]


def same(one: Item, other: Item) -> bool:
    pixels = bool((one["views"]["clip"] == other["views"]["clip"]).all())
    times = one["time"]["clip"].tolist() == other["time"]["clip"].tolist()
    digests = one["digest"]["clip"].tobytes() == other["digest"]["clip"].tobytes()
    return pixels and times and digests and one["label"] == other["label"]


def first_frame(reader: Reader, address: str) -> int:
    with reader.open(address) as video:
        return int(video.frames(np.zeros(1, dtype=np.int64)).mean())
