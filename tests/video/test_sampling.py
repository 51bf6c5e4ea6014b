import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vssl.video.draws import sample_keys
from vssl.video.relations.base import Relation
from vssl.video.relations.centre import Centre
from vssl.video.relations.independent import Independent
from vssl.video.relations.same import Same
from vssl.video.sampling import (
    Pad,
    centre_start,
    clamped_stride,
    clip_indices,
    clip_indices_by_time,
    span,
    span_by_time,
    uniform_start,
)

CFR = np.arange(100) / 25


@pytest.mark.parametrize(("pad", "expected"), [("repeat_last", [95, 97, 99, 99, 99]), ("loop", [95, 97, 99, 1, 3])])
def test_past_the_end(pad: Pad, expected: list[int]) -> None:
    assert clip_indices(95, 5, 2, 100, pad).tolist() == expected


def test_refused_padding_names_what_is_missing() -> None:
    assert clip_indices(91, 5, 2, 100, "refuse").tolist() == [91, 93, 95, 97, 99]
    with pytest.raises(ValueError, match="5 frames of stride 2 from frame 92 need 101, there are 100"):
        clip_indices(92, 5, 2, 100, "refuse")


@pytest.mark.parametrize("start", [-1, 100])
def test_a_start_outside_the_video_is_refused(start: int) -> None:
    with pytest.raises(ValueError, match=f"start {start} is outside the video's 100 frames"):
        clip_indices(start, 5, 2, 100)
    with pytest.raises(ValueError, match=f"start {start} is outside the video's 100 frames"):
        clip_indices_by_time(CFR, start, 5, 10)


@given(
    number=st.floats(0, 1, exclude_max=True),
    frames=st.integers(1, 32),
    stride=st.integers(1, 8),
    video_len=st.integers(1, 300),
    pad=st.sampled_from(["repeat_last", "loop"]),
)
def test_indices_lie_in_the_video(number: float, frames: int, stride: int, video_len: int, pad: Pad) -> None:
    start = uniform_start(number, span(frames, stride), video_len)
    indices = clip_indices(start, frames, stride, video_len, pad)
    assert indices.dtype == np.int64
    assert len(indices) == frames
    assert indices.min() >= 0
    assert indices.max() < video_len
    if span(frames, stride) <= video_len:
        assert (np.diff(indices) == stride).all()
    else:
        assert start == 0


def test_every_start_that_fits_is_equally_likely() -> None:
    starts = [uniform_start((number + 0.5) / 8000, 15, 22) for number in range(8000)]
    assert np.bincount(starts).tolist() == [1000] * 8
    assert uniform_start(1 - 2**-53, 15, 22) == 7
    assert uniform_start(0.99, 22, 22) == uniform_start(0.99, 23, 22) == 0


@given(frames=st.integers(1, 32), stride=st.integers(1, 40), video_len=st.integers(1, 300))
def test_a_clamped_stride_is_the_largest_that_fits(frames: int, stride: int, video_len: int) -> None:
    fitting = [one for one in range(1, stride + 1) if span(frames, one) <= video_len]
    assert clamped_stride(frames, stride, video_len) == max(fitting, default=1)


def test_the_centre() -> None:
    assert [centre_start(4, length) for length in (2, 4, 5, 6, 10)] == [0, 0, 0, 1, 3]


def test_by_time_takes_the_nearest_frame() -> None:
    assert clip_indices_by_time(CFR, 10, 4, 12.5).tolist() == [10, 12, 14, 16]
    for start in range(90):  # 2.5 frame intervals apart: of two that are equally near the later one, whatever the start
        assert (clip_indices_by_time(CFR, start, 4, 10) - start).tolist() == [0, 3, 5, 8]
    rounded = np.round(np.arange(30) / 30, 3)  # a container that counts milliseconds
    assert clip_indices_by_time(rounded, 0, 10, 30).tolist() == list(range(10))
    varying = np.array([0.0, 0.1, 0.9, 1.0, 2.0])
    assert clip_indices_by_time(varying, 0, 3, 1).tolist() == [0, 3, 4]


def test_by_time_past_the_end() -> None:
    assert clip_indices_by_time(CFR, 97, 4, 12.5).tolist() == [97, 99, 99, 99]
    assert clip_indices_by_time(CFR, 96, 4, 12.5, "loop").tolist() == [96, 98, 0, 2]
    with pytest.raises(
        ValueError, match="4 frames at 12.5 fps from 3.880 s end at 4.120 s, the last frame is at 3.960"
    ):
        clip_indices_by_time(CFR, 97, 4, 12.5, "refuse")
    assert clip_indices_by_time(np.array([3.0]), 0, 3, 5).tolist() == [0, 0, 0]


def test_the_span_by_time_is_that_of_the_stride_at_a_constant_rate() -> None:
    assert span_by_time(CFR, 8, 12.5) == span(8, 2)
    assert span_by_time(CFR, 100, 25) == 100
    assert span_by_time(CFR, 101, 25) > 100


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=40), st.integers(2, 8), st.floats(0.5, 30))
def test_the_span_by_time_allows_exactly_the_starts_without_padding(gaps: list[float], frames: int, fps: float) -> None:
    times = np.cumsum(gaps)
    allowed = len(times) - span_by_time(times, frames, fps) + 1  # starts 0 .. allowed - 1
    for start in range(len(times)):
        try:
            clip_indices_by_time(times, start, frames, fps, "refuse")
        except ValueError:
            assert start >= allowed
        else:
            assert start < allowed


KEYS = sample_keys(0, 0, np.arange(2000)).tolist()


@pytest.mark.parametrize("relation", [Independent(), Same()])
def test_the_first_view_is_the_same_for_any_set_of_views(relation: Relation) -> None:
    for key in KEYS[:50]:
        alone = relation.starts(key, [15], 60)
        assert relation.starts(key, [15, 15], 60)[0] == relation.starts(key, [15, 40, 3], 60)[0] == alone[0]


def test_independent_views_are_uniform_and_independent() -> None:
    starts = np.array([Independent().starts(key, [15, 15], 22) for key in KEYS])
    pairs = np.bincount(starts[:, 0] * 8 + starts[:, 1], minlength=64)
    assert stats.chisquare(pairs).pvalue > 1e-3


def test_views_of_the_same_time_begin_together() -> None:
    starts = np.array([Same().starts(key, [15, 15, 20, 90], 22) for key in KEYS])
    assert (starts[:, 0] == starts[:, 1]).all()
    assert (starts[:, 2] == np.minimum(starts[:, 0], 2)).all()
    assert (starts[:, 3] == 0).all()
    assert np.unique(starts[:, 0]).tolist() == list(range(8))


def test_the_centre_draws_nothing() -> None:
    assert Centre().starts(1, [4, 10, 99], 10) == Centre().starts(2, [4, 10, 99], 10) == [3, 0, 0]
