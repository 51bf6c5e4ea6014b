from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from timm.data.random_erasing import RandomErasing
from torch import Tensor
from torchvision.transforms.v2 import functional as reference

from tests.video.augmentation.on_gpu import never_waited_for
from vssl.video.augmentation.augment import apply, draw
from vssl.video.augmentation.erase import Erase
from vssl.video.draws import sample_keys
from vssl.video.views import Augment

SIZE = 24
BARE = Augment(flip=0.0, jitter_p=0.0, grey_p=0.0, blur_p=0.0)
ALWAYS = replace(BARE, erase=Erase(probability=1.0))
KEYS = torch.from_numpy(sample_keys(0, 0, np.arange(32)))
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def clips(n: int) -> Tensor:
    return torch.randint(0, 256, (n, 3, 3, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(n))


def boxes(augment: Augment, n: int, size: int = SIZE, position: int = 0) -> Any:
    drawn = draw(torch.from_numpy(sample_keys(2, 0, np.arange(n))), position, augment, True, size=size)
    assert drawn.erased is not None
    return drawn.erased.box


def timms_boxes(n: int, size: int) -> Any:
    """Of single frames, found by what is no longer 1."""
    erasing, found = RandomErasing(probability=1.0, min_aspect=0.5, max_aspect=3.0, mode="const", device="cpu"), []
    torch.manual_seed(0)
    for _ in range(n):
        rows, columns = (erasing(torch.ones(3, size, size))[0] == 0).nonzero().T
        found.append([rows.min(), columns.min(), rows.max() - rows.min() + 1, columns.max() - columns.min() + 1])
    return np.array(found)


@pytest.mark.parametrize("size", [12, 48])
def test_rectangles_have_timms_law(size: int) -> None:
    tall = replace(BARE, erase=Erase(probability=1.0, ratio=(0.5, 3.0)))
    found, expected = boxes(tall, 3000, size), timms_boxes(3000, size)
    for column, name in enumerate(("top", "left", "height", "width")):
        assert stats.ks_2samp(found[:, column], expected[:, column]).pvalue > 1e-4, name
    areas = [box[:, 2] * box[:, 3] for box in (found, expected)]
    assert stats.ks_2samp(*areas).pvalue > 1e-4
    ratios = [box[:, 2] / box[:, 3] for box in (found, expected)]
    assert stats.ks_2samp(*ratios).pvalue > 1e-4
    assert (found[:, :2] >= 0).all()
    assert (found[:, :2] + found[:, 2:] <= size).all()
    assert (found[:, 2:] < size).all()
    assert (found[:, 0] + found[:, 2] == size).any(), "the last row can be erased"


def test_a_quarter_is_erased_by_default() -> None:
    happened = boxes(replace(BARE, erase=Erase()), 10_000)[:, 2] > 0
    assert stats.binomtest(int(happened.sum()), 10_000, 0.25).pvalue > 1e-4


def test_where_no_rectangle_fits_nothing_is_erased() -> None:
    assert not boxes(replace(BARE, erase=Erase(probability=1.0, area=(1.0, 1.0))), 100).any()


@pytest.mark.parametrize("mode", ["noise", "mean"])
def test_the_rectangle_equals_torchvisions_erase_in_all_frames(mode: Any) -> None:
    clip = clips(32)
    drawn = draw(KEYS, 0, replace(BARE, erase=Erase(probability=0.5, mode=mode)), True, size=SIZE)
    assert drawn.erased is not None
    found = apply(clip, drawn).transpose(1, 2)
    assert 5 < (drawn.erased.box[:, 2] > 0).sum() < 27
    for row, (top, left, height, width) in enumerate(drawn.erased.box.tolist()):
        before = clip[row].float() / 255
        inside = found[row, :, :, top : top + height, left : left + width]
        value = MEAN.view(3, 1, 1) if mode == "mean" else inside
        assert torch.equal(found[row], reference.erase(before, top, left, height, width, value))


def test_noise_is_normal_about_imagenets_mean_and_new_for_each_frame_channel_and_clip() -> None:
    drawn = draw(KEYS, 0, ALWAYS, True, size=SIZE)
    assert drawn.erased is not None
    found = apply(clips(32), drawn).transpose(1, 2)
    assert found.min() >= 0 and found.max() <= 1
    rows = [
        found[row, :, :, top : top + height, left : left + width].flatten(2)
        for row, (top, left, height, width) in enumerate(drawn.erased.box.tolist())
    ]  # [T, C, pixels] each
    for channel in range(3):
        values = torch.cat([row[:, channel].flatten() for row in rows])
        between = values[(values > 0) & (values < 1)].numpy()
        law = stats.truncnorm(
            -MEAN[channel] / STD[channel], (1 - MEAN[channel]) / STD[channel], MEAN[channel], STD[channel]
        )
        assert stats.kstest(between, law.cdf).pvalue > 1e-4
        cut = stats.norm(MEAN[channel], STD[channel])
        assert stats.binomtest(int((values == 0).sum()), len(values), cut.cdf(0)).pvalue > 1e-4
    many = [row.flatten(0, 1) for row in rows if row.shape[2] > 50]
    for row in many:
        assert np.abs(np.corrcoef(row.numpy()) - np.eye(9)).max() < 0.5
    assert not torch.equal(many[0][:, :50], many[1][:, :50])


def test_the_batch_and_the_position_of_other_clips_do_not_enter() -> None:
    clip = clips(32)
    whole = apply(clip, draw(KEYS, 1, ALWAYS, True, size=SIZE))
    parts = [apply(clip[rows], draw(KEYS[rows], 1, ALWAYS, True, size=SIZE)) for rows in torch.arange(32).split(5)]
    assert torch.equal(whole, torch.cat(parts))
    assert not np.array_equal(boxes(ALWAYS, 8, position=0), boxes(ALWAYS, 8, position=1))


def test_per_frame_each_frame_has_a_rectangle_of_its_own_and_the_first_the_clips() -> None:
    still = clips(32)[:, :1].expand(-1, 3, -1, -1, -1)
    each = draw(KEYS, 0, replace(ALWAYS, per_frame=True), True, frames=3, size=SIZE)
    shared = draw(KEYS, 0, ALWAYS, True, size=SIZE)
    assert each.erased is not None and shared.erased is not None
    assert each.erased.box.shape == (32, 3, 4)
    assert each.rows().shape == (32, 36 + 12)
    assert np.array_equal(each.erased.box[:, 0], shared.erased.box)
    assert (each.erased.box[:, 0] != each.erased.box[:, 1]).any(axis=1).all()
    assert len(np.unique(each.erased.noise)) == 96
    found = apply(still, each)
    assert torch.equal(found[:, :, 0], apply(still, shared)[:, :, 0])
    assert not torch.equal(found[:, :, 0], found[:, :, 1])


def test_it_changes_no_other_draw_and_enters_the_digest() -> None:
    plain, erased = draw(KEYS, 0, Augment(), True), draw(KEYS, 0, Augment(erase=Erase()), True, size=SIZE)
    assert erased.erased is not None
    assert np.array_equal(erased.rows()[:, :12], plain.rows())
    assert np.array_equal(erased.rows()[:, 12:], erased.erased.box)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"probability": 1.5}, "probability is 1.5, allowed is 0 to 1"),
        ({"area": (0.0, 0.5)}, "area is .* above 0 and up to 1"),
        ({"ratio": (2.0, 1.0)}, "ratio is .* the smaller first"),
        ({"mode": "rand"}, "mode is 'rand', allowed is noise or mean"),
    ],
)
def test_it_refuses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Erase(**arguments)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_gpu_gives_the_same_and_is_never_waited_for() -> None:
    clip, drawn = clips(32), draw(KEYS, 0, ALWAYS, True, size=SIZE)
    torch.testing.assert_close(never_waited_for(clip, drawn), apply(clip, drawn), atol=1e-5, rtol=0)
