import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from vssl.nn.masks import Grid, MaskKind, hidden_count, hidden_tokens, split_tokens, units

KINDS: tuple[MaskKind, ...] = ("tube", "random", "frame")


def _noise(kind: MaskKind, grid: Grid, batch: int = 3, seed: int = 0) -> Tensor:
    return torch.rand(batch, units(kind, grid), generator=torch.Generator().manual_seed(seed))


# (grid side, ratio) -> masked places of a frame; the official generator truncates.
@pytest.mark.parametrize(
    ("side", "ratio", "per_frame"),
    [
        (7, 0.75, 36), (7, 0.9, 44), (7, 0.95, 46),
        (8, 0.75, 48), (8, 0.9, 57), (8, 0.95, 60),
        (10, 0.75, 75), (10, 0.9, 90), (10, 0.95, 95),
        (14, 0.75, 147), (14, 0.9, 176), (14, 0.95, 186),
        (16, 0.75, 192), (16, 0.9, 230), (16, 0.95, 243),
        (20, 0.75, 300), (20, 0.9, 360), (20, 0.95, 380),
    ],
)  # fmt: skip
def test_tube_counts_are_the_official_ones(side: int, ratio: float, per_frame: int) -> None:
    grid = (8, side, side)
    hidden = hidden_tokens(_noise("tube", grid), "tube", ratio, grid)
    assert hidden.sum(dim=1).tolist() == [8 * per_frame] * 3
    assert hidden_count("tube", ratio, grid) == 8 * per_frame


@pytest.mark.parametrize(("side", "masked"), [(7, 352), (8, 460), (10, 720), (14, 1411), (16, 1843), (20, 2880)])
def test_random_counts_are_the_official_ones(side: int, masked: int) -> None:
    grid = (8, side, side)
    assert hidden_tokens(_noise("random", grid), "random", 0.9, grid).sum(dim=1).tolist() == [masked] * 3


def test_frame_mask_at_seven_eighths_hides_seven_of_eight_time_slots() -> None:
    slots = hidden_tokens(_noise("frame", (8, 2, 3)), "frame", 0.875, (8, 2, 3)).view(3, 8, 6)
    assert (slots == slots[:, :, :1]).all()
    assert slots[:, :, 0].sum(dim=1).tolist() == [7, 7, 7]


@given(
    kind=st.sampled_from(KINDS),
    grid=st.tuples(st.integers(2, 5), st.integers(1, 6), st.integers(2, 6)),
    ratio=st.floats(0.5, 0.99),
    seed=st.integers(0, 1000),
)
def test_every_sample_hides_the_same_number_and_tokens_are_split_in_order(
    kind: MaskKind, grid: Grid, ratio: float, seed: int
) -> None:
    total = units(kind, grid)
    assume(int(ratio * total) > 0)
    hidden = hidden_tokens(_noise(kind, grid, seed=seed), kind, ratio, grid)
    count = hidden_count(kind, ratio, grid)
    visible, masked = split_tokens(hidden, count)
    t, h, w = grid
    assert hidden.sum(dim=1).tolist() == [count] * 3
    assert count * total == int(ratio * total) * t * h * w
    for row, shown, gone in zip(hidden, visible, masked, strict=True):
        assert shown.tolist() == (~row).nonzero().flatten().tolist()
        assert gone.tolist() == row.nonzero().flatten().tolist()
    frames = hidden.view(3, t, h * w)
    if kind == "tube":
        assert (frames == frames[:, :1]).all()
    if kind == "frame":
        assert (frames == frames[:, :, :1]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_mask_does_not_depend_on_the_batch(kind: MaskKind) -> None:
    grid = (4, 3, 3)
    noise = _noise(kind, grid, batch=8)
    halves = [hidden_tokens(half, kind, 0.75, grid) for half in noise.chunk(2)]
    assert torch.equal(hidden_tokens(noise, kind, 0.75, grid), torch.cat(halves))


@pytest.mark.parametrize("kind", KINDS)
def test_every_place_is_hidden_equally_often(kind: MaskKind) -> None:
    grid = (4, 3, 4)
    hidden = hidden_tokens(_noise(kind, grid, batch=4000), kind, 0.75, grid)
    share = hidden.float().mean(dim=0)
    assert share.min() > 0.75 - 0.04 and share.max() < 0.75 + 0.04


def test_equal_numbers_still_give_exact_counts() -> None:
    assert hidden_tokens(torch.zeros(2, 8), "random", 0.5, (2, 2, 2)).sum(dim=1).tolist() == [4, 4]


@pytest.mark.parametrize(
    ("kind", "ratio", "grid", "text"),
    [
        ("frame", 0.2, (4, 2, 2), "mask=frame with mask_ratio=0.2 hides 0 of 4 time slots"),
        ("tube", 1.0, (4, 2, 2), "mask=tube with mask_ratio=1.0 hides 4 of 4 places of a frame"),
        ("random", -0.5, (4, 2, 2), "hides -8 of 16 tokens"),
    ],
)
def test_a_mask_of_nothing_or_everything_is_refused(kind: MaskKind, ratio: float, grid: Grid, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        hidden_count(kind, ratio, grid)
