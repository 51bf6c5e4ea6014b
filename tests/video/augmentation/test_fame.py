import colorsys
import math
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from tests.video.augmentation.on_gpu import never_waited_for
from vssl.video.augmentation.augment import apply, draw
from vssl.video.augmentation.fame import Fame, Partners, choose_partners, foreground, merge
from vssl.video.draws import sample_keys, stream, uniforms_np
from vssl.video.views import Augment, View

SIZE = 24
BARE = Augment(flip=0.0, jitter_p=0.0, grey_p=0.0, blur_p=0.0)
MERGED = replace(BARE, fame=Fame())
KEYS = torch.from_numpy(sample_keys(0, 0, np.arange(16)))


def clips(n: int, frames: int = 4) -> Tensor:
    """Smooth coloured fields, each with a square of another colour that moves to the right, and a little noise."""
    generator = torch.Generator().manual_seed(n)
    coarse = torch.rand(n, 3, 4, 4, generator=generator)
    field = torch.nn.functional.interpolate(coarse, size=(SIZE, SIZE), mode="bilinear")
    clip = (field[:, None] * 180).expand(-1, frames, -1, -1, -1).clone()
    square = 255 * torch.rand(n, 3, 1, 1, generator=generator)
    for frame in range(frames):
        clip[:, frame, :, 8:16, 2 + 4 * frame : 10 + 4 * frame] = square
    return (clip + 4 * torch.rand(clip.shape, generator=generator)).clamp(0, 255).to(torch.uint8)


def blurred(image: Any) -> Any:
    """3 taps at this size, deviation 1 pixel, borders reflected: float64, by loops."""
    taps = [math.exp(-0.5), 1.0, math.exp(-0.5)]
    padded, found = np.pad(image, 1, mode="reflect"), np.zeros(image.shape)
    for y in range(SIZE):
        for x in range(SIZE):
            for dy in range(3):
                for dx in range(3):
                    found[y, x] += taps[dy] * taps[dx] * padded[y + dy, x + dx] / sum(taps) ** 2
    return found


def stretched(image: Any) -> Any:
    image = image - image.min()
    return image / (image.max() + 1e-8)


def published(clip: Tensor, share: float) -> Any:
    """The mask of one clip [T, C, H, W] as the source makes it, step by step in float64."""
    video = clip.numpy() / 255
    motion = stretched(blurred(np.abs(video[:-1] - video[1:]).sum(axis=1).mean(axis=0))).ravel()
    order = np.argsort(motion, kind="stable")
    sure, bare = order[-int(0.5 * SIZE**2) :], order[: int(0.1 * SIZE**2)]
    mean, colour = video.mean(axis=0).reshape(3, -1), np.zeros(SIZE**2, int)
    for pixel in range(SIZE**2):
        hue, _, value = colorsys.rgb_to_hsv(*mean[:, pixel])
        saturation = (value - mean[:, pixel].min()) / (value + 1e-8)
        radians = 2 * math.pi * hue
        x, y = (
            (saturation * math.cos(radians * 2 * math.pi) + 1) / 2,
            (saturation * math.sin(radians * 2 * math.pi) + 1) / 2,
        )
        levels = [round(axis * 9 + 1) for axis in (x, y, value)]
        colour[pixel] = levels[0] + (levels[1] - 1) * 10 + (levels[2] - 1) * 100
    own = np.bincount(colour[sure], minlength=1000) / len(sure)
    other = np.bincount(colour[bare], minlength=1000) + 1
    other = other / other.sum()
    likely = stretched(blurred((own[colour] / (other[colour] + own[colour])).reshape(SIZE, SIZE))).ravel()
    mask = np.zeros(SIZE**2, bool)
    mask[np.argsort(likely, kind="stable")[-int(share * SIZE**2) :]] = True
    return mask.reshape(SIZE, SIZE)


def test_the_mask_is_the_published_one() -> None:
    clip = clips(12)
    for share in (0.5, 0.3):
        found = foreground(clip, share).numpy()
        for row in range(len(clip)):
            expected = published(clip[row], share)
            # A level of colour or a place in the order may turn over by rounding; both masks have as many pixels.
            assert (found[row] != expected).mean() <= 0.01, row


def test_the_mask_finds_what_moves() -> None:
    moved = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    moved[8:16, 2:22] = True
    masks = foreground(clips(12), 0.5)
    inside, outside = masks[:, moved].float().mean(dim=1), masks[:, ~moved].float().mean(dim=1)
    assert inside.mean() > 0.9
    assert (inside > 2 * outside).all()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.35, 0.5, 1.0])
