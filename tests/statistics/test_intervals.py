"""Intervals of one number against scipy and against resampling by hand."""

import numpy as np
import pytest
from scipy import stats

from vssl.statistics import bootstrap_interval, mean_std_t


@pytest.mark.parametrize("share", [0.1, 0.5, 0.83])
def test_the_bootstrap_equals_scipys(share: float) -> None:
    right = (np.arange(400) < share * 400).astype(float)
    own = bootstrap_interval(right, n=20_000)
    rng = np.random.default_rng(1)
    theirs = stats.bootstrap((right,), np.mean, n_resamples=20_000, method="percentile", rng=rng).confidence_interval
    assert own == pytest.approx(tuple(theirs), abs=0.004)


def test_it_resamples_values_that_are_no_yes_or_no() -> None:
    values = np.random.default_rng(0).normal(size=50)
    rng = np.random.default_rng(1)
    by_hand = [rng.choice(values, 50).mean() for _ in range(20_000)]
    assert bootstrap_interval(values, n=20_000) == pytest.approx(np.quantile(by_hand, [0.025, 0.975]), abs=0.01)


def test_level_seed_and_order() -> None:
    right = [True] * 30 + [False] * 70
    narrow, wide = bootstrap_interval(right, level=0.5), bootstrap_interval(right, level=0.99)
    assert wide[0] < narrow[0] < 0.3 < narrow[1] < wide[1]
    assert bootstrap_interval(right) == bootstrap_interval(right[::-1]) == bootstrap_interval(right, seed=0)
    assert bootstrap_interval([1, 1, 1]) == (1.0, 1.0)


@pytest.mark.parametrize("values", [[], [[1.0]], [float("nan")]])
def test_it_refuses_what_is_no_list_of_numbers(values: list[float]) -> None:
    with pytest.raises(ValueError, match="one or more finite numbers"):
        bootstrap_interval(values)


def test_the_t_interval_equals_scipys() -> None:
    values = [0.41, 0.44, 0.40, 0.47]
    summary = mean_std_t(values)
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert (summary.mean, summary.std) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    assert (summary.low, summary.high) == pytest.approx((low, high))


def test_few_seeds_say_little() -> None:
    one, two = mean_std_t([0.5]), mean_std_t([0.4, 0.6])
    assert (one.std, one.low) == (None, None)
    assert two.std == pytest.approx(np.sqrt(0.02)) and two.low is None
    with pytest.raises(ValueError, match="no values"):
        mean_std_t([])
