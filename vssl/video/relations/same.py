"""Views that differ in space and colour only."""

from collections.abc import Sequence

from vssl.video.draws import stream, uniform
from vssl.video.relations.base import Relation
from vssl.video.sampling import uniform_start


class Same(Relation):
    """All views begin at the first view's start; one that would not fit from there begins as late as it fits."""

    def starts(self, key: int, spans: Sequence[int], video_len: int) -> list[int]:
        first = uniform_start(uniform(key, stream(0, "time")), spans[0], video_len)
        return [min(first, max(0, video_len - span)) for span in spans]
