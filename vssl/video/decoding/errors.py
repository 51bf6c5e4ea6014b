"""What a file that cannot be read says, and the bounds within which reading is tried."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import av

from vssl.video.checks import at_least, within
from vssl.video.decoding import addresses

Verdict = Literal["unreadable", "empty", "no_video", "damaged", "too_large", "too_slow"]

# What PyAV raises over a hostile file: FFmpeg's own errors, and Python's for values that do not fit their types.
DECODER_ERRORS = (av.FFmpegError, OSError, ValueError, LookupError, ArithmeticError, MemoryError)


class VideoError(Exception):
    """A file that gives no frames, or not the frames that were asked for."""

    def __init__(self, path: str, verdict: Verdict, reason: str) -> None:
        super().__init__(path, verdict, reason)
        self.path, self.verdict, self.reason = path, verdict, reason

    def __str__(self) -> str:
        return f"{addresses.name(self.path)}: {self.verdict.replace('_', ' ')}: {self.reason}"


@dataclass(frozen=True)
class Limits:
    """Bounds that hold before memory is taken or time is spent; none depends on the clock, so that runs stay equal.

    Args:
        pixels: largest frame, in pixels; the default admits 8K (7680 x 4320).
        frames: most frames in a file.
        seconds: longest span from the first shown frame to the last; the default is a day.
        output_bytes: largest array of RGB frames that one call may return.
        decoded_pixels: most pixels that one call may decode; the default is a minute or two of work.
    """

    pixels: int = 33_554_432
    frames: int = 4_194_304
    seconds: float = 86400.0
    output_bytes: int = 2_147_483_648
    decoded_pixels: int = 34_359_738_368

    def __post_init__(self) -> None:
        for name in ("pixels", "frames", "output_bytes", "decoded_pixels"):
            at_least(1, f"limits.{name}", getattr(self, name))
        within(1, float("inf"), "limits.seconds", self.seconds)


@contextmanager
def translated(path: str, verdict: Verdict, doing: str) -> Iterator[None]:
    """Turns what the decoder raises inside the block into one VideoError."""
    try:
        yield
    except DECODER_ERRORS as error:
        raise decoder_error(path, verdict, doing, error) from error


def decoder_error(path: str, verdict: Verdict, doing: str, error: BaseException) -> VideoError:
    """What the decoder raised, as ours; want of memory says nothing about the file but its size."""
    return VideoError(path, "too_large" if isinstance(error, MemoryError) else verdict, f"{doing}: {describe(error)}")


def describe(error: BaseException) -> str:
    """The decoder's reason without error number and path: "Invalid data found when processing input"."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
