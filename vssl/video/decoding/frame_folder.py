"""`data.decoder=frames`: a video is a folder of images, one a frame.

Images lie in the folder itself, in the order of the numbers in their names (img_00001.jpg, frame000001.png); frame i of
N is shown at i / fps seconds. They are decoded by Pillow (libjpeg-turbo for JPEG) and turned upright as EXIF tells.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from vssl.video.decoding.decode import Limits, Video, VideoError
from vssl.video.decoding.errors import decoder_error, translated
from vssl.video.decoding.images import image_names, in_order

NAN = float("nan")
# What Pillow raises over a broken image: its readers are written in Python and meet whatever the bytes say.
IMAGE_ERRORS = (
    OSError, ValueError, LookupError, ArithmeticError, MemoryError, SyntaxError, EOFError, TypeError, AttributeError,
    struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip
COARSE_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")  # 8 bits a channel or fewer


@dataclass(frozen=True)
class FrameFolderReader:
    """Reads folders of images as videos of `fps` frames a second, within `limits`."""

    fps: float
    limits: Limits = field(default_factory=Limits)

    @contextmanager
    def open(self, path: str, start_s: float = NAN, end_s: float = NAN) -> Iterator[Video]:
        names = _names(path, self.limits)
        times = np.arange(len(names)) / self.fps
        if times[-1] > self.limits.seconds:
            reason = f"the frames span {times[-1]:g} s, above the limit of {self.limits.seconds:g} s"
            raise VideoError(path, "too_large", reason)
        inside = np.flatnonzero(~(times < start_s) & ~(times >= end_s))
        if not len(inside):
            reason = f"no frame is shown in [{start_s:g}, {end_s:g}) s; the frames run from 0 to {times[-1]:g} s"
            raise VideoError(path, "empty", reason)
        yield _FrameFolder(path, [names[place] for place in inside.tolist()], times[inside], self.limits)


def _names(path: str, limits: Limits) -> list[str]:
    with translated(path, "unreadable", "the folder cannot be read"):
        if not os.path.isdir(path):
            os.stat(path)
            raise VideoError(path, "unreadable", "this is no folder of images, which data.decoder=frames reads")
        names = image_names(path)
    if not names:
        raise VideoError(path, "empty", "the folder holds no images")
    if len(names) > limits.frames:
        raise VideoError(path, "too_large", f"more than {limits.frames} images; divide the folder")
    try:
        return in_order(names)
    except ValueError as error:
        raise VideoError(path, "unreadable", str(error)) from error


class _FrameFolder:
    """The images of a segment; their size is the first one's."""

    def __init__(self, path: str, names: list[str], times: NDArray[np.float64], limits: Limits) -> None:
        self._path, self._names, self._limits = path, names, limits
        self.times = times
        self._shape: tuple[int, int] | None = None

    @property
    def height(self) -> int:
        return self._size()[0]

    @property
    def width(self) -> int:
        return self._size()[1]

    def _size(self) -> tuple[int, int]:
        if self._shape is None:
            self._shape = self._image(self._names[0]).shape[:2]
        return self._shape

    def frames(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        height, width = self._size()
        size, limit = len(indices) * height * width * 3, self._limits.output_bytes
        if size > limit:
            reason = f"{len(indices)} frames of {width} x {height} pixels are {size} bytes, above the limit of {limit}"
            raise VideoError(self._path, "too_large", reason)
        frames = np.empty((len(indices), height, width, 3), dtype=np.uint8)
        for place, index in enumerate(indices.tolist()):
            image = self._image(self._names[index])
            if image.shape != (height, width, 3):
                found, first = f"{image.shape[1]} x {image.shape[0]}", f"{width} x {height}"
                reason = f"{self._names[index]} has {found} pixels, and {self._names[0]} has {first}"
                raise VideoError(self._path, "damaged", reason)
            frames[place] = image
        return frames

    def _image(self, name: str) -> NDArray[np.uint8]:
        """Upright RGB, (H, W, 3)."""
        try:
            with Image.open(os.path.join(self._path, name)) as image:
                self._refuse_odd(name, image)
                return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        except IMAGE_ERRORS as error:
            raise decoder_error(self._path, "damaged", f"{name} cannot be decoded", error) from error

    def _refuse_odd(self, name: str, image: Image.Image) -> None:
        width, height = image.size
        if width * height > self._limits.pixels:
            reason = f"{name} has {width} x {height} pixels, above the limit of {self._limits.pixels}"
            raise VideoError(self._path, "too_large", reason)
        if image.mode not in COARSE_MODES:
            reason = f"{name} has pixels of the kind '{image.mode}', which RGB with 8 bits a channel cannot hold"
            raise VideoError(self._path, "damaged", reason)
