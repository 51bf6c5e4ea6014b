import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from vssl.nn.masks import (
    Grid,
    MaskKind,
    block_cover,
    draws,
    dropped_count,
    dropped_tokens,
    hidden_count,
    hidden_tokens,
    split_tokens,
    units,
)

EVEN: tuple[MaskKind, ...] = ("tube", "random", "frame")
KINDS: tuple[MaskKind, ...] = (*EVEN, "block")


def _noise(kind: MaskKind, grid: Grid, batch: int = 3, seed: int = 0) -> Tensor:
    return torch.rand(batch, draws(kind, grid), generator=torch.Generator().manual_seed(seed))


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


@pytest.mark.parametrize("kind", EVEN)
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


# Published share of hidden tokens in percent (arXiv:2106.11250, table of mask ratios), by grid and number of blocks.
@pytest.mark.parametrize(
    ("grid", "published"),
    [
        ((5, 16, 16), {4: 11.9, 5: 14.5, 6: 17.0, 7: 19.4, 8: 21.7}),
        ((5, 32, 32), {4: 10.6, 5: 13.1, 6: 15.2, 7: 17.5, 8: 19.5}),
        ((10, 16, 16), {4: 10.4, 5: 12.8, 6: 15.0, 7: 17.1, 8: 19.2}),
        ((10, 32, 32), {4: 9.3, 5: 11.4, 6: 13.4, 7: 15.4, 8: 17.2}),
    ],
    ids=str,
)
def test_unions_of_blocks_hide_the_published_share(grid: Grid, published: dict[int, float]) -> None:
    noise = torch.rand(1500, 6 * 8, generator=torch.Generator().manual_seed(0))
    cover = block_cover(noise, grid)
    for blocks, percent in published.items():
        share = cover[:, :blocks].any(dim=1).float().mean().item()
        assert 100 * share == pytest.approx(percent, abs=0.5)


def test_blocks_are_cuboids_at_the_drawn_places() -> None:
    grid = (5, 6, 8)
    noise = torch.rand(4, 6 * 3, generator=torch.Generator().manual_seed(1))
    cover = block_cover(noise, grid).view(4, 3, *grid)
    for row, numbers in enumerate(noise.view(4, 3, 2, 3).tolist()):
        for block, (sizes, corners) in enumerate(numbers):
            lengths = [1 + int(number * limit) for number, limit in zip(sizes, (3, 3, 4), strict=True)]
            starts = [int(u * (n - size + 1)) for u, n, size in zip(corners, grid, lengths, strict=True)]
            expected = torch.zeros(grid, dtype=torch.bool)
            t, h, w = (slice(start, start + size) for start, size in zip(starts, lengths, strict=True))
            expected[t, h, w] = True
            assert torch.equal(cover[row, block], expected)


@given(ratio=st.sampled_from([0.14, 0.5, 0.9, 0.99]), seed=st.integers(0, 50))
def test_a_block_mask_is_a_union_of_blocks_up_to_the_last_one(ratio: float, seed: int) -> None:
    grid = (4, 6, 6)
    noise = _noise("block", grid, batch=2, seed=seed)
    hidden = hidden_tokens(noise, "block", ratio, grid)
    union = block_cover(noise, grid).cumsum(dim=1) > 0
    for row, unions in zip(hidden, union, strict=True):
        whole = [part for part in unions if part.sum() <= row.sum()]
        assert not whole or (row | whole[-1]).sum() == row.sum()
        if len(whole) < len(unions):
            assert not (row & ~unions[len(whole)]).any()


def test_blocks_fit_into_the_smallest_grid() -> None:
    assert hidden_tokens(_noise("block", (1, 1, 2)), "block", 0.5, (1, 1, 2)).sum(dim=1).tolist() == [1, 1, 1]


def _cells(ratio: float, place: float = 0.0, grid: Grid = (5, 2, 2)) -> list[str]:
    dropped = dropped_tokens(torch.tensor([[place]]), "running_cell", ratio, grid)
    return ["".join(str(int(value)) for value in slot) for slot in dropped.view(grid[0], -1)]


def test_running_cells_are_the_official_ones() -> None:
    assert _cells(0.5) == ["1001", "0011", "0110", "1100", "1001"]
    assert _cells(0.75) == ["1101", "1011", "0111", "1110", "1101"]
    assert _cells(0.5, place=0.26)[0] == _cells(0.5)[1]  # the second of four masks begins one time slot later
    assert _cells(0.5, grid=(1, 2, 4)) == ["10100101"]


def test_running_cells_drop_every_place_equally_often() -> None:
    grid = (8, 14, 14)
    dropped = dropped_tokens(torch.tensor([[0.0], [0.3], [0.6], [0.9]]), "running_cell", 0.5, grid)
    assert dropped_count("running_cell", 0.5, grid) == 784
    assert dropped.sum(dim=1).tolist() == [784] * 4
    assert len(dropped.unique(dim=0)) == 4
    assert (dropped.view(4, 2, 4, 196).sum(dim=2) == 2).all()  # of every four time slots in a row, two
    assert (dropped.float().mean(dim=0) == 0.5).all()


@pytest.mark.parametrize(
    ("ratio", "grid", "text"),
    [
        (0.2, (2, 2, 2), "decoder_mask_ratio=0.2 drops 0 of 4 places"),
        (1.0, (2, 2, 2), "drops 4 of 4 places of a cell"),
        (0.5, (8, 7, 7), "needs even numbers of rows and columns, and the grid has 7 x 7 places"),
    ],
)
def test_cells_that_cannot_run_are_refused(ratio: float, grid: Grid, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        dropped_tokens(torch.zeros(1, 1), "running_cell", ratio, grid)
