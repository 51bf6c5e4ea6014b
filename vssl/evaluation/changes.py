"""What may be done to test clips before an encoder sees them: named, so that stamp and cache tell it apart."""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from torch import Tensor

from vssl.video.views import Clip


@dataclass(frozen=True)
class Change(ABC):
    """One change of every clip. A subclass is a frozen dataclass; its name and fields enter the stamp and the cache."""

    name: ClassVar[str]

    @abstractmethod
    def apply(self, clips: Tensor, key: Tensor) -> Tensor:
        """uint8 [B, T, C, H, W] -> the same, on the device of `clips`.

        Args:
            key: int64 [B], on the host: of the video, whatever its place, list or batch. All draws come from it, so
                that every encoder is shown the same; the views of a video share it.
        """

    def clip(self, clip: Clip) -> Clip:
        """The clip that is read instead, for a change of stride."""
        return clip

    def settings(self) -> dict[str, Any]:
        return {"name": self.name, **asdict(self)}
