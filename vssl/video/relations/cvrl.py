"""Two clips of a video that are the more probable the nearer they lie."""

from collections.abc import Sequence

from vssl.video.draws import stream, uniform, uniform_stream
from vssl.video.relations.base import Relation


class Interval(Relation):
    """CVRL's temporal interval sampling: the interval between the two starts has a density that falls with its length.

    With M starts that fit, the interval k, before it is rounded down, has the distribution function
    F(k) = ((p + 1) k / M - (k / M)^(p + 1)) / p. The earlier clip begins anywhere from which the later one fits, and a
    toss tells which view gets it. A video shorter than a clip (`pad: loop` wraps it around, as in the source) has two
    independent starts, anywhere in it.

    Args:
        power: p, above 0; the density is proportional to 1 - (k / M)^p. 1 falls in a line, a large p is nearly uniform.
    Source: Qian et al. 2021, arXiv:2008.03800, Sec. 3.3; tensorflow/models@0225b13:
    official/projects/video_ssl/ops/video_ssl_preprocess_ops.py (`sample_ssl_sequence`), where p is 1. Ours: the longer
    of two unequal clips decides M.
    """

    def __init__(self, power: float = 1.0) -> None:
        if not power > 0:
            raise ValueError(f"power is {power}, allowed is more than 0")
        self.power = power

    def check(self, names: Sequence[str]) -> None:
        if len(names) != 2:
            raise ValueError(f"an interval lies between two views, these are {len(names)}: {', '.join(names)}")

    def starts(self, key: int, spans: Sequence[int], video_len: int) -> list[int]:
        if max(spans) > video_len:
            return [int(uniform(key, stream(position, "time")) * video_len) for position in range(len(spans))]
        count = video_len - max(spans) + 1
        numbers = uniform_stream(key, stream(0, "time"))
        interval = self.interval(next(numbers), count)
        early = int(next(numbers) * (count - interval))
        late = early + interval
        return [early, late] if next(numbers) < 0.5 else [late, early]

    def interval(self, number: float, count: int) -> int:
        """The largest k in [0, count) with F(k) <= `number`, uniform in [0, 1): the inverse of F, rounded down."""
        low, high = 0, count
        while high - low > 1:
            middle = (low + high) // 2
            if self.distribution(middle, count) <= number:
                low = middle
            else:
                high = middle
        return low

    def distribution(self, k: float, count: int) -> float:
        """F(k): the probability of an interval below k, with `count` possible starts (M)."""
        x = k / count
        return ((self.power + 1) * x - x ** (self.power + 1)) / self.power
