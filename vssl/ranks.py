"""What the processes ("ranks") of one training tell each other. With one process nothing is sent."""

from typing import Any, TypeVar

import torch.distributed as dist

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
