"""Other libraries' ways of reading frames and of augmenting clips, as `benchmarks/data.py` measures them.

A reader of frames takes a path and ascending frame indices and gives uint8 RGB [n, H, W, 3]; opened per sample, or kept
open between calls. What is not installed, or does not load, is left out, and the reason is told.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Read = Callable[[NDArray[np.int64]], Any]


class Opener(Protocol):
    def __call__(self, path: str) -> Read: ...


def torchcodec(seek_mode: str) -> Opener:
    decoders = import_module("torchcodec.decoders")

    def opened(path: str) -> Read:
        decoder = decoders.VideoDecoder(path, seek_mode=seek_mode, num_ffmpeg_threads=1, dimension_order="NHWC")
        return lambda indices: decoder.get_frames_at(indices.tolist()).data.numpy()

    return opened


def decord() -> Opener:
    library = import_module("decord")

    def opened(path: str) -> Read:
        reader = library.VideoReader(path, num_threads=1)
        return lambda indices: reader.get_batch(indices.tolist()).asnumpy()

    return opened


def opencv() -> Opener:
    library = import_module("cv2")
    library.setNumThreads(1)

    def opened(path: str) -> Read:
        capture = library.VideoCapture(path, library.CAP_FFMPEG, [library.CAP_PROP_N_THREADS, 1])

        def read(indices: NDArray[np.int64]) -> NDArray[np.uint8]:
            capture.set(library.CAP_PROP_POS_FRAMES, int(indices[0]))
            wanted, frames = set(indices.tolist()), []
            for index in range(int(indices[0]), int(indices[-1]) + 1):
                capture.grab()
                if index in wanted:
                    frames.append(library.cvtColor(capture.retrieve()[1], library.COLOR_BGR2RGB))
            return np.stack(frames)

        return read

    return opened


def pytorchvideo() -> Opener:
    """Its own decoder gives all frames of a span of time, from which the wanted ones are taken."""
    library = import_module("pytorchvideo.data.encoded_video")

    def opened(path: str) -> Read:
        video = library.EncodedVideo.from_path(path, decode_audio=False, decoder="pyav")
        rate = float(video._container.streams.video[0].average_rate)

        def read(indices: NDArray[np.int64]) -> NDArray[np.uint8]:
            clip = video.get_clip(float(indices[0] / rate), float((indices[-1] + 1.5) / rate))["video"]
            frames: NDArray[np.uint8] = clip.permute(1, 2, 3, 0)[indices - indices[0]].numpy().astype(np.uint8)
            return frames

        return read

    return opened


READERS: dict[str, Callable[[], Opener]] = {
    "torchcodec, exact seek": lambda: torchcodec("exact"),
    "torchcodec, approximate seek": lambda: torchcodec("approximate"),
    "decord": decord,
    "opencv": opencv,
    "pytorchvideo": pytorchvideo,
}


def torchvision_v2(size: int, crop: bool) -> Callable[[Tensor], Tensor]:
    """uint8 [B, T, C, H, W] -> float [B, T, C, S, S]; one draw a clip, clip by clip, as a worker would."""
    v2 = import_module("torchvision.transforms.v2")
    taps = max(3, size // 10 | 1)
    transform = v2.Compose(
        [
            *([v2.RandomResizedCrop(size, scale=(0.2, 1.0), antialias=True)] if crop else []),
            v2.RandomHorizontalFlip(0.5),
            v2.ToDtype(torch.float32, scale=True),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
            v2.RandomGrayscale(0.2),
            v2.RandomApply([v2.GaussianBlur(taps, (0.1, 2.0))], p=0.5),
        ]
    )
    return lambda clips: torch.stack([transform(clip) for clip in clips])


def kornia(size: int, crop: bool) -> Callable[[Tensor], Tensor]:
    """uint8 [B, T, C, H, W] -> float [B, T, C, S, S]; one draw a clip, the batch at once."""
    library = import_module("kornia.augmentation")
    taps = max(3, size // 10 | 1)
    transform = library.VideoSequential(
        *([library.RandomResizedCrop((size, size), scale=(0.2, 1.0))] if crop else []),
        library.RandomHorizontalFlip(p=0.5),
        library.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8),
        library.RandomGrayscale(p=0.2),
        library.RandomGaussianBlur((taps, taps), (0.1, 2.0), p=0.5),
        data_format="BTCHW",
        same_on_frame=True,
    )
    return lambda clips: transform(clips.float().div_(255))


class Augmenter(Protocol):
    def __call__(self, size: int, crop: bool) -> Callable[[Tensor], Tensor]:
        """With `crop`, from frames of any size; else from clips that are S x S already."""


AUGMENTERS: dict[str, Augmenter] = {
    "torchvision v2, clip by clip": torchvision_v2,
    "kornia VideoSequential": kornia,
}


def loaded(makers: dict[str, Callable[[], Any]], missing: dict[str, str]) -> dict[str, Any]:
    found = {}
    for name, make in makers.items():
        try:
            found[name] = make()
        except (ImportError, OSError, RuntimeError) as error:
            missing[name] = (str(error).strip() or type(error).__name__).splitlines()[0]
    return found
