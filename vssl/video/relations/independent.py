"""Views that know nothing of each other."""

from collections.abc import Sequence

from vssl.video.draws import stream, uniform
from vssl.video.relations.base import Relation
from vssl.video.sampling import uniform_start


class Independent(Relation):
    """Each view begins anywhere it fits, uniformly and independently of the others: they may overlap or lie far apart.

    Source: Feichtenhofer et al. 2021, arXiv:2104.14558 (clips of one video, uniform, without a limit on the gap).
    """

    def starts(self, key: int, spans: Sequence[int], video_len: int) -> list[int]:
        return [
            uniform_start(uniform(key, stream(position, "time")), span, video_len)
            for position, span in enumerate(spans)
        ]