def test_the_mask_has_exactly_its_share_of_pixels(share: float) -> None:
    noise = torch.randint(0, 256, (3, 4, 3, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    still = noise[:, :1].expand(-1, 4, -1, -1, -1)
    for clip in (clips(3), noise, still):
        assert foreground(clip, share).flatten(1).sum(dim=1).tolist() == [int(share * SIZE**2)] * 3


def test_each_pixel_is_the_clips_own_or_its_partners_in_all_frames() -> None:
    clip, partners = clips(6), Partners(np.array([2, 1, 0, 5, 3, 4]), 0.5)
    before = clip.clone()
    found = merge(clip, partners)
    assert torch.equal(clip, before)
    mask = foreground(clip, 0.5)
    for row, other in enumerate(partners.other.tolist()):
        assert torch.equal(found[row], torch.where(mask[row], clip[row], clip[other]))
    assert torch.equal(found[1], clip[1])
    for share, kept in ((1.0, clip), (0.0, clip[partners.other])):
        assert torch.equal(merge(clip, replace(partners, foreground=share)), kept)


def test_clips_are_merged_after_the_flip_and_before_colours() -> None:
    clip, augment = clips(16), Augment(fame=Fame(), blur_p=0.0)
    drawn = draw(KEYS, 0, augment, True)
    assert drawn.partners is not None and drawn.flip.any() and not drawn.flip.all()
    flipped = torch.where(drawn.flip.view(-1, 1, 1, 1, 1), clip.flip(-1), clip)
    merged = merge(flipped, drawn.partners)
    assert not torch.equal(merged, flipped)
    plain = draw(KEYS, 0, replace(augment, fame=None, flip=0.0), True)
    torch.testing.assert_close(apply(clip, drawn), apply(merged, plain), atol=1e-6, rtol=0)


def test_partners_are_one_permutation_in_which_each_place_is_as_likely() -> None:
    counts = dict.fromkeys(permutations(range(3)), 0)
    for batch in range(1200):
        keys = sample_keys(batch, 0, np.arange(3))
        partners = choose_partners(Fame(), lambda name, n, keys=keys: uniforms_np(keys, stream(0, name), n))
        counts[tuple(partners.other.tolist())] += 1
    assert stats.chisquare(list(counts.values())).pvalue > 1e-4


def test_a_part_of_the_batch_is_merged_and_positions_draw_apart() -> None:
    keys = torch.from_numpy(sample_keys(0, 0, np.arange(4000)))
    some = draw(keys, 0, replace(BARE, fame=Fame(probability=0.3)), True).partners
    every, other = draw(keys, 0, MERGED, True).partners, draw(keys, 1, MERGED, True).partners
    assert some is not None and every is not None and other is not None
    is_merged = some.other != np.arange(4000)
    assert stats.binomtest(int(is_merged.sum()), 4000, 0.3).pvalue > 1e-4
    assert np.array_equal(some.other[is_merged], every.other[is_merged])
    # Who is merged says nothing about whose partner is.
    of_the_first = is_merged[every.other[:1200]]
    assert stats.binomtest(int(of_the_first.sum()), 1200, 0.3).pvalue > 1e-4
    assert (every.other == other.other).mean() < 0.01


def test_a_batch_of_one_is_not_merged() -> None:
    clip = clips(1)
    assert torch.equal(apply(clip, draw(KEYS[:1], 0, MERGED, True)), apply(clip, draw(KEYS[:1], 0, BARE, True)))


def test_it_changes_no_other_draw_and_enters_the_digest() -> None:
    plain, merged = draw(KEYS, 0, Augment(), True), draw(KEYS, 0, Augment(fame=Fame()), True)
    assert merged.partners is not None
    assert np.array_equal(merged.rows()[:, :12], plain.rows())
    assert np.array_equal(merged.rows()[:, 12], merged.partners.other)


def test_it_refuses_where_nothing_can_move() -> None:
    with pytest.raises(ValueError, match="a single frame does not move"):
        Augment(fame=Fame(), per_frame=True)
    with pytest.raises(ValueError, match=r"frames is 1, allowed is at least 2 with augment\.fame"):
        View(frames=1, size=32, stride=2, augment=MERGED)
    with pytest.raises(ValueError, match="foreground is 1.5, allowed is 0 to 1"):
        Fame(foreground=1.5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_gpu_gives_the_same_and_is_never_waited_for() -> None:
    clip, drawn = clips(16), draw(KEYS, 0, MERGED, True)
    # A pixel on the border of a mask may fall on its other side there; last bits differ everywhere.
    assert ((never_waited_for(clip, drawn) - apply(clip, drawn)).abs() > 1e-5).float().mean() < 0.01
