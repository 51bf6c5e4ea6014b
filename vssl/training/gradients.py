"""What happens to gradients between the backward pass and the optimiser's step."""

from typing import Any

from vssl import _torchvision  # noqa: F401  (before Lightning)

# isort: split
import pytorch_lightning as pl
import torch
from torch.nn.utils import clip_grad_norm_


class Gradients(pl.Callback):
    """Edits them at the one place where they are whole: summed over micro-batches, averaged over ranks, unscaled.

    Args:
        clip_norm: largest norm of all of them together, after each tensor's own; None leaves them alone. Lightning's
            own clipping refuses every optimiser that is fused, in bfloat16 as well, where nothing is scaled.
    """

    def __init__(self, clip_norm: float | None = None) -> None:
        self.clip_norm = clip_norm

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        edit_gradients(optimizer.param_groups, trainer.global_step)
        if self.clip_norm is not None:
            clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], self.clip_norm)


def edit_gradients(groups: list[dict[str, Any]], step: int) -> None:
    """Shortens every tensor's gradient to its group's `clip_tensor_norm`, and drops those of groups that are frozen.

    Args:
        groups: of an optimiser of `vssl.training.optimisers`.
        step: completed optimiser steps; a group moves from step `frozen_steps` on. Until then its tensors have no
            gradient at all, so that neither decay nor the optimiser's averages touch them.
    Source: facebookresearch/dino: utils.py, clip_gradients and cancel_gradients_last_layer.
    """
    for group in groups:
        frozen, norm = step < group["frozen_steps"], group["clip_tensor_norm"]
        for parameter in group["params"]:
            if frozen:
                parameter.grad = None
            elif norm is not None and parameter.grad is not None:
                clip_grad_norm_(parameter, norm)
