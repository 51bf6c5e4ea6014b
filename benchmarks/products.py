"""The matrix products of any piece of work, recorded and made again with nothing between them: its bare limit."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode


@dataclass(frozen=True)
class Layout:
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True)
class Product:
    """[m, k] x [k, n], or a batch of such."""

    left: Layout
    right: Layout

    @property
    def flops(self) -> int:
        return 2 * math.prod(self.left.shape) * self.right.shape[-1]


def record(work: Callable[[], object]) -> list[Product]:
    """What `work` multiplies, in order, autograd's backward pass included; attention without a fused kernel."""
    with _Recorder() as recorder, sdpa_kernel(SDPBackend.MATH):
        work()
    return recorder.found


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[Product] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.bmm, torch.ops.aten.addmm):
            self.found.append(Product(*(Layout(tuple(factor.shape), factor.stride()) for factor in args[-2:])))
        return func(*args, **(kwargs or {}))


def replay(products: list[Product], device: str, dtype: torch.dtype) -> Callable[[], None]:
    """A function that makes them all, from and into memory that is there already."""
    memory: dict[tuple[str, Layout], Tensor] = {}

    def tensor(role: str, layout: Layout) -> Tensor:
        if (role, layout) not in memory:
            last = sum((extent - 1) * step for extent, step in zip(layout.shape, layout.stride, strict=True))
            memory[role, layout] = (
                torch.randn(last + 1, device=device).to(dtype).as_strided(layout.shape, layout.stride)
            )
        return memory[role, layout]

    def out(product: Product) -> Tensor:
        shape = (*product.left.shape[:-1], product.right.shape[-1])
        return tensor("out", Layout(shape, torch.empty(shape, device="meta").stride()))

    calls = [(tensor("left", p.left), tensor("right", p.right), out(p)) for p in products]

    def multiply() -> None:
        for left, right, result in calls:
            torch.matmul(left, right, out=result)

    return multiply
