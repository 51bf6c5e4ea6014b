"""The released codes' frames, by the test vectors of the recipe, and what holds for every length."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vssl.video.published import (
    crops_along,
    dense,
    dense_ends,
    dense_views,
    segment_views,
    segments,
    walk,
    walk_starts,
)


def every(stride: int, last: int, first: int = 0) -> list[int]:
    return list(range(first, last + 1, stride))


@pytest.mark.parametrize(
    ("video_len", "start", "stride", "expected"),
    [
        (300, 0, 4, every(4, 60)),
        (300, 236, 4, every(4, 296, 236)),
        *((n, 0, 4, every(4, 60)) for n in (64, 63, 62)),
        (61, 0, 4, [*every(4, 56), 56]),
        *((n, 0, 4, [*every(4, 28), *[28] * 8]) for n in (33, 32, 30)),
        (29, 0, 4, [*every(4, 24), *[24] * 9]),
        (17, 0, 4, [0, 4, 8, *[12] * 13]),
        (5, 0, 4, [0] * 16),
        (1, 0, 4, [0] * 16),
        (32, 0, 2, every(2, 30)),
        (31, 0, 2, [*every(2, 28), 28]),
        (24, 0, 2, [*every(2, 22), *[22] * 4]),
    ],
)
def test_pretraining_by_the_recipes_vectors(video_len: int, start: int, stride: int, expected: list[int]) -> None:
    assert walk(start, 16, stride, video_len).tolist() == expected


def test_pretraining_draws_from_as_many_starts_as_the_code() -> None:
    assert walk_starts(16, 4, 300) == 237 and walk_starts(16, 4, 64) == 1 and walk_starts(16, 2, 10) == 1


@pytest.mark.parametrize(
    ("video_len", "end", "expected"),
    [
        (300, 64, "0 4 8 12 17 21 25 29 34 38 42 46 51 55 59 63"),
        (300, 299, "235 239 243 247 252 256 260 264 269 273 277 281 286 290 294 298"),
        (63, 0, "0 4 9 13 18 22 27 31 36 40 45 49 54 58 62 62"),
        (40, 0, "0 4 8 13 17 22 26 31 35 39 39 39 39 39 39 39"),
        (20, 0, "0 5 10 15 19 19 19 19 19 19 19 19 19 19 19 19"),
        (16, 0, "0 5 10 15 15 15 15 15 15 15 15 15 15 15 15 15"),
        (8, 0, "0 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7"),
        (3, 0, "2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2"),
    ],
)
def test_finetuning_by_the_recipes_vectors(video_len: int, end: int, expected: str) -> None:
    assert dense(end, 16, 4, video_len).tolist() == [int(index) for index in expected.split()]


def test_finetuning_never_starts_where_the_last_clip_would() -> None:
    assert (dense_ends(16, 4, 300).start, dense_ends(16, 4, 300)[-1]) == (64, 299)
    assert len(dense_ends(16, 4, 64)) == 1 and len(dense_ends(16, 4, 65)) == 1


@pytest.mark.parametrize(
    ("video_len", "firsts", "last"),
    [
        (300, [0, 56, 116, 176, 236], 296),
        (250, [0, 44, 92, 140, 188], 248),
        (150, [0, 20, 44, 64, 88], 148),
        (64, [0] * 5, 60),
        (40, [0] * 5, 36),
    ],
)
def test_dense_test_views_by_the_recipes_vectors(video_len: int, firsts: list[int], last: int) -> None:
    views = dense_views(5, 16, 4, video_len)
    assert [view[0] for view in views] == firsts and views[-1][-1] == last
    assert all(len(view) == 16 for view in views)


def test_short_videos_repeat_their_last_strided_frame_in_a_test() -> None:
    assert dense_views(5, 16, 4, 40)[2].tolist() == [*every(4, 36), *[36] * 6]
    assert dense_views(1, 16, 4, 300)[0][0] == 0


@pytest.mark.parametrize(
    ("video_len", "first", "second"),
    [
        (48, every(3, 45), every(3, 46, 1)),
        (
            45,
            [0, 2, 5, 8, 11, 14, 16, 19, 22, 25, 28, 30, 33, 36, 39, 42],
            [1, 4, 7, 9, 12, 15, 18, 21, 23, 26, 29, 32, 35, 37, 40, 43],
        ),
        (12, [0, 0, 1, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9, 9, 10, 11], None),
    ],
)
def test_segment_test_views_by_the_recipes_vectors(video_len: int, first: list[int], second: list[int] | None) -> None:
    views = segment_views(2, 16, video_len)
    assert views[0].tolist() == first
    assert second is None or views[1].tolist() == second


def test_segments_of_a_hundred_frames() -> None:
    first, second = segment_views(2, 16, 100)
    assert first.tolist()[:9] == [0, 6, 12, 18, 25, 31, 37, 43, 50] and first[-1] == 93
    assert second.tolist()[:5] == [3, 9, 15, 21, 28] and second[-1] == 96
    assert segments([0.0] * 16, 100).tolist() == every(6, 90)
    assert segments([0.999] * 16, 100).tolist() == every(6, 95, 5)
    assert segments([0.5] * 16, 15).tolist() == [0] * 16


@pytest.mark.parametrize(
    ("long", "expected"), [(256, [0, 16, 32]), (298, [0, 37, 74]), (299, [0, 37, 75]), (398, [0, 87, 174])]
)
def test_crops_by_the_recipes_vectors(long: int, expected: list[int]) -> None:
    assert crops_along(3, long, 224) == expected
    assert crops_along(1, long, 224) == [(long - 224) // 2]


@given(
    frames=st.integers(1, 32),
    stride=st.integers(1, 8),
    video_len=st.integers(1, 400),
    number=st.floats(0, 1, exclude_max=True),
    count=st.integers(1, 10),
)
def test_every_clip_lies_in_the_video_in_order_and_whole(
    frames: int, stride: int, video_len: int, number: float, count: int
) -> None:
    ends = dense_ends(frames, stride, video_len)
    clips = [
        walk(int(number * walk_starts(frames, stride, video_len)), frames, stride, video_len),
        dense(ends[int(number * len(ends))], frames, stride, video_len),
        segments([number] * frames, video_len),
        *dense_views(count, frames, stride, video_len),
        *segment_views(count, frames, video_len),
    ]
    for clip in clips:
        assert clip.shape == (frames,) and clip.min() >= 0 and clip.max() < video_len
        assert (np.diff(clip) >= 0).all()
