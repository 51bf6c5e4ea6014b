import colorsys
import hashlib
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as reference

from tests.video.augmentation.on_gpu import never_waited_for
from vssl.video.augmentation.augment import Drawn, apply, draw
from vssl.video.augmentation.crops import crop_box, crop_boxes, crop_resize, crops_resize
from vssl.video.augmentation.erase import Erase
from vssl.video.augmentation.photometric import (
    adjust_brightness_,
    adjust_contrast_,
    adjust_contrast_of_clip_,
    adjust_hue_,
    adjust_saturation_,
    adjust_saturation_of_hsv_,
    blur_kernel_size,
    gaussian_blur,
    greyscale,
    solarise,
)
from vssl.video.augmentation.rand_augment import RandAugment
from vssl.video.draws import sample_keys
from vssl.video.views import Augment

SHARED = Augment()
EVERYTHING = Augment(solarise_p=0.5)
NOTHING = Augment(flip=0.0, jitter_p=0.0, grey_p=0.0, blur_p=0.0)
KEYS = torch.from_numpy(sample_keys(0, 0, np.arange(64)))


def clips(n: int, size: int = 16) -> Tensor:
    """uint8 [n, 3 frames, 3, size, size]: noise, but some pixels grey, black, white, or with two equal channels."""
    clip = torch.randint(0, 256, (n, 3, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(n))
    clip[:, :, :, 0, :4] = 0
    clip[:, :, :, 1, :4] = 255
    clip[:, :, :, 2] = clip[:, :, :1, 2]
    clip[:, :, 1, 3] = clip[:, :, 0, 3]
    clip[:, :, 2, 4] = clip[:, :, 1, 4]
    return clip


def unit(clip: Tensor) -> Tensor:
    return clip.float() / 255


# Each operation against torchvision on the frames of each clip, float within 1e-5.


OPERATIONS: list[tuple[Callable[[Tensor, Tensor], Tensor], Callable[[Tensor, float], Tensor], list[float]]] = [
    (adjust_brightness_, reference.adjust_brightness, [0.0, 0.6, 1.0, 1.4]),
    (adjust_contrast_, reference.adjust_contrast, [0.0, 0.6, 1.0, 1.4]),
    (adjust_saturation_, reference.adjust_saturation, [0.0, 0.6, 1.0, 1.4]),
    (adjust_hue_, reference.adjust_hue, [-0.5, -0.1, 0.0, 0.03, 0.27, 0.5]),
    (
        lambda clip, sigma: gaussian_blur(clip, 7, sigma),
        lambda clip, sigma: reference.gaussian_blur(clip, [7, 7], [sigma, sigma]),
        [0.1, 0.7, 2.0],
    ),
    (solarise, reference.solarize, [0.0, 0.5, 1.0]),
    (
        lambda clip, _: greyscale(clip).expand_as(clip),
        lambda clip, _: reference.rgb_to_grayscale(clip, num_output_channels=3),
        [0.0],
    ),
]


@pytest.mark.parametrize(("ours", "theirs", "parameters"), OPERATIONS)
def test_an_operation_equals_torchvision(
    ours: Callable[[Tensor, Tensor], Tensor], theirs: Callable[[Tensor, float], Tensor], parameters: list[float]
) -> None:
    clip = unit(clips(len(parameters)))
    found = ours(clip.clone(), torch.tensor(parameters))
    for one, before, parameter in zip(found, clip, parameters, strict=True):
        torch.testing.assert_close(one, theirs(before, parameter), atol=1e-5, rtol=0)
    assert found.min() >= -1e-6
    assert found.max() <= 1 + 1e-6


def test_contrast_of_a_clip_is_about_the_mean_of_each_channel_over_all_frames() -> None:
    clip, factors = unit(clips(4)), [0.0, 0.6, 1.0, 1.8]
    found = adjust_contrast_of_clip_(clip.clone(), torch.tensor(factors))
    for one, before, factor in zip(found, clip.double(), factors, strict=True):
        for channel in range(3):
            values = before[:, channel].flatten().tolist()
            mean = sum(values) / len(values)
            expected = [min(max((value - mean) * factor + mean, 0.0), 1.0) for value in values]
            assert one[:, channel].flatten().tolist() == pytest.approx(expected, abs=1e-6)


def test_saturation_of_hsv_is_a_way_to_hsv_and_back() -> None:
    clip, factors = unit(clips(4)), [0.0, 0.6, 1.0, 1.8]
    found = adjust_saturation_of_hsv_(clip.clone(), torch.tensor(factors))
    for one, before, factor in zip(found, clip, factors, strict=True):
        pixels = before.permute(0, 2, 3, 1).reshape(-1, 3).tolist()
        hsv = [colorsys.rgb_to_hsv(*pixel) for pixel in pixels]
        expected = torch.tensor([colorsys.hsv_to_rgb(hue, min(s * factor, 1.0), value) for hue, s, value in hsv])
        torch.testing.assert_close(one.permute(0, 2, 3, 1).reshape(-1, 3), expected, atol=1e-5, rtol=0)


def test_colour_chooses_contrast_and_saturation_and_changes_no_draw() -> None:
    clip, augment = clips(64), Augment(jitter=(0.0, 0.8, 0.8, 0.0), jitter_p=1.0, flip=0.0, grey_p=0.0, blur_p=0.0)
    drawn, other = (draw(KEYS, 0, replace(augment, colour=colour), True) for colour in ("torchvision", "tensorflow"))
    assert np.array_equal(drawn.rows(), other.rows())
    found = apply(clip, other)
    operations = {1: adjust_contrast_of_clip_, 2: adjust_saturation_of_hsv_}
    for row in range(64):
        expected = unit(clip[row : row + 1])
        for turn in other.order[row].tolist():
            if turn in operations:
                expected = operations[turn](expected, other.factors[row, turn : turn + 1])
        torch.testing.assert_close(found[row], expected[0].transpose(0, 1), atol=1e-5, rtol=0)


def test_the_blur_spans_a_tenth_of_the_view() -> None:
    assert [blur_kernel_size(size) for size in (8, 32, 112, 224)] == [3, 3, 11, 23]


def composed(clip: Tensor, drawn: Drawn, row: int) -> Tensor:
    """One clip [T, C, H, W] by torchvision's operations with the parameters of `row`, in the documented order."""
    frames = unit(clip)
    if drawn.flip[row]:
        frames = reference.horizontal_flip(frames)
    steps = (
        reference.adjust_brightness, reference.adjust_contrast, reference.adjust_saturation, reference.adjust_hue,
    )  # fmt: skip
    for operation in drawn.order[row].tolist():
        frames = steps[operation](frames, drawn.factors[row, operation].item())
    if drawn.grey[row]:
        frames = reference.rgb_to_grayscale(frames, num_output_channels=3)
    if drawn.sigma[row] > 0:
        kernel = blur_kernel_size(clip.shape[-1])
        frames = reference.gaussian_blur(frames, [kernel, kernel], [drawn.sigma[row].item()] * 2)
    if math.isfinite(drawn.threshold[row]):
        frames = reference.solarize(frames, drawn.threshold[row].item())
    return frames


@pytest.mark.parametrize("augment", [SHARED, EVERYTHING, NOTHING, None, Augment(jitter=(0.4, 0.0, 0.0, 0.1))])
def test_a_batch_equals_torchvision_clip_by_clip(augment: Augment | None) -> None:
    clip = clips(64)
    before = clip.clone()
    # Solarising is discontinuous: rounding may put a pixel on the other side of the threshold.
    drawn = draw(KEYS, 0, augment, flip_safe=True)
    found = apply(clip, drawn)
    assert found.shape == (64, 3, 3, 16, 16)
    assert torch.equal(clip, before)
    for row in range(64):
        difference = (found[row].transpose(0, 1) - composed(clip[row], drawn, row)).abs()
        flips = 1e-3 if math.isfinite(drawn.threshold[row]) else 0.0
        assert (difference > 2e-5).float().mean() <= flips, f"clip {row}"


def test_uint8_operations_of_torchvision_are_within_a_grey_level() -> None:
    clip = clips(4)
    for ours, theirs, parameters in (
        (adjust_brightness_, reference.adjust_brightness, [0.6, 0.9, 1.2, 1.4]),
        (adjust_hue_, reference.adjust_hue, [-0.1, -0.03, 0.03, 0.1]),
        (solarise, lambda frames, threshold: reference.solarize(frames, threshold * 255), [0.1, 0.5, 0.7, 0.9]),
    ):
        found = ours(unit(clip), torch.tensor(parameters))
        for row, parameter in enumerate(parameters):
            assert (found[row] - unit(theirs(clip[row], parameter))).abs().max() <= 1.001 / 255


def test_without_augmentation_pixels_are_only_scaled() -> None:
    clip = clips(5)
    assert torch.equal(apply(clip, draw(KEYS[:5], 0, None, True)), unit(clip).transpose(1, 2))


def test_the_batch_does_not_enter() -> None:
    clip = clips(64)
    whole = apply(clip, draw(KEYS, 1, EVERYTHING, True))
    parts = [apply(clip[rows], draw(KEYS[rows], 1, EVERYTHING, True)) for rows in torch.arange(64).split(5)]
    assert torch.equal(whole, torch.cat(parts))


def test_all_frames_of_a_clip_share_one_draw() -> None:
    still = clips(64)[:, :1].expand(-1, 3, -1, -1, -1)
    found = apply(still, draw(KEYS, 0, EVERYTHING, True))
    assert torch.equal(found[:, :, 0], found[:, :, 1])
    assert torch.equal(found[:, :, 0], found[:, :, 2])


PER_FRAME = replace(EVERYTHING, per_frame=True)


def test_per_frame_each_frame_has_draws_of_its_own_and_the_first_the_clips() -> None:
    clip = clips(64)
    clip[:, 1:] = clip[:, :1]  # a still, so that only the draws can tell frames apart
    drawn, shared = draw(KEYS, 0, PER_FRAME, True, frames=3), draw(KEYS, 0, EVERYTHING, True)
    assert drawn.flip.shape == (64, 3) and drawn.order.shape == drawn.factors.shape == (64, 3, 4)
    assert drawn.rows().shape == (64, 36)
    assert np.array_equal(drawn.rows()[:, :12], shared.rows())
    frames = torch.stack([drawn.flip, drawn.grey, drawn.sigma > 0, drawn.threshold.isfinite()]).float()
    assert np.abs(np.corrcoef(frames.flatten(0, 1).T.numpy()) - np.eye(3)).max() < 0.3
    found = apply(clip, drawn)
    assert found.shape == (64, 3, 3, 16, 16)
    torch.testing.assert_close(found[:, :, 0], apply(clip, shared)[:, :, 0])
    for frame in range(3):
        rows = torch.from_numpy(drawn.rows()[:, 12 * frame : 12 * frame + 12])
        alone = Drawn(
            rows[:, 0].bool(), rows[:, 1:5].long(), rows[:, 5:9], rows[:, 9].bool(), rows[:, 10], rows[:, 11]
        )  # fmt: skip
        torch.testing.assert_close(found[:, :, frame], apply(clip[:, frame : frame + 1], alone)[:, :, 0])
    assert not torch.equal(found[:, :, 0], found[:, :, 1])
    assert not torch.equal(found[:, :, 1], found[:, :, 2])


def test_per_frame_the_batch_does_not_enter() -> None:
    clip = clips(64)
    whole = apply(clip, draw(KEYS, 1, PER_FRAME, True, frames=3))
    parts = [apply(clip[rows], draw(KEYS[rows], 1, PER_FRAME, True, frames=3)) for rows in torch.arange(64).split(5)]
    assert torch.equal(whole, torch.cat(parts))
    assert draw(KEYS[:0], 1, PER_FRAME, True, frames=3).rows().shape[0] == 0


def test_frames_enter_only_where_they_are_drawn_apart() -> None:
    assert np.array_equal(draw(KEYS, 0, SHARED, True, frames=3).rows(), draw(KEYS, 0, SHARED, True).rows())


def test_draws_are_those_of_older_runs() -> None:
    found = hashlib.sha256(draw(KEYS, 0, EVERYTHING, True).rows().tobytes()).hexdigest()
    assert found == "156f1b000db45c101e3870215068959c976eb9bddcfe95e54d64aee10badfd22"


MANY = torch.from_numpy(sample_keys(1, 0, np.arange(20_000)))


def test_the_law_of_the_draws() -> None:
    drawn = draw(MANY, 0, replace(EVERYTHING, jitter=(0.4, 0.3, 1.2, 0.1)), True)
    jittered = (drawn.factors != torch.tensor([1.0, 1.0, 1.0, 0.0])).all(dim=1)
    for happened, probability in (
        (drawn.flip, 0.5), (jittered, 0.8), (drawn.grey, 0.2), (drawn.sigma > 0, 0.5),
        (torch.isfinite(drawn.threshold), 0.5),
    ):  # fmt: skip
        assert stats.binomtest(int(happened.sum()), len(MANY), probability).pvalue > 1e-4
    factors = drawn.factors[jittered].numpy()
    for column, (low, high) in enumerate(((0.6, 1.4), (0.7, 1.3), (0.0, 2.2), (-0.1, 0.1))):
        assert stats.kstest(factors[:, column], stats.uniform(low, high - low).cdf).pvalue > 1e-4
    sigma = drawn.sigma[drawn.sigma > 0].numpy()
    assert stats.kstest(sigma, stats.uniform(0.1, 1.9).cdf).pvalue > 1e-4
    codes = (drawn.order[jittered] @ torch.tensor([64, 16, 4, 1])).tolist()
    counts = [codes.count(64 * a + 16 * b + 4 * c + d) for a, b, c, d in permutations(range(4))]
    assert sum(counts) == len(codes)
    assert stats.chisquare(counts).pvalue > 1e-4
    together = np.corrcoef([drawn.flip, jittered, drawn.grey, drawn.sigma > 0, torch.isfinite(drawn.threshold)])
    assert np.abs(together - np.eye(5)).max() < 0.04


def test_nothing_is_flipped_where_flips_change_the_label() -> None:
    safe, unsafe = draw(KEYS, 0, SHARED, True), draw(KEYS, 0, SHARED, False)
    assert safe.flip.any()
    assert not unsafe.flip.any()
    assert torch.equal(safe.factors, unsafe.factors)
    assert np.array_equal(safe.rows()[:, 1:], unsafe.rows()[:, 1:])


def test_one_setting_changes_no_other_draw() -> None:
    before, after = draw(KEYS, 0, SHARED, True), draw(KEYS, 0, replace(SHARED, grey_p=0.9, jitter_p=0.1), True)
    assert torch.equal(before.flip, after.flip)
    assert torch.equal(before.sigma, after.sigma)
    assert (before.grey <= after.grey).all()


def test_parts_are_applied_in_the_documented_order() -> None:
    """RandAugment before the jitter, the rectangle last: each alone on what the one before left."""
    clip = clips(64)
    parts: dict[str, Any] = {"rand_augment": RandAugment(), "erase": Erase(probability=1.0, mode="mean")}
    found = apply(clip, draw(KEYS, 0, replace(EVERYTHING, **parts), True, size=16))
    first = draw(KEYS, 0, replace(NOTHING, flip=0.5, rand_augment=parts["rand_augment"]), True)
    then = draw(KEYS, 0, replace(EVERYTHING, flip=0.0, erase=parts["erase"]), True, size=16)
    assert then.erased is not None
    middle = (apply(clip, first).transpose(1, 2) * 255).round().to(torch.uint8)
    plain = (apply(clip, replace(first, rand_augment=None)).transpose(1, 2) * 255).round().to(torch.uint8)
    assert (middle != plain).flatten(1).any(dim=1).float().mean() > 0.5
    assert torch.equal(found, apply(middle, then))
    top, left = then.erased.box[:, 0], then.erased.box[:, 1]
    corners = found[torch.arange(64), :, 0, torch.from_numpy(top), torch.from_numpy(left)]
    torch.testing.assert_close(corners, torch.tensor([0.485, 0.456, 0.406]).expand(64, 3))


def test_positions_draw_apart() -> None:
    assert not np.array_equal(draw(KEYS, 0, SHARED, True).rows(), draw(KEYS, 1, SHARED, True).rows())


def test_rows_tell_every_parameter() -> None:
    drawn = draw(KEYS, 0, EVERYTHING, True)
    rows = drawn.rows()
    assert rows.shape == (64, 12)
    assert rows.dtype == np.float32
    parts = ("rand_augment", "erased", "partners")  # these have rows of their own, and tests in files of their own
    fields: dict[str, Any] = {name: value for name, value in vars(drawn).items() if name not in ("colour", *parts)}
    assert len(fields) == 6 and all(getattr(drawn, name) is None for name in parts)
    for name, value in fields.items():
        changed = value.clone()
        changed[7] = ~changed[7] if value.dtype == torch.bool else changed[7] + 1 + (changed[7] > 1e9)
        if torch.equal(changed, value):  # infinite plus one
            changed[7] = 0.5
        differs = (replace(drawn, **{name: changed}).rows() != rows).any(axis=1)
        assert np.flatnonzero(differs).tolist() == [7], name


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_gpu_gives_the_same_and_is_never_waited_for() -> None:
    clip, drawn = clips(64), draw(KEYS, 0, SHARED, True)
    torch.testing.assert_close(never_waited_for(clip, drawn), apply(clip, drawn), atol=1e-5, rtol=0)


# Crops.


def boxes(augment: Augment | None, height: int, width: int, n: int = 4000, size: int = 224) -> np.ndarray:
    keys = sample_keys(0, 0, np.arange(n)).tolist()
    return np.array([crop_box(key, 0, augment, height, width, size) for key in keys])


@pytest.mark.parametrize(("height", "width"), [(32, 32), (240, 320), (90, 20), (20, 200)])
def test_random_resized_crop_has_torchvisions_law(height: int, width: int) -> None:
    augment = Augment(crop_scale=(0.3, 0.9), crop_ratio=(0.5, 2.0))
    found = boxes(augment, height, width)
    torch.manual_seed(0)
    transform = v2.RandomResizedCrop(8, scale=augment.crop_scale, ratio=augment.crop_ratio)
    image = torch.empty(3, height, width)
    names = ("top", "left", "height", "width")
    drawn = [transform.make_params([image]) for _ in range(len(found))]
    expected = np.array([[params[name] for name in names] for params in drawn])
    for column in range(4):
        assert stats.ks_2samp(found[:, column], expected[:, column]).pvalue > 1e-4, names[column]
    area = [side[:, 2] * side[:, 3] / (height * width) for side in (found, expected)]
    assert stats.ks_2samp(*area).pvalue > 1e-4
    assert (found[:, :2] >= 0).all()
    assert (found[:, 0] + found[:, 2] <= height).all()
    assert (found[:, 1] + found[:, 3] <= width).all()


def test_where_no_crop_fits_the_largest_in_the_ratio_is_taken_from_the_centre() -> None:
    assert crop_box(0, 0, Augment(crop_scale=(1.0, 1.0)), 10, 100, 8) == (0, 43, 10, 13)
    assert crop_box(0, 0, Augment(crop_scale=(1.0, 1.0)), 100, 10, 8) == (43, 0, 13, 10)


@pytest.mark.parametrize(
    ("height", "width", "sides"),
    [
        (320, 426, [320, 280, 240, 211]),
        (256, 340, [256, 224, 192, 168]),  # 224 is 256 x .875 and the view's size
        (240, 427, [240, 210, 180, 158]),
        (226, 226, [224, 197, 169, 149]),  # 226 is within 2 pixels of the view's size
        (223, 300, [223, 195, 167, 147]),  # so is 223, but 224 rows are not there
    ],
)
def test_multi_scale_crops_are_videomaes(height: int, width: int, sides: list[int]) -> None:
    found = boxes(Augment(crop="multi_scale"), height, width)
    widths = [224, *sides[1:]] if height == 223 else sides  # 224 columns are
    pairs = {(sides[i], widths[j]) for i in range(4) for j in range(4) if abs(i - j) <= 1}
    seen, counts = np.unique(found[:, 2:], axis=0, return_counts=True)
    assert {tuple(pair) for pair in seen.tolist()} == pairs
    assert len(pairs) == 10
    assert stats.chisquare(counts).pvalue > 1e-4
    smallest = found[(found[:, 2] == sides[3]) & (found[:, 3] == widths[3])]
    places = np.unique(smallest[:, :2], axis=0).tolist()
    step = (height - sides[3]) // 4, (width - widths[3]) // 4
    corners = [(0, 0), (0, 4), (4, 0), (4, 4)]
    middles = [(2, 2), (2, 0), (2, 4), (4, 2), (0, 2)]
    quarters = [(1, 1), (1, 3), (3, 1), (3, 3)]
    assert sorted(places) == sorted([step[0] * y, step[1] * x] for y, x in corners + middles + quarters)


def test_without_augmentation_the_centre_square_is_taken() -> None:
    assert crop_box(5, 0, None, 240, 321, 112) == (0, 40, 240, 240)
    assert crop_box(5, 0, None, 64, 48, 112) == (8, 0, 48, 48)


def test_per_frame_each_frame_has_a_crop_of_its_own_and_the_first_the_clips() -> None:
    found = crop_boxes(5, 0, PER_FRAME, 240, 320, 112, frames=4)
    assert len(set(found)) == 4
    assert found[:1] == crop_boxes(5, 0, SHARED, 240, 320, 112, frames=4) == [crop_box(5, 0, SHARED, 240, 320, 112)]
    clip = torch.randint(0, 256, (4, 3, 240, 320), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    cut = crops_resize(clip, found, 32)
    assert cut.is_contiguous()
    for frame, box in enumerate(found):
        assert torch.equal(cut[frame], crop_resize(clip, box, 32)[frame])
    assert torch.equal(crops_resize(clip, found[:1], 32), crop_resize(clip, found[0], 32))


def test_crops_of_positions_are_drawn_apart() -> None:
    assert crop_box(5, 0, SHARED, 240, 320, 112) != crop_box(5, 1, SHARED, 240, 320, 112)


@pytest.mark.parametrize("box", [(3, 2, 25, 21), (0, 0, 40, 60), (8, 9, 32, 32), (30, 50, 1, 2)])
@pytest.mark.parametrize("channels_last", [False, True])
def test_crop_and_resize_equal_torchvision(box: tuple[int, int, int, int], channels_last: bool) -> None:
    clip = torch.randint(0, 256, (5, 3, 40, 60), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    given = clip.to(memory_format=torch.channels_last) if channels_last else clip
    found = crop_resize(given, box, 32)
    assert found.is_contiguous()
    assert torch.equal(found, reference.resized_crop(clip, *box, [32, 32], antialias=True))


@pytest.mark.parametrize("per_frame", [False, True])
def test_each_clip_may_have_its_own_right_to_be_flipped(per_frame: bool) -> None:
    augment = replace(Augment(), flip=0.7, per_frame=per_frame)
    key = torch.arange(64) * 7919
    may = np.arange(64) % 3 == 0
    some, every, none = (draw(key, 1, augment, safe, frames=4) for safe in (may, True, False))
    assert torch.equal(some.flip[may], every.flip[may]) and some.flip[may].any()
    assert not some.flip[~may].any() and not none.flip.any()
    assert (some.rows()[may] == every.rows()[may]).all() and (some.rows()[~may] == none.rows()[~may]).all()
