"""What one optimiser step costs, counted on a copy of the method with a real batch."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from vssl.method import Method, Progress


@dataclass(frozen=True)
class StepCost:
    """Cost of one forward and backward pass of one micro-batch.

    `flops`: floating-point operations (a multiply-add is two). `activation_bytes`: tensors that autograd keeps.
    """

    flops: float
    activation_bytes: int


def step_cost(method: Method, batch: dict[str, Any]) -> StepCost:
    """Count one micro-batch. The math attention is used, since the counter sees nothing of the fused one on a CPU.

    Args:
        batch: an augmented batch on the CPU; the count depends on its shapes only.
    """
    twin = copy.deepcopy(method).cpu().train()
    twin.progress = Progress(0, 1)
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    # The draw of dropout masks must not shift the run's own generator.
    with torch.random.fork_rng(devices=[]), sdpa_kernel(SDPBackend.MATH):
        counter = FlopCounterMode(display=False)
        with counter, torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = twin.losses(batch["views"], batch)["loss"]  # type: ignore[arg-type]
            saved = dict(kept)
            loss.backward()  # type: ignore[no-untyped-call]
    weights = {p.untyped_storage().data_ptr() for p in twin.parameters()}
    return StepCost(float(counter.get_total_flops()), sum(size for key, size in saved.items() if key not in weights))
