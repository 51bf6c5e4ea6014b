"""What the tests of methods write equations with: a linear encoder, heads number by number, training by hand."""

import math
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from vssl.backbones.base import Backbone
from vssl.method import Method, Progress
from vssl.training.optimisers import AdamW

PIXELS = 3 * 2 * 2 * 2


class Flat(Backbone):
    """Linear in pixels, so that an equation can be written down: patches to 7 numbers, those to 6."""

    embed_dim = 6

    def __init__(self, kind: str = "test") -> None:
        super().__init__()
        self.kind = kind
        self.patch_embed = nn.Linear(PIXELS, 7, bias=False)
        self.linear = nn.Linear(7, 6, bias=False)

    def forward(self, clip: Tensor) -> Tensor:
        return self.linear(self.patch_embed(clip.flatten(1)))

    def by_hand(self, clip: Tensor) -> Tensor:
        return clip.flatten(1) @ self.patch_embed.weight.T @ self.linear.weight.T


def views(batch: int = 5) -> dict[str, Tensor]:
    a, b = torch.rand(2, batch, 3, 2, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return {"a": a, "b": b}


def head_by_hand(x: Tensor, head: nn.Sequential) -> Tensor:
    for layer in head:
        if isinstance(layer, nn.Linear):
            x = x @ layer.weight.T if layer.bias is None else x @ layer.weight.T + layer.bias
        elif isinstance(layer, nn.BatchNorm1d):
            x = _batch_norm(x, layer)
        else:
            assert isinstance(layer, nn.ReLU)
            x = torch.relu(x)
    return x


def _batch_norm(x: Tensor, layer: nn.BatchNorm1d) -> Tensor:
    """Column by column, with the biased variance of these rows alone."""
    columns = []
    for d in range(x.shape[1]):
        column = x[:, d]
        mean = sum(column) / len(column)
        variance = sum((value - mean) ** 2 for value in column) / len(column)
        scaled = (column - mean) / (variance + layer.eps) ** 0.5
        columns.append(scaled * layer.weight[d] + layer.bias[d] if layer.affine else scaled)
    return torch.stack(columns, dim=1)


def gradients(method: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    method.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in method.named_parameters() if p.grad is not None}


def assert_equal_to(method: Method, loss: Tensor, expected: Tensor) -> None:
    """Equal values and gradients; every trainable parameter has one."""
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=0)
    ours, theirs = gradients(method, loss), gradients(method, expected)
    assert set(ours) == set(theirs) == {name for name, p in method.named_parameters() if p.requires_grad}
    for name, gradient in ours.items():
        assert theirs[name].abs().max() > 0, name
        # In front of a BatchNorm a bias has no effect: what is left of its gradient is rounding.
        torch.testing.assert_close(gradient, theirs[name], rtol=1e-8, atol=1e-12)


def assert_equal_pixel_gradients(method: Any, by_equation: Callable[..., Tensor], clips: dict[str, Tensor]) -> None:
    """Gradient flows to the pixels of each view where the equation lets it, and nowhere else."""
    ours, theirs = ({name: clip.clone().requires_grad_() for name, clip in clips.items()} for _ in range(2))
    method.losses(ours, {})["loss"].backward()
    by_equation(method, theirs).backward()
    for name in clips:
        torch.testing.assert_close(ours[name].grad, theirs[name].grad, rtol=1e-8, atol=1e-12)


def assert_only_weights_of_linear_layers_decay(method: Method) -> None:
    """By the rule of BYOL's and SimCLR's papers; and every parameter that is trained is in one group."""
    groups = AdamW(decay="no_bias_norm").build(method, 8, 10)["optimizer"].param_groups
    decayed = {id(p) for group in groups if group["weight_decay"] for p in group["params"]}
    linear = {id(m.weight) for m in method.modules() if isinstance(m, nn.Linear) and m.weight.requires_grad}
    assert decayed == linear
    assert sum(len(group["params"]) for group in groups) == sum(p.requires_grad for p in method.parameters())


