"""The smallest difference that n seeds could show: against scipy's distribution, published sizes, and trials."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vssl.statistics import pooled_std, smallest_difference


def power(difference: float, std: float, n: int, alpha: float) -> float:
    """Of a two-sided paired t test to find a difference with its sign, by scipy's noncentral t."""
    critical = stats.t.ppf(1 - alpha / 2, n - 1)
    return float(stats.nct.sf(critical, n - 1, difference * np.sqrt(n) / std))


@pytest.mark.parametrize("n", [2, 3, 5, 10, 34])
@pytest.mark.parametrize(("alpha", "wanted"), [(0.05, 0.8), (0.01, 0.9), (0.05, 0.5)])
def test_it_is_found_as_often_as_asked_by_scipys_noncentral_t(n: int, alpha: float, wanted: float) -> None:
    found = smallest_difference(0.03, n, alpha, wanted)
    assert power(found, 0.03, n, alpha) == pytest.approx(wanted, abs=1e-6)


def test_sample_sizes_of_the_textbooks() -> None:
    """Paired t, two-sided 5 %, power 80 %: an effect of 0.5 takes 34 pairs, one of 0.8 takes 15 (G*Power's tables)."""
    for effect, pairs in ((0.5, 34), (0.8, 15)):
        assert smallest_difference(1.0, pairs) <= effect < smallest_difference(1.0, pairs - 1)


def test_it_is_found_as_often_in_trials() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.normal(smallest_difference(2.0, 3), 2.0, size=(20_000, 3))
    found = stats.ttest_1samp(drawn, 0.0, axis=1).pvalue < 0.05
    assert found.mean() == pytest.approx(0.8, abs=4 * np.sqrt(0.8 * 0.2 / 20_000))


@given(st.floats(0.001, 100), st.integers(2, 30))
def test_it_grows_with_the_spread_and_falls_with_seeds(std: float, n: int) -> None:
    assert smallest_difference(2 * std, n) == pytest.approx(2 * smallest_difference(std, n))
    assert smallest_difference(std, n + 1) < smallest_difference(std, n)


def test_no_spread_shows_everything() -> None:
    assert smallest_difference(0.0, 3) == 0.0


@pytest.mark.parametrize("given_", [(0.1, 1), (-0.1, 3), (0.1, 3, 0.0), (0.1, 3, 0.9)])
def test_what_makes_no_sense_is_refused(given_: tuple[float, int]) -> None:
    with pytest.raises(ValueError, match="are needed"):
        smallest_difference(*given_)


def test_pooled_over_pairs_of_methods_it_is_the_residual_of_an_analysis_of_variance() -> None:
    """Methods by seeds, without interaction: a difference of two has twice the residual's variance."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(4, 5)) + rng.normal(size=(4, 1)) + 3 * rng.normal(size=(1, 5))
    residual = table - table.mean(0) - table.mean(1)[:, None] + table.mean()
    differences = [table[a] - table[b] for a in range(4) for b in range(a)]
    assert pooled_std(differences) ** 2 == pytest.approx(2 * (residual**2).sum() / (3 * 4))


def test_pooling_weighs_by_degrees_of_freedom_and_leaves_single_values_out() -> None:
    assert pooled_std([[0.0, 2.0], [5.0], [1.0, 1.0, 1.0, 1.0]]) == pytest.approx(np.sqrt(2 / 4))
    with pytest.raises(ValueError, match="two or more"):
        pooled_std([[1.0], [2.0]])
