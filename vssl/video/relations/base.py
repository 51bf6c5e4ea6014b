"""The contract of a relation in time."""

from abc import ABC, abstractmethod
from collections.abc import Sequence


class Relation(ABC):
    """Where the views of a sample begin.

    Position i draws from `stream(i, "time")` only, and position 0 looks at no other view, so that the first view of
    `single` and of `pair` is the same clip. A law that gives all views at once draws from `stream(0, "time")`.
    """

    def check(self, names: Sequence[str]) -> None:  # noqa: B027 (most relations take any views)
        """Raises ValueError where this relation has no meaning for views of these names, by position."""

    @abstractmethod
    def starts(self, key: int, spans: Sequence[int], video_len: int) -> list[int]:
        """The first frame of each view, in [0, video_len).

        Args:
            key: the sample's key.
            spans: source frames that each view covers, by position; above `video_len`: that view is padded.
            video_len: frames in the video, at least 1.
        """