def assert_one_clip_is_refused(cls: type[Method], says: str) -> None:
    """And so are views of other names."""
    encoder = Flat()
    assert cls.refuses(encoder, ("a", "b"), 2) is None
    assert cls.refuses(encoder, ("a", "b"), 1) == says
    assert cls.refuses(encoder, ("clip",), 8) == f"{cls.__name__} needs the views a, b; this views file gives clip"


def kinds(head: nn.Sequential) -> list[str]:
    return [type(layer).__name__ for layer in head]


@torch.no_grad()
def left_behind(*targets: nn.Module) -> None:
    """Moves targets away from what they are copies of."""
    for target in targets:
        for parameter in target.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))


def trail(method: Any, parts: tuple[str, ...], fraction: float) -> None:
    """The targets of these parts by the released rule, parameter by parameter, with the momentum of a place in training
    (moco-v3: main_moco.py; byol: byol_experiment.py; dino: main_dino.py)."""
    momentum = 1 - (1 - method.ema_momentum) * (1 + math.cos(math.pi * fraction)) / 2
    for part in parts:
        source, target = getattr(method, part), getattr(method, f"target_{part}")
        for new, kept in zip(source.parameters(), target.parameters(), strict=True):
            kept.data = momentum * kept.data + (1 - momentum) * new.data


def places_of_the_target(method: Any) -> list[float]:
    """A weight of the target, which starts at 0, after each of the first three of four steps, which take the encoder's
    to 1, 2 and 3. Until a step is done, it does not move."""
    weight = method.target_encoder.linear.weight
    nn.init.zeros_(weight)
    seen = []
    for step in (1, 2, 3):
        before = weight.clone()
        nn.init.constant_(method.encoder.linear.weight, step)
        method.losses(views(), {})
        assert torch.equal(weight, before)
        method.after_step(Progress(step, 4))
        seen.append(weight[0, 0].item())
    return seen


def batches(count: int) -> list[dict[str, dict[str, Tensor]]]:
    generator = torch.Generator().manual_seed(2)
    pairs = [torch.rand(2, 4, 3, 2, 2, 2, dtype=torch.float64, generator=generator) for _ in range(count)]
    return [{"views": {"a": a, "b": b}} for a, b in pairs]


def sgd(method: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.5)


def fit(method: Method, steps: int, accumulate: int) -> Method:
    """`steps` optimiser steps through Lightning, as a training runs them."""
    method.total_steps = steps
    method.optimiser_factory = sgd
    trainer = pl.Trainer(
        max_steps=steps, max_epochs=-1, accumulate_grad_batches=accumulate, accelerator="cpu", logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(method, torch.utils.data.DataLoader(batches(steps * accumulate), batch_size=None))
    return method


def fit_by_hand(
    method: Method,
    steps: int,
    accumulate: int,
    before: Callable[[int], None] = lambda step: None,
    after: Callable[[int], None] = lambda step: None,
) -> Method:
    """The same as a plain loop, with a call `before` each step's first forward pass and `after` its update."""
    optimiser = sgd(method)
    todo = iter(batches(steps * accumulate))
    for step in range(steps):
        before(step)
        optimiser.zero_grad()
        for _ in range(accumulate):
            (method.losses(next(todo)["views"], {})["loss"] / accumulate).backward()
        optimiser.step()
        after(step)
    return method


def assert_same_state(one: Method, other: Method, moved_from: Method) -> None:
    """Equal parameters and buffers; and each parameter that is to move has moved."""
    theirs, start = other.state_dict(), moved_from.state_dict()
    for name, tensor in one.state_dict().items():
        torch.testing.assert_close(
            tensor, theirs[name], rtol=1e-9, atol=1e-12, msg=lambda text, name=name: f"{name}: {text}"
        )
    assert any(not torch.equal(theirs[name], start[name]) for name in start if name.startswith("target_encoder."))
