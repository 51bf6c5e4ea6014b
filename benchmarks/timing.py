"""What the programs beside this one share: a stopwatch, and the rate of a plain matrix product."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch


def timed(times: list[float], work: Callable[..., Any], *arguments: Any) -> Any:
    begun = time.perf_counter()
    result = work(*arguments)
    times.append(time.perf_counter() - begun)
    return result


def matrix_rate(size: int = 2048, dtype: torch.dtype = torch.float32) -> float:
    """FLOP/s of a plain square matrix product on the CPU: the bare limit of the machine."""
    a, b = torch.randn(2, size, size).to(dtype)
    times: list[float] = []
    for _ in range(6):
        timed(times, torch.mm, a, b)
    return 2 * size**3 / statistics.median(times[1:])
