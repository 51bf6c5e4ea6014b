"""Different operations on different clips of one batch: no loop over clips, no waiting for the device."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

InPlace = Callable[[Tensor, Tensor], Tensor]
"""Changes clips [b, T, C, H, W] in place, by one parameter (b,) a clip."""


class Deck:
    """A batch that is sorted anew for each operation, so that the clips it touches are one contiguous part.

    The host decides and knows which clip lies where. Two buffers take turns: fresh memory for every sorting costs more
    than the operations themselves (each new page is a fault, and a batch has thousands).

    Args:
        clips: [B, T, C, H, W]; never written to.
    """

    def __init__(self, clips: Tensor) -> None:
        self._clips = clips
        self._spare: Tensor | None = None
        self._owned = False
        self._rows = np.arange(len(clips))

    def change(self, operations: Sequence[InPlace], choice: NDArray[np.int64], parameter: NDArray[np.float32]) -> None:
        """Applies `operations[choice[b]]` with `parameter[b]` to clip b.

        Args:
            choice: (B,), by clip; len(operations) leaves the clip as it is.
            parameter: (B,), by clip.
        """
        if (choice == len(operations)).all():
            return
        self._sort(np.argsort(choice[self._rows], kind="stable"))
        ends = np.searchsorted(choice[self._rows], np.arange(len(operations) + 1)).tolist()
        on_device = self._to_device(parameter[self._rows])
        for operation, begin, end in zip(operations, ends[:-1], ends[1:], strict=True):
            if begin < end:
                operation(self._clips[begin:end], on_device[begin:end])

    def to_unit_range(self) -> None:
        """uint8 to float32 in [0, 1]."""
        self._clips, self._spare, self._owned = self._clips.to(torch.float32).div_(255), None, True

    def in_order(self) -> Tensor:
        """The clips in the order in which they came."""
        if (self._rows[:-1] > self._rows[1:]).any():
            self._sort(np.argsort(self._rows))
        return self._clips

    def _sort(self, order: NDArray[np.int64]) -> None:
        target = torch.empty_like(self._clips) if self._spare is None else self._spare
        torch.index_select(self._clips, 0, self._to_device(order), out=target)
        self._spare = self._clips if self._owned else None
        self._clips, self._owned = target, True
        self._rows = self._rows[order]

    def _to_device(self, values: NDArray[Any]) -> Tensor:
        tensor, device = torch.from_numpy(values), self._clips.device
        return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)
