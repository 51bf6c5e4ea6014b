"""Paired tests against scipy, against resampling by hand, and by how often they err."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vssl.statistics import Paired, bootstrap_interval, holm, mcnemar, paired_bootstrap, paired_over_seeds

Rights = st.integers(1, 40).flatmap(
    lambda n: st.tuples(*(st.lists(st.booleans(), min_size=n, max_size=n) for _ in range(2)))
)


@given(Rights)
def test_mcnemar_equals_scipys_binomial_test_and_knows_no_order(pair: tuple[list[bool], list[bool]]) -> None:
    a, b = pair
    only_a = sum(one and not other for one, other in zip(a, b, strict=True))
    only_b = sum(other and not one for one, other in zip(a, b, strict=True))
    expected = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert mcnemar(a, b) == pytest.approx(expected, rel=1e-9)
    assert mcnemar(a, b) == mcnemar(b, a) == mcnemar(a[::-1], b[::-1])
    assert 0 < mcnemar(a, b, mid_p=True) <= mcnemar(a, b) <= 1


def test_the_mid_p_counts_the_observation_by_half() -> None:
    for only_a, only_b in ((1, 9), (4, 4), (0, 6), (7, 12), (1, 0)):
        a, b = [1] * only_a + [0] * only_b + [1, 0], [0] * only_a + [1] * only_b + [1, 0]
        n = only_a + only_b
        off = abs(only_a - n / 2)
        shares = {k: math.comb(n, k) / 2**n for k in range(n + 1)}
        more = sum(share for k, share in shares.items() if abs(k - n / 2) > off)
        equally = sum(share for k, share in shares.items() if abs(k - n / 2) == off)
        assert mcnemar(a, b, mid_p=True) == pytest.approx(more + equally / 2, rel=1e-9)


def test_mcnemar_is_the_sign_flip_test_of_the_paired_difference() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(12) < 0.8, rng.random(12) < 0.4
    each = a.astype(int) - b.astype(int)
    flips = np.array(list(itertools.product((-1, 1), repeat=12))) @ each
    assert mcnemar(a, b) == pytest.approx((np.abs(flips) >= abs(each.sum())).mean())


def test_the_paired_bootstrap_equals_drawing_videos_by_hand() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(200) < 0.6, rng.random(200) < 0.5
    found = paired_bootstrap(a, b, n=20_000)
    drawn = rng.integers(0, 200, size=(20_000, 200))
    by_hand = a[drawn].mean(axis=1) - b[drawn].mean(axis=1)
    assert found.difference == pytest.approx(a.mean() - b.mean())
    assert (found.low, found.high) == pytest.approx(np.quantile(by_hand, [0.025, 0.975]), abs=0.006)
    assert found.p == pytest.approx(2 * min((by_hand <= 0).mean(), (by_hand >= 0).mean()), abs=0.01)


def test_pairing_narrows_what_the_same_videos_make_hard_for_both() -> None:
    rng = np.random.default_rng(0)
    hard = rng.random(400)
    a, b = hard < 0.62, hard < 0.58
    found = paired_bootstrap(a, b)
    assert found.low > 0 and mcnemar(a, b) < 0.001
    mine, theirs = bootstrap_interval(a), bootstrap_interval(b)
    assert mine[0] < theirs[1], "each alone, their intervals overlap"


@given(Rights)
def test_the_paired_bootstrap_turns_with_its_arguments(pair: tuple[list[bool], list[bool]]) -> None:
    forth, back = paired_bootstrap(*pair, n=200), paired_bootstrap(*pair[::-1], n=200)
    assert forth.difference == -back.difference
    same = paired_bootstrap(pair[0], pair[0], n=200)
    assert (same.difference, same.low, same.high, same.p) == (0, 0, 0, 1)
    assert 2 / 201 <= forth.p <= 1


def crossed(rng: np.random.Generator, of_seed: float, of_video: float, seeds: int = 4, videos: int = 60) -> Any:
    """[S, N] of no true difference: an effect of the seed, one of the video, one of both."""
    return (
        of_seed * rng.normal(size=(seeds, 1))
        + of_video * rng.normal(size=(1, videos))
        + 0.3 * rng.normal(size=(seeds, videos))
    )


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize(("of_seed", "of_video"), [(0.0, 1.0), (0.1, 1.0), (0.5, 0.2), (0.5, 0.0)])
def test_seeds_and_videos_together_err_no_more_often_than_they_say(seeds: int, of_seed: float, of_video: float) -> None:
    rng = np.random.default_rng(0)
    zero = np.zeros((seeds, 60))
    found = [paired_over_seeds(crossed(rng, of_seed, of_video, seeds), zero) for _ in range(1000)]
    outside = float(np.mean([not one.low <= 0 <= one.high for one in found]))
    assert outside <= 0.07  # 5 % and three standard errors
    assert outside == np.mean([one.p < 0.05 for one in found]), "p and interval agree"
    if of_seed > of_video:
        assert outside >= 0.03, "where seeds decide, the interval is Student's and no wider"


def test_videos_alone_would_err_often_where_seeds_differ() -> None:
    """Why seeds enter: what looks certain over videos is luck of the seeds."""
    rng = np.random.default_rng(0)
    means = [crossed(rng, 0.5, 0.2).mean(axis=0) for _ in range(200)]
    found = [paired_bootstrap(mean, np.zeros(60), n=200) for mean in means]
    assert np.mean([not one.low <= 0 <= one.high for one in found]) > 0.5


def test_it_is_students_paired_test_where_only_seeds_vary() -> None:
    a = np.array([[0.5], [0.9], [0.6]]) @ np.ones((1, 2))
    b = np.array([[0.4], [0.5], [0.6]]) @ np.ones((1, 2))
    reference = stats.ttest_rel(a[:, 0], b[:, 0])
    found, interval = paired_over_seeds(a, b), reference.confidence_interval()
    assert (found.p, found.low, found.high) == pytest.approx((reference.pvalue, interval.low, interval.high))


def test_no_spread_at_all() -> None:
    equal, better = np.zeros((2, 10)), np.ones((2, 10))
    assert paired_over_seeds(equal, equal) == Paired(0, 0, 0, 1)
    assert paired_over_seeds(better, equal) == Paired(1, 1, 1, mcnemar(better[0], equal[0]))


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
    with pytest.raises(ValueError, match="p values must lie in"):
        holm([1.1])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.randoms())
def test_holm_keeps_the_order_and_lies_between_no_and_bonferronis_correction(values: list[float], order: Any) -> None:
    adjusted = holm(values)
    assert all(p <= q <= min(1, len(values) * p) for p, q in zip(values, adjusted, strict=True))
    by_p = sorted(zip(values, adjusted, strict=True))
    assert [q for _, q in by_p] == sorted(adjusted)
    places = list(range(len(values)))
    order.shuffle(places)
    assert holm([values[place] for place in places]) == [adjusted[place] for place in places]


def test_holm_errs_in_one_of_twenty_families() -> None:
    rng = np.random.default_rng(0)
    wrong = [min(holm(list(rng.random(10)))) < 0.05 for _ in range(2000)]
    assert np.mean(wrong) == pytest.approx(0.05, abs=0.015)


@pytest.mark.parametrize("test", [mcnemar, paired_bootstrap])
def test_lists_that_do_not_pair_are_refused(test: Any) -> None:
    for a, b in (([1, 0], [1]), ([], []), ([[1]], [[1]])):
        with pytest.raises(ValueError, match="two lists of the same videos"):
            test(a, b)


def test_mcnemar_takes_right_and_wrong_only() -> None:
    with pytest.raises(ValueError, match="right or wrong"):
        mcnemar([0.5, 1.0], [0, 1])


@pytest.mark.parametrize("shape", [(1, 9), (3, 1), (9,)])
def test_one_seed_is_not_taken_for_several(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="seeds >= 2"):
        paired_over_seeds(np.ones(shape), np.ones(shape))
