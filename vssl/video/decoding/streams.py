"""What is opened at all: which file, which of its streams, frames of what size."""

from av.container import InputContainer
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from vssl.video.decoding import addresses
from vssl.video.decoding.errors import Limits, VideoError, translated


def refuse_odd_files(path: str) -> None:
    """Only files with content are opened: a pipe would block, a folder or device has no end."""
    with translated(path, "unreadable", "cannot be opened"):
        regular, size = addresses.is_regular(path), addresses.size(path)
    if not regular:
        raise VideoError(path, "unreadable", "this is no regular file")
    if size == 0:
        raise VideoError(path, "empty", "the file has 0 bytes")


def choose_stream(container: InputContainer, path: str) -> VideoStream:
    """The video stream with the largest frames; cover art is no video. The others are not read."""
    candidates = [
        stream for stream in container.streams.video
        if stream.codec_context is not None and not stream.disposition & Disposition.attached_pic
    ]  # fmt: skip
    if not candidates:
        raise VideoError(path, "no_video", "no stream of this file is a video that FFmpeg can decode")
    chosen = max(candidates, key=lambda stream: stream.codec_context.width * stream.codec_context.height)
    for stream in container.streams:
        stream.discard = Discard.default if stream is chosen else Discard.all
    return chosen


def checked_size(stream: VideoStream, path: str, limits: Limits) -> tuple[int, int]:
    """Height and width of the stream, as FFmpeg found them by decoding its first frames."""
    height, width = stream.codec_context.height, stream.codec_context.width
    if height * width == 0:
        raise VideoError(path, "unreadable", "no frame can be decoded: the size of the frames is unknown")
    if height * width > limits.pixels:
        reason = f"frames of {width} x {height} pixels are above the limit of {limits.pixels} pixels"
        raise VideoError(path, "too_large", reason)
    return height, width
