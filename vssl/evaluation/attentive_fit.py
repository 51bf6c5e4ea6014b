"""Attentive probes at every point of a grid, trained side by side: one batch of tokens serves all of them."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from vssl.evaluation.heads import Point
from vssl.evaluation.progress import track
from vssl.records.atomic import atomic
from vssl.video.draws import permutation

SAVE_EVERY_S = 30.0  # what is lost by a kill; a state is written at the end of an epoch

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """How a probe is trained: AdamW, rate and decay along a cosine from the point's values to 0 and `final_decay`.

    Args:
        clip_grad: largest norm of a probe's gradient; None leaves it as it is.
    """

    epochs: int
    batch_size: int
    final_decay: float | None
    clip_grad: float | None


@dataclass(frozen=True)
class State:
    """Where a training stands on disk.

    Args:
        key: of everything that the training depends on; a file with another key is not taken.
    """

    path: Path
    key: str


def fit_probes(
    build: Callable[[], nn.Module],
    tokens: NDArray[np.float32],
    label: NDArray[np.int64],
    grid: Sequence[Point],
    recipe: Recipe,
    state: State,
    *,
    device: str,
    seed: int,
) -> list[nn.Module]:
    """One probe a point. All start from the same weights and see the same batches in the same order, so that each is
    what training it alone would give. A killed training goes on after its last saved epoch, to the same end.

    Args:
        build: makes a probe for [B, n, D]; called with torch's generator set by `seed`.
        tokens: float32 [N, n, D]. label: int64 [N].
    """
    probes = [_started(build, seed).to(device) for _ in grid]
    optimisers = [_optimiser(probe, point) for probe, point in zip(probes, grid, strict=True)]
    done = _restore(state, probes, optimisers)
    per_epoch = math.ceil(len(label) / recipe.batch_size)
    saved = time.monotonic()
    what = f"attentive probe, {len(grid)} settings at once"
    for epoch in track(range(done, recipe.epochs), recipe.epochs - done, what):
        order = permutation(seed, epoch, len(label))
        for place, rows in enumerate(np.array_split(order, per_epoch)):
            share = (epoch * per_epoch + place) / (recipe.epochs * per_epoch)
            x, y = torch.from_numpy(tokens[rows]).to(device), torch.from_numpy(label[rows]).to(device)
            for probe, optimiser, point in zip(probes, optimisers, grid, strict=True):
                _step(probe, optimiser, point, recipe, share, x, y)
        if time.monotonic() - saved >= SAVE_EVERY_S:
            _save(state, epoch + 1, probes, optimisers)
            saved = time.monotonic()
    return [probe.eval() for probe in probes]


def _step(
    probe: nn.Module, optimiser: torch.optim.Optimizer, point: Point, recipe: Recipe, share: float, x: Tensor, y: Tensor
) -> None:
    lr, decay = rates(point, recipe, share)
    for group in optimiser.param_groups:
        group["lr"] = lr
        group["weight_decay"] = decay if group["decays"] else 0.0
    optimiser.zero_grad()
    F.cross_entropy(probe(x), y).backward()  # type: ignore[no-untyped-call]
    if recipe.clip_grad is not None:
        nn.utils.clip_grad_norm_(probe.parameters(), recipe.clip_grad)
    optimiser.step()


def rates(point: Point, recipe: Recipe, share: float) -> tuple[float, float]:
    """Learning rate and weight decay when `share` of the steps is done: the point's at 0."""
    fall = 0.5 * (1 + math.cos(math.pi * share))
    final = point.weight_decay if recipe.final_decay is None else min(recipe.final_decay, point.weight_decay)
    return point.lr * fall, final + (point.weight_decay - final) * fall


def _started(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def _optimiser(probe: nn.Module, point: Point) -> torch.optim.AdamW:
    named = list(probe.named_parameters())
    still = [parameter for name, parameter in named if parameter.ndim == 1 or name.endswith("bias")]
    moving = [parameter for name, parameter in named if not (parameter.ndim == 1 or name.endswith("bias"))]
    groups = [{"params": moving, "decays": True}, {"params": still, "decays": False}]
    return torch.optim.AdamW(groups, lr=point.lr, weight_decay=point.weight_decay)


def _save(state: State, epochs: int, probes: Sequence[nn.Module], optimisers: Sequence[torch.optim.Optimizer]) -> None:
    content = {
        "key": state.key,
        "epochs": epochs,
        "probes": [probe.state_dict() for probe in probes],
        "optimisers": [optimiser.state_dict() for optimiser in optimisers],
    }
    with atomic(state.path) as temporary:
        torch.save(content, temporary)


def _restore(state: State, probes: Sequence[nn.Module], optimisers: Sequence[torch.optim.Optimizer]) -> int:
    """Epochs that are done already: those of a whole file with the same key, else none."""
    if not state.path.is_file():
        return 0
    try:
        content = torch.load(state.path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, UnpicklingError) as error:
        logger.warning("%s: damaged, the probe is trained from the start (%s)", state.path, type(error).__name__)
        return 0
    if content["key"] != state.key:
        return 0
    for probe, kept in zip(probes, content["probes"], strict=True):
        probe.load_state_dict(kept)
    for optimiser, kept in zip(optimisers, content["optimisers"], strict=True):
        optimiser.load_state_dict(kept)
    return int(content["epochs"])
