"""Ranks under the bootstrap against enumeration, and agreement of orders against scipy."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vssl.statistics import kendalls_w, rank_probabilities, tau_b


def by_enumeration(right: np.ndarray, drawn_seeds: int) -> np.ndarray:  # type: ignore[type-arg]
    """Every resample of seeds and videos once, ranks of ties shared out over all orders of the tied."""
    methods, seeds, videos = right.shape
    found, total = np.zeros((methods, methods)), 0
    for of_seeds in itertools.product(range(seeds), repeat=drawn_seeds):
        for of_videos in itertools.product(range(videos), repeat=videos):
            scores = right[:, list(of_seeds)][:, :, list(of_videos)].sum(axis=(1, 2))
            orders = [
                order
                for order in itertools.permutations(range(methods))
                if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order))
            ]
            for order in orders:
                for rank, method in enumerate(order):
                    found[method, rank] += 1 / len(orders)
            total += 1
    return found / total


@pytest.mark.parametrize(("seeds", "drawn"), [(1, 1), (2, 1), (3, 2)])
def test_it_is_the_share_of_all_resamples(seeds: int, drawn: int) -> None:
    right = np.random.default_rng(seeds).random((3, seeds, 4)) < 0.5
    n = 40_000
    assert rank_probabilities(right, n) == pytest.approx(by_enumeration(right, drawn), abs=4.5 * 0.5 / math.sqrt(n))


@given(st.integers(1, 5), st.integers(1, 3), st.integers(1, 12), st.integers(0, 9))
def test_every_rank_is_taken_and_every_method_has_one(methods: int, seeds: int, videos: int, key: int) -> None:
    right = np.random.default_rng(key).random((methods, seeds, videos)) < 0.5
    found = rank_probabilities(right, n=50)
    assert found.sum(axis=0) == pytest.approx(1) and found.sum(axis=1) == pytest.approx(1)
    assert np.array_equal(found, rank_probabilities(right[:, :, ::-1], n=50)), "videos stand in no order"


def test_the_same_answers_share_their_ranks_and_better_ones_come_first() -> None:
    right = np.zeros((3, 1, 50))
    right[0], right[1:, :, :20] = 1, 1
    assert rank_probabilities(right, n=200) == pytest.approx(np.array([[1, 0, 0], [0, 0.5, 0.5], [0, 0.5, 0.5]]))


def test_videos_are_the_same_for_all() -> None:
    """A method that is right wherever another is, and once more, is never behind it; drawn apart it often would be."""
    right = np.random.default_rng(0).random((1, 1, 100)) < 0.5
    better = right.copy()
    better[0, 0, np.flatnonzero(~right[0, 0])[:8]] = True
    assert rank_probabilities(np.concatenate([right, better]))[0, 0] < 0.01


def test_seeds_are_drawn_with_the_variance_of_their_mean() -> None:
    """Two methods whose seeds differ much and whose videos agree: as often ahead as the normal law says, not more."""
    rng = np.random.default_rng(0)
    seeds, videos = 20, 200
    shares = 0.5 + 0.1 * rng.normal(size=(2, seeds))
    right = np.arange(videos)[None, None] < videos * shares[:, :, None]
    each = right.mean(axis=2)[0] - right.mean(axis=2)[1]
    expected = stats.norm.sf(0, each.mean(), each.std(ddof=1) / math.sqrt(seeds))
    assert rank_probabilities(right)[0, 0] == pytest.approx(expected, abs=0.06)


@pytest.mark.parametrize("wrong", [np.zeros((2, 3)), np.zeros((2, 0, 3)), np.full((2, 1, 3), 0.5)])
def test_answers_of_another_form_are_refused(wrong: np.ndarray) -> None:  # type: ignore[type-arg]
    with pytest.raises(ValueError, match="right or wrong is asked for"):
        rank_probabilities(wrong)


Orders = st.tuples(st.integers(2, 5), st.integers(3, 6)).flatmap(
    lambda size: st.lists(
        st.lists(st.integers(0, 4), min_size=size[1], max_size=size[1]), min_size=size[0], max_size=size[0]
    )
)


@given(Orders)
def test_w_is_friedmans_statistic_of_scipy(orders: list[list[int]]) -> None:
    found = kendalls_w(orders)
    if all(len(set(order)) == 1 for order in orders):
        assert math.isnan(found)
        return
    m, n = len(orders), len(orders[0])
    chi_squared = stats.friedmanchisquare(*np.array(orders).T).statistic
    assert found == pytest.approx(chi_squared / (m * (n - 1)), abs=1e-12)
    assert 0 <= found <= 1 + 1e-12


def test_w_by_hand_and_its_ends() -> None:
    assert kendalls_w([[3, 2, 1]] * 4) == 1
    assert kendalls_w([[1, 2, 3], [3, 2, 1]]) == 0
    assert kendalls_w([[1, 1, 2], [1, 1, 2]]) == 1, "equal orders agree fully, ties or not"


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=8))
def test_tau_b_equals_scipys(pairs: list[tuple[int, int]]) -> None:
    a, b = zip(*pairs, strict=True)
    assert tau_b(a, b) == pytest.approx(stats.kendalltau(a, b, variant="b").statistic, nan_ok=True)


def test_orders_that_do_not_pair_are_refused() -> None:
    for wrong in ([[1, 2]], [[1], [2]], [[1, math.nan], [1, 2]]):
        with pytest.raises(ValueError, match="two or more orders"):
            kendalls_w(wrong)
    for a, b in (([1], [1]), ([1, 2], [1])):
        with pytest.raises(ValueError, match="same two or more things"):
            tau_b(a, b)


def test_three_rows_agree_by_chance_in_one_order_of_six() -> None:
    """What the note under the table says: full agreement in 1 of n! orders."""
    counts = Counter(tau_b((1, 2, 3), order) for order in itertools.permutations((1, 2, 3)))
    assert counts[1.0] == 1 and sum(counts.values()) == math.factorial(3)
