"""What one file is worth: every frame is decoded once, none is kept, and what is wrong is said in a word and a reason.

Nothing here may import torch or pandas: the checker's workers start with this module, and again after each file that
had to be given up.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from vssl.video.decoding.decode import PyAVReader
from vssl.video.decoding.errors import Limits, Verdict, VideoError, describe

CheckVerdict = Literal["ok", Verdict]
VERDICTS: tuple[str, ...] = ("ok", *get_args(Verdict))


@dataclass(frozen=True)
class Finding:
    """The verdict on one file.

    Args:
        path: the file, as the caller named it.
        frames: frames that decode, those behind some damage included.
        width, height: pixels, upright; 0 where there is no frame.
        fps: mean rate from the first frame to the last, decodable or not; NaN for fewer than two frames.
        duration_s: all frames / fps, so that the last is shown as long as the mean of the others.
        reason: what is wrong, in one line; empty for "ok".
    """

    path: str
    verdict: CheckVerdict
    frames: int = 0
    width: int = 0
    height: int = 0
    fps: float = math.nan
    duration_s: float = math.nan
    reason: str = ""


Look = Callable[[str, Limits], Finding]


def check_file(path: str, limits: Limits) -> Finding:
    """Decodes the file at `path` in bounded memory; never raises, whatever lies there."""
    try:
        survey = PyAVReader(limits).survey(path)
    except VideoError as error:
        return Finding(path, error.verdict, reason=error.reason)
    except MemoryError:
        return Finding(path, "too_large", reason="decoding it needs more memory than a worker may take")
    except Exception as error:  # noqa: BLE001  (a hostile file found a hole in the reader: its own fault, and told so)
        return Finding(path, "unreadable", reason=f"{type(error).__name__}: {describe(error)}")
    frames, span_s = len(survey.times), float(survey.times[-1] - survey.times[0])
    fps = (frames - 1) / span_s if span_s > 0 else math.nan
    size = (survey.decoded, survey.width, survey.height)
    verdict: CheckVerdict = "damaged" if survey.damage else "ok"
    return Finding(path, verdict, *size, fps, frames / fps, survey.damage or "")
