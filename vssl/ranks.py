"""What the processes ("ranks") of one training tell each other. With one process nothing is sent."""

from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")

_host_groups: dict[int, Any] = {}


def world_size() -> int:
    """Processes of this training."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gather(obj: T) -> list[T]:
    """Every rank's `obj`, in the order of ranks; each rank must call it equally often.

    Goes from host to host (gloo) also where gradients travel from GPU to GPU, so that no device is waited for.
    """
    if world_size() == 1:
        return [obj]
    found: list[Any] = [None] * world_size()
    dist.all_gather_object(found, obj, group=_host_group())
    return found


def _host_group() -> Any:
    world = dist.group.WORLD
    if dist.get_backend() == "gloo":
        return world
    if id(world) not in _host_groups:
        _host_groups.clear()
        _host_groups[id(world)] = dist.new_group(backend="gloo")
    return _host_groups[id(world)]


def rank() -> int:
    """Which of them this is, from 0."""
    return dist.get_rank() if world_size() > 1 else 0


@torch.no_grad()
def gather_rows(x: Tensor) -> Tensor:
    """[b, ...] of every rank as [b * ranks, ...] in their order, without gradient; b is the same on all of them."""
    if world_size() == 1:
        return x.detach()
    found = [torch.empty_like(x) for _ in range(world_size())]
    dist.all_gather(found, x.detach().contiguous())
    return torch.cat(found)


def gather_rows_with_gradient(x: Tensor) -> Tensor:
    """As `gather_rows`; a row's gradient is the sum of what all ranks found for it.

    DDP averages the gradients of parameters over ranks. So a loss that each rank takes over its own b rows as a mean
    ends in the gradient of one process over all rows, and needs no factor.
    """
    return x if world_size() == 1 else _Gathered.apply(x)  # type: ignore[no-untyped-call]


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.rows = len(x)
        return gather_rows(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        first = rank() * ctx.rows
        return gradient[first : first + ctx.rows]
