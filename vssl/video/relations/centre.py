"""Views in the middle of the video."""

from collections.abc import Sequence

from vssl.video.relations.base import Relation
from vssl.video.sampling import centre_start


class Centre(Relation):
    """Every view in the middle of the video, without a draw: what evaluation reads."""

    def starts(self, key: int, spans: Sequence[int], video_len: int) -> list[int]:
        return [centre_start(span, video_len) for span in spans]
