"""What happens to gradients between the backward pass and the optimiser's step."""

from typing import Any

from vssl import _torchvision  # noqa: F401  (before Lightning)

# isort: split
import pytorch_lightning as pl
import torch
from torch.nn.utils import clip_grad_norm_


class Gradients(pl.Callback):
    """Edits them at the one place where they are whole: summed over micro-batches, averaged over ranks, unscaled."""

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        edit_gradients(optimizer.param_groups, trainer.global_step)


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
