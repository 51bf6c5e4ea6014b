"""`data.decoder=torchcodec`: the pixels of our frames from torchcodec, which decodes with the system's FFmpeg.

It is given our index and does not read the file's packets a second time. Source: its documentation of
`custom_frame_mappings`, 0.13.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module

import numpy as np
from numpy.typing import NDArray

from vssl.video.decoding import addresses
from vssl.video.decoding.decode import Limits, PyAVReader, Video
from vssl.video.decoding.foreign import ForeignVideo, Pixels, refuse_unidentified, segment
from vssl.video.decoding.frame_index import FrameIndex, IndexedFile

NAN = float("nan")
LIBRARY = "torchcodec"


@dataclass(frozen=True)
class TorchcodecReader:
    """Reads through torchcodec, with one decoder thread and within `limits`."""

    limits: Limits = field(default_factory=Limits)

    @contextmanager
    def open(self, path: str, start_s: float = NAN, end_s: float = NAN) -> Iterator[Video]:
        file = PyAVReader(self.limits).index(path)
        refuse_unidentified(path, file, LIBRARY)
        inside = segment(path, file, start_s, end_s)
        yield ForeignVideo(path, file, inside, self.limits, LIBRARY, lambda: _opened(path, file))


def _opened(path: str, file: IndexedFile) -> Pixels:
    decoder = import_module("torchcodec.decoders").VideoDecoder(
        addresses.for_ffmpeg(path),
        stream_index=file.stream,
        dimension_order="NHWC",
        num_ffmpeg_threads=1,
        custom_frame_mappings=mapping(file.index),
    )

    def pixels(places: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        batch = decoder.get_frames_at(places.tolist())
        return batch.data.numpy(), batch.pts_seconds.numpy()

    return pixels


def mapping(index: FrameIndex) -> str:
    """Our index in the form that torchcodec reads; a frame lasts until the next, the last one a tick."""
    lasts = np.append(np.diff(index.key), 1)
    keyframe = index.packet == index.anchor
    rows = zip(index.key.tolist(), lasts.tolist(), keyframe.tolist(), strict=True)
    return json.dumps({"frames": [{"pts": p, "duration": d, "key_frame": int(k)} for p, d, k in rows]})
