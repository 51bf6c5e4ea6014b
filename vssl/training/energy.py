"""What GPUs say that they have used, through NVIDIA's management library (the extra `gpu`)."""

from typing import Any

import torch


class Energy:
    """The counters of this process's machine for the GPUs that a training uses.

    Args:
        gpus: the first so many that torch sees; 0: none.
    """

    def __init__(self, gpus: int) -> None:
        self._handles = _handles(gpus)

    def joules(self) -> float | None:
        """Since the drivers were loaded, all GPUs together; None where one of them does not tell."""
        if not self._handles:
            return None
        import pynvml

        try:
            return sum(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) for handle in self._handles) / 1e3
        except pynvml.NVMLError:  # older than Volta, or not permitted
            return None


def _handles(gpus: int) -> list[Any]:
    if gpus == 0:
        return []
    try:
        import pynvml
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
        # Torch counts the visible ones only, the library all: the name that both know is the UUID.
        uuids = [str(torch.cuda.get_device_properties(place).uuid) for place in range(gpus)]
        return [pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}") for uuid in uuids]
    except pynvml.NVMLError:
        return []
