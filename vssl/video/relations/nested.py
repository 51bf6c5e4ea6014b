"""Views of which one contains the other."""

from collections.abc import Sequence

from vssl.video.draws import stream, uniform
from vssl.video.relations.base import Relation
from vssl.video.sampling import uniform_start


class Nested(Relation):
    """The first view begins anywhere it fits, uniformly. A longer view contains it, a shorter one lies within it.

    Each of the others begins uniformly anywhere this is so. Where a view does not fit into the video, it begins at 0.

    Source: our choice (LSTCL speaks of a long and a short view of one video; how they lie is unverified).
    """

    def starts(self, key: int, spans: Sequence[int], video_len: int) -> list[int]:
        first = uniform_start(uniform(key, stream(0, "time")), spans[0], video_len)
        others = enumerate(spans[1:], start=1)
        return [
            first,
            *(_within(uniform(key, stream(i, "time")), first, spans[0], span, video_len) for i, span in others),
        ]


def _within(number: float, first: int, first_span: int, span: int, video_len: int) -> int:
    """A start between the two at which the views begin together and end together, both of which are allowed."""
    ends = sorted((first, first + first_span - span))
    low, high = max(0, ends[0]), min(max(0, video_len - span), ends[1])
    return low + int(number * (high - low + 1))
