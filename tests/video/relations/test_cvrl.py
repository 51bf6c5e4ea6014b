import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vssl.video.draws import sample_keys
from vssl.video.relations.cvrl import Interval
from vssl.video.views import View, Views

VIEW = View(frames=16, size=32, stride=2)
SPAN, LENGTH, STARTS = 31, 250, 220  # the source's clip in a video of 250 frames


def drawn(relation: Interval, n: int, length: int = LENGTH) -> np.ndarray:
    keys = sample_keys(0, 0, np.arange(n)).tolist()
    return np.array([relation.starts(key, [SPAN, SPAN], length) for key in keys])


def cdf(k: float, count: int, power: float) -> float:
    """arXiv:2008.03800's family as the released code writes it."""
    return -(k ** (power + 1)) / (power * count ** (power + 1)) + k * (power + 1) / (power * count)


def test_the_inverse_at_given_numbers() -> None:
    assert [Interval().interval(u, STARTS) for u in (0.1, 0.25, 0.5, 0.75, 0.9)] == [11, 29, 64, 110, 150]


@given(number=st.floats(0, 1, exclude_max=True), count=st.integers(1, 3000))
def test_power_1_equals_the_closed_form(number: float, count: int) -> None:
    exact = count * (1 - math.sqrt(1 - number))
    found = Interval().interval(number, count)
    assert 0 <= found < count
    # At the border between two intervals rounding decides.
    assert found == math.floor(exact) or abs(exact - round(exact)) < 1e-5 * count


@given(
    number=st.floats(0, 1, exclude_max=True),
    count=st.integers(1, 3000),
    power=st.sampled_from([0.2, 0.5, 1.0, 2.0, 8.0]),
)
def test_the_inverse_of_any_power_undoes_the_distribution(number: float, count: int, power: float) -> None:
    k = Interval(power).interval(number, count)
    assert 0 <= k < count
    assert cdf(k, count, power) <= number + 1e-9
    assert k == count - 1 or cdf(k + 1, count, power) > number - 1e-9


@pytest.mark.parametrize("power", [0.5, 1.0, 3.0])
def test_intervals_have_their_law(power: float) -> None:
    starts = drawn(Interval(power), 20_000)
    found = np.bincount(np.abs(starts[:, 0] - starts[:, 1]), minlength=STARTS)
    expected = np.diff([cdf(k, STARTS, power) for k in range(STARTS + 1)]) * 20_000
    # The longest intervals are rare: those that would be expected less than ten times are counted together.
    rare = expected < 10
    counts = [np.append(one[~rare], one[rare].sum()) for one in (found, expected)]
    assert stats.chisquare(*counts).pvalue > 1e-4


def test_power_1_in_numbers() -> None:
    starts = drawn(Interval(), 100_000)
    intervals = np.abs(starts[:, 0] - starts[:, 1])
    assert abs(intervals.mean() - 72.8) < 0.5
    assert abs((intervals < STARTS / 2).mean() - 0.75) < 0.005
    assert intervals.max() < STARTS
    assert starts.min() == 0 and starts.max() == STARTS - 1


def test_the_earlier_start_is_uniform_and_a_toss_says_whose_it_is() -> None:
    starts = drawn(Interval(), 20_000)
    early = starts.min(axis=1)
    room = STARTS - (starts.max(axis=1) - early)
    assert (early < room).all()
    within = np.random.default_rng(0).random(len(early))  # spreads each whole number over its interval
    assert stats.kstest((early + within) / room, "uniform").pvalue > 1e-4
    apart = starts[starts[:, 0] != starts[:, 1]]
    assert stats.binomtest(int((apart[:, 0] < apart[:, 1]).sum()), len(apart), 0.5).pvalue > 1e-4
    first_is_earlier = apart[:, 0] < apart[:, 1]
    intervals = np.abs(apart[:, 0] - apart[:, 1])
    assert abs(np.corrcoef(first_is_earlier, intervals)[0, 1]) < 0.03


def test_a_video_of_exactly_one_start_gives_it_twice() -> None:
    assert {tuple(one) for one in drawn(Interval(), 50, length=SPAN).tolist()} == {(0, 0)}


def test_short_videos_have_two_independent_starts_anywhere() -> None:
    starts = drawn(Interval(), 20_000, length=SPAN - 1)
    for column in starts.T:
        assert stats.chisquare(np.bincount(column, minlength=SPAN - 1)).pvalue > 1e-4
    assert abs(np.corrcoef(starts.T)[0, 1]) < 0.03


def test_the_longer_clip_decides_where_both_fit() -> None:
    keys = sample_keys(0, 0, np.arange(2000)).tolist()
    starts = np.array([Interval().starts(key, [31, 61], 100) for key in keys])
    assert starts.max() == 39


@pytest.mark.parametrize("power", [0.0, -1.0])
def test_a_power_that_gives_no_law_is_refused(power: float) -> None:
    with pytest.raises(ValueError, match=f"power is {power}, allowed is more than 0"):
        Interval(power)


def test_other_than_two_views_are_refused() -> None:
    assert Views(relation=Interval(), a=VIEW, b=VIEW).names == ("a", "b")
    with pytest.raises(ValueError, match="an interval lies between two views, these are 1: clip"):
        Views(relation=Interval(), clip=VIEW)
