import copy

import pytest
import torch
from lightly.models.utils import update_momentum
from lightly.utils.scheduler import cosine_schedule
from torch import nn

from vssl.nn.momentum import cosine_momentum, follow, frozen_copy


@pytest.mark.parametrize(
    ("start", "values"),
    [
        (0.99, [0.99, 0.99146447, 0.995, 0.99853553, 1.0]),  # MoCo v3, 300 epochs
        (0.996, [0.996, 0.99658579, 0.998, 0.99941421, 1.0]),  # BYOL, 1000 epochs
    ],
)
def test_the_momentum_rises_along_half_a_cosine(start: float, values: list[float]) -> None:
    assert [cosine_momentum(start, quarter / 4) for quarter in range(5)] == pytest.approx(values, abs=5e-9)


def test_schedule_and_move_equal_lightly() -> None:
    torch.manual_seed(0)
    source, ours = nn.Linear(3, 4).double(), nn.Linear(3, 4).double()
    theirs = copy.deepcopy(ours)
    for step in range(5):
        momentum = cosine_momentum(0.9, step / 4)
        assert momentum == pytest.approx(cosine_schedule(step, 5, 0.9, 1.0), rel=1e-12)  # which counts to max_steps - 1
        follow(ours, source, momentum)
        update_momentum(source, theirs, momentum)
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=0)


def test_a_constant_momentum_gives_the_series_by_hand() -> None:
    source, target = nn.Linear(1, 1, bias=False).double(), nn.Linear(1, 1, bias=False).double()
    nn.init.zeros_(target.weight)
    seen = []
    for value in (1.0, 2.0, 3.0):
        nn.init.constant_(source.weight, value)
        follow(target, source, 0.996)
        seen.append(target.weight.item())
    assert seen == pytest.approx([0.004, 0.011984, 0.023936064], abs=1e-12)


def test_parameters_follow_and_buffers_do_not() -> None:
    torch.manual_seed(0)
    source = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    target = frozen_copy(source)
    for parameter in source.parameters():
        nn.init.normal_(parameter)
    source(torch.randn(8, 3))
    before = copy.deepcopy(target)
    follow(target, source, 0.75)
    for kept, old, new in zip(target.parameters(), before.parameters(), source.parameters(), strict=True):
        torch.testing.assert_close(kept, 0.75 * old + 0.25 * new.detach())
    assert target[1].num_batches_tracked == 0 and source[1].num_batches_tracked == 1
    assert torch.equal(target[1].running_mean, torch.zeros(4))
    assert not torch.equal(source[1].running_mean, torch.zeros(4))


def test_a_copy_shares_nothing_and_takes_no_gradient() -> None:
    source = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    target = frozen_copy(source)
    assert not any(parameter.requires_grad for parameter in target.parameters())
    assert all(parameter.requires_grad for parameter in source.parameters())
    ours = {tensor.data_ptr() for tensor in source.state_dict().values()}
    assert not ours & {tensor.data_ptr() for tensor in target.state_dict().values()}


def test_a_momentum_of_one_moves_nothing_and_equal_weights_stay_equal() -> None:
    torch.manual_seed(0)
    source, target = nn.Linear(50, 50), nn.Linear(50, 50)
    before = copy.deepcopy(target.weight)
    follow(target, source, 1.0)
    assert torch.equal(target.weight, before)
    twin = frozen_copy(source)
    follow(twin, source, 0.99)  # what MoCo v3's first move and a frozen embedding rely on
    assert torch.equal(twin.weight, source.weight)


def test_networks_of_different_shape_are_no_pair() -> None:
    with pytest.raises(ValueError, match="zip"):
        follow(nn.Linear(3, 4), nn.Linear(3, 4, bias=False), 0.9)
