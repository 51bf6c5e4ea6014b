import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vssl.video.draws import sample_keys
from vssl.video.relations.independent import Independent
from vssl.video.relations.nested import Nested


@given(
    key=st.integers(0, 2**62),
    first=st.integers(1, 60),
    others=st.lists(st.integers(1, 60), max_size=3),
    length=st.integers(1, 80),
)
def test_the_longer_contains_the_shorter_wherever_both_fit(
    key: int, first: int, others: list[int], length: int
) -> None:
    start, *starts = Nested().starts(key, [first, *others], length)
    assert 0 <= start < length
    for other, span in zip(starts, others, strict=True):
        assert 0 <= other < length
        if max(first, span) <= length:
            (outer, end), (inner, inner_end) = sorted(
                [(start, start + first), (other, other + span)], key=lambda view: view[0] - view[1]
            )
            assert outer <= inner and inner_end <= end <= length
        elif span > length:
            assert other == 0
        else:
            assert other + span <= length


def test_the_first_view_is_that_of_independent_views() -> None:
    for key in sample_keys(0, 0, np.arange(50)).tolist():
        assert Nested().starts(key, [15, 57], 100)[0] == Independent().starts(key, [15, 57], 100)[0]
        assert Nested().starts(key, [15, 57], 40)[0] == Independent().starts(key, [15], 40)[0]


def test_the_other_view_is_uniform_where_it_may_begin() -> None:
    keys = sample_keys(1, 0, np.arange(30_000)).tolist()
    starts = np.array([Nested().starts(key, [11, 31], 100) for key in keys])
    middle = starts[(starts[:, 0] >= 20) & (starts[:, 0] <= 69)]  # far from both ends of the video
    assert stats.chisquare(np.bincount(middle[:, 0] - middle[:, 1], minlength=21)).pvalue > 1e-4
    inside = np.array([Nested().starts(key, [31, 11], 100) for key in keys])
    assert stats.chisquare(np.bincount(inside[:, 1] - inside[:, 0], minlength=21)).pvalue > 1e-4
