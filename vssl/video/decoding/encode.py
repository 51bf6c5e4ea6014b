"""Writes frames as an H.264 file in an mp4 container."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from vssl.records.atomic import atomic


def write_video(
    path: Path,
    frames: NDArray[np.uint8],
    fps: int | Fraction = 25,
    gop: int = 12,
    qp: int = 16,
    preset: str = "veryfast",
) -> None:
    """Encodes `frames` to `path`, which is whole or absent: a killed writer leaves no half video under that name.

    One encoder thread, so that the same frames give the same bytes with the same FFmpeg, whatever the machine's cores.

    Args:
        frames: RGB [T, H, W, 3], T at least 1; H and W even, because H.264 4:2:0 stores colour at half resolution.
        fps: frames a second; a fraction for rates such as 30000/1001.
        gop: largest distance between keyframes, in frames. With 1 every frame is a keyframe and decodes to the same
            pixels whatever stands before and after it; a predicted frame carries traces of its neighbours.
        qp: x264's quantiser, 0 (lossless) to 51, the same for all frames of a kind; 16 looks lossless.
        preset: x264's name for a trade of time against bytes.
    Raises:
        ValueError: the frames have another shape or type, or an odd side.
        WorkError: the operating system refused the write.
    """
    _check(frames)
    with atomic(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options={"qp": str(qp), "preset": preset})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = gop
        stream.codec_context.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def _check(frames: NDArray[np.uint8]) -> None:
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or len(frames) == 0:
        raise ValueError(f"frames must be uint8 [T, H, W, 3] with T >= 1; got {frames.dtype} {list(frames.shape)}")
    height, width = frames.shape[1:3]
    if height % 2 or width % 2:
        raise ValueError(f"H.264 4:2:0 needs even sides; got {height} x {width} (height x width)")
