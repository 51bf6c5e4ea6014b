import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vssl.evaluation.heads import Heads, Point, fit_heads

GRID = (Point(0.01, 0.0), Point(0.3, 0.0), Point(0.3, 0.1))


def problem(videos: int = 70, width: int = 6, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    label = torch.arange(videos) % classes
    centres = torch.randn(classes, width, generator=generator)
    return centres[label] + torch.randn(videos, width, generator=generator), label


def fit(grid: tuple[Point, ...] = GRID, seed: int = 0, batch_size: int = 16) -> Heads:
    features, label = problem()
    return fit_heads(features, label, 3, grid, epochs=7, batch_size=batch_size, momentum=0.9, seed=seed)


@pytest.mark.parametrize("place", range(3))
def test_each_head_is_what_torch_sgd_trains_alone(place: int) -> None:
    features, label = problem()
    point, heads = GRID[place], fit()
    layer = nn.Linear(6, 3)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    groups = [{"params": [layer.weight], "weight_decay": point.weight_decay}, {"params": [layer.bias]}]
    optimiser = torch.optim.SGD(groups, lr=point.lr, momentum=0.9)
    generator, step, steps = torch.Generator().manual_seed(0), 0, 7 * 5
    for _ in range(7):
        order = torch.randperm(70, generator=generator)
        for first in range(0, 70, 16):
            rows = order[first : first + 16]
            for group in optimiser.param_groups:
                group["lr"] = point.lr * 0.5 * (1 + math.cos(math.pi * step / steps))
            optimiser.zero_grad()
            F.cross_entropy(layer(features[rows]), label[rows]).backward()
            optimiser.step()
            step += 1
    torch.testing.assert_close(heads.weight[:, place], layer.weight.detach().T, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(heads.bias[place], layer.bias.detach(), atol=1e-5, rtol=1e-4)


def test_a_grid_is_its_points_one_by_one() -> None:
    together = fit()
    for place, point in enumerate(GRID):
        torch.testing.assert_close(together.weight[:, place], fit((point,)).weight[:, 0], atol=1e-6, rtol=1e-5)


def test_logits_are_those_of_each_head() -> None:
    features, _ = problem()
    heads = fit()
    torch.testing.assert_close(heads.logits(features)[2], features @ heads.weight[:, 2] + heads.bias[2])


def test_equal_seeds_are_equal_to_the_bit_and_threads_do_not_matter() -> None:
    first = fit(seed=5)
    torch.set_num_threads(2)
    second = fit(seed=5)
    assert torch.get_num_threads() == 2  # the caller's number is put back
    torch.set_num_threads(1)
    assert torch.equal(first.weight, second.weight)
    assert not torch.equal(first.weight, fit(seed=6).weight)


def test_one_batch_of_everything_needs_no_seed() -> None:
    torch.testing.assert_close(fit(seed=5, batch_size=100).weight, fit(seed=6, batch_size=100).weight)
