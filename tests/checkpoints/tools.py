"""Networks whose weights are all different and none is zero, and the shortest way from a file to an encoder."""

from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from vssl.backbones.base import Backbone
from vssl.checkpoints.known import facts_of
from vssl.checkpoints.load import fill_with, open_known
from vssl.checkpoints.report import Report
from vssl.config.bind import construct

M = TypeVar("M", bound=nn.Module)


def randomised(module: M, seed: int = 0) -> M:
    """All parameters and running statistics at random, biases too, in evaluation mode; a zero hides a lost tensor."""
    draw = torch.Generator().manual_seed(seed)
    statistics = [(name, tensor) for name, tensor in module.named_buffers() if "running_" in name]
    for name, tensor in [*module.named_parameters(), *statistics]:
        with torch.no_grad():
            values = 0.2 * torch.randn(tensor.shape, generator=draw)
            tensor.copy_(values.abs() + 0.5 if name.endswith("running_var") else values)
    return module.eval()


def loaded(path: Path, layout: str | None = None, **given: Any) -> tuple[Backbone, Report]:
    """The encoder that a file tells, `given` where it does not, with its weights; in evaluation mode."""
    opened, known = open_known(path, layout)
    facts = facts_of(opened, known)
    assert facts is not None
    node = {**facts.backbone, **given}
    encoder = construct(node, Backbone, "backbone")
    report = fill_with(encoder, node, opened, known, str(path))
    return encoder.eval(), report


def clip(frames: int, size: int, batch: int = 2) -> Tensor:
    """[B, 3, T, H, W] in [0, 1]."""
    return torch.rand(batch, 3, frames, size, size, generator=torch.Generator().manual_seed(1))


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """Equal names and equal bits."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
