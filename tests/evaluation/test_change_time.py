import pytest
import torch
from torch import Tensor

from vssl.evaluation.change_time import (
    DoubleSpeed,
    HalfSpeed,
    Reversed,
    Shuffled,
    SingleFrame,
    StaticFrame,
    shuffled_order,
    time_changes,
)
from vssl.video.views import Clip

KEYS = torch.arange(400, dtype=torch.int64) * 7919


def numbered(videos: int, frames: int) -> Tensor:
    """uint8 [B, T, 3, 2, 2]: every pixel of frame t of video b is 10 b + t."""
    level = 10 * torch.arange(videos)[:, None] + torch.arange(frames)
    return level.to(torch.uint8)[:, :, None, None, None].expand(-1, -1, 3, 2, 2).contiguous()


def shown(clips: Tensor) -> list[list[int]]:
    assert (clips == clips[..., :1, :1, :1]).all(), "whole frames"
    return clips[:, :, 0, 0, 0].tolist()


@pytest.mark.parametrize("frames", [2, 3, 8])
def test_an_order_is_a_permutation_and_never_the_own(frames: int) -> None:
    order = shuffled_order(KEYS, frames)
    assert (order.sort(dim=1).values == torch.arange(frames)).all()
    assert (order != torch.arange(frames)).any(dim=1).all()
    if frames == 3:  # all five others come up
        assert len({tuple(row) for row in order.tolist()}) == 5


def test_the_order_is_the_videos_own_whatever_its_batch() -> None:
    clips, key = numbered(6, 5), KEYS[:6]
    together = Shuffled().apply(clips, key)
    assert torch.equal(together[2:4], Shuffled().apply(clips[2:4], key[2:4]))
    assert shown(together) != shown(Shuffled().apply(clips, key + 1))
    assert [sorted(row) for row in shown(together)] == shown(clips)


def test_what_is_shown() -> None:
    clips, key = numbered(2, 4), KEYS[:2]
    assert shown(Reversed().apply(clips, key)) == [[3, 2, 1, 0], [13, 12, 11, 10]]
    assert shown(SingleFrame().apply(clips, key)) == [[2] * 4, [12] * 4]
    assert shown(StaticFrame().apply(numbered(1, 5), key[:1])) == [[2] * 5]
    assert shown(HalfSpeed(held=True).apply(numbered(1, 8), key[:1])) == [[2, 2, 3, 3, 4, 4, 5, 5]]
    for change in (DoubleSpeed(), HalfSpeed(held=False)):
        assert torch.equal(change.apply(clips, key), clips)


@pytest.mark.parametrize(("stride", "half"), [(4, 2), (2, 1), (1, 1), (3, 3)])
def test_speeds_are_other_strides_where_there_are_some(stride: int, half: int) -> None:
    clip = Clip(frames=8, stride=stride, size=32)
    changes = time_changes(clip)
    assert changes["double_speed"].clip(clip) == Clip(8, 2 * stride, 32)
    assert changes["half_speed"].clip(clip) == Clip(8, half, 32)
    assert changes["half_speed"].settings() == {"name": "half_speed", "held": half == stride}
    assert changes["shuffled"].clip(clip) == clip


def test_names_are_the_classes_own() -> None:
    assert {name: change.name for name, change in time_changes(Clip()).items()} == {
        name: name for name in ("shuffled", "reversed", "single_frame", "static_frame", "double_speed", "half_speed")
    }
