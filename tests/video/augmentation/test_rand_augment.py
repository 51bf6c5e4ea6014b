import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from timm.data import auto_augment as timm
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as reference

from tests.video.augmentation.on_gpu import never_waited_for
from vssl.video.augmentation.augment import apply, draw
from vssl.video.augmentation.rand_augment import (
    NO_OPERATION,
    OPERATIONS,
    PLACE_OPERATIONS,
    Chosen,
    RandAugment,
    choose,
    matrices,
)
from vssl.video.augmentation.rand_operations import (
    FILL,
    autocontrast_,
    brightness_,
    colour_,
    contrast_,
    equalise_,
    invert_,
    posterise_,
    sharpness_,
    solarise_,
    solarise_add_,
    warp_,
)
from vssl.video.draws import sample_keys
from vssl.video.views import Augment

SIZE = 33
BARE = {"flip": 0.0, "jitter_p": 0.0, "grey_p": 0.0, "blur_p": 0.0}
TIMM_NAMES = dict(
    zip(
        OPERATIONS,
        (
            "AutoContrast", "Equalize", "Invert", "Posterize", "Solarize", "SolarizeAdd", "Color", "Contrast",
            "Brightness", "Sharpness", "Rotate", "ShearX", "ShearY", "TranslateXRel", "TranslateYRel",
        ),
        strict=True,
    )
)  # fmt: skip


def clips(n: int = 4) -> Tensor:
    """uint8 [n, 3 frames, 3, 33, 33]: noise; the second clip is a slope, a channel of the third flat, some are grey."""
    clip = torch.randint(0, 256, (n, 3, 3, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(n))
    clip[1] = (torch.arange(SIZE)[:, None] * 3 + torch.arange(SIZE) * 2 + 20).to(torch.uint8)
    clip[2, :, 0] = 7
    clip[3, :, :, :5] = clip[3, :, :1, :5]  # grey
    return clip


def numbers(n: int, seed: int = 0) -> Callable[[str, int], Any]:
    rngs: dict[str, Any] = {}

    def of(name: str, k: int) -> Any:
        return rngs.setdefault(name, np.random.default_rng([seed, *name.encode()]).random((n, k)))

    return of


FACTORS = [0.1, 0.37, 1.63, 1.9]
OPERATION_CASES: list[tuple[Callable[[Tensor, Tensor], Tensor], Callable[[Tensor, float], Tensor], list[float], int]]
OPERATION_CASES = [
    (autocontrast_, lambda frames, _: reference.autocontrast(frames), [0.0] * 4, 0),
    (equalise_, lambda frames, _: reference.equalize(frames), [0.0] * 4, 0),
    (invert_, lambda frames, _: reference.invert(frames), [0.0] * 4, 0),
    (posterise_, lambda frames, bits: reference.posterize(frames, int(bits)), [0.0, 1.0, 4.0, 8.0], 0),
    (solarise_, reference.solarize, [0.0, 1.0, 128.0, 255.0], 0),
    (brightness_, reference.adjust_brightness, FACTORS, 0),
    (sharpness_, reference.adjust_sharpness, FACTORS, 0),
    # These two blend by another order of operations, and grey levels are cut off: a sum of exactly n may end as n - 1.
    (colour_, reference.adjust_saturation, FACTORS, 1),
    (contrast_, reference.adjust_contrast, FACTORS, 1),
]


@pytest.mark.parametrize(("ours", "theirs", "arguments", "levels"), OPERATION_CASES)
def test_an_operation_equals_torchvision_on_uint8(
    ours: Callable[[Tensor, Tensor], Tensor],
    theirs: Callable[[Tensor, float], Tensor],
    arguments: list[float],
    levels: int,
) -> None:
    clip, argument = clips(), torch.tensor(arguments)
    found = ours(clip.clone(), argument)
    expected = torch.stack([theirs(one, value) for one, value in zip(clip, argument.tolist(), strict=True)])
    difference = (found.int() - expected.int()).abs()
    assert difference.max() <= levels
    assert (difference > 0).float().mean() <= 0.01 * levels


def test_solarising_at_256_changes_nothing_and_adding_stops_at_128() -> None:
    clip = clips()
    assert torch.equal(solarise_(clip.clone(), torch.full((4,), 256.0)), clip)
    found = solarise_add_(clip.clone(), torch.tensor([0.0, 1.0, 77.0, 110.0]))
    for one, before, levels in zip(found, clip.int(), (0, 1, 77, 110), strict=True):
        assert torch.equal(one.int(), torch.where(before < 128, before + levels, before))


def in_pil(clip: Tensor, operation: Callable[..., Image.Image], *arguments: Any) -> Tensor:
    frames = [Image.fromarray(frame.permute(1, 2, 0).numpy()) for frame in clip.flatten(0, 1)]
    kept = {"resample": Image.Resampling.BILINEAR, "fillcolor": (FILL,) * 3}
    changed = [np.array(operation(frame, *arguments, **kept)) for frame in frames]
    return torch.from_numpy(np.stack(changed)).permute(0, 3, 1, 2).view_as(clip)


@pytest.mark.parametrize(
    ("ours", "theirs", "argument", "levels"),
    [
        (equalise_, timm.equalize, None, 0), (invert_, timm.invert, None, 0), (posterise_, timm.posterize, 2, 0),
        (solarise_, timm.solarize, 90, 0), (solarise_add_, timm.solarize_add, 77, 0),
        (brightness_, timm.brightness, 0.4, 0), (autocontrast_, timm.auto_contrast, None, 1),
        (sharpness_, timm.sharpness, 1.6, 1), (colour_, timm.color, 0.4, 1), (contrast_, timm.contrast, 1.6, 1),
    ],
)  # fmt: skip
def test_an_operation_equals_pil_within_a_grey_level(
    ours: Callable[[Tensor, Tensor], Tensor], theirs: Callable[..., Image.Image], argument: Any, levels: int
) -> None:
    """PIL rounds the grey of a pixel and the mean of a frame, torchvision cuts them off: one grey level."""
    found = ours(clips(), torch.full((4,), 0.0 if argument is None else float(argument)))
    expected = in_pil(clips(), theirs, *([] if argument is None else [argument]))
    assert (found.int() - expected.int()).abs().max() <= levels


def warped(clip: Tensor, name: str, arguments: list[float]) -> Tensor:
    argument = np.array(arguments, np.float32)[:, None]
    chosen = Chosen(np.full(argument.shape, OPERATIONS.index(name)), argument)
    return warp_(clip.clone(), torch.from_numpy(matrices(chosen, 0)))


def by_torchvision(frames: Tensor, name: str, argument: float) -> Tensor:
    """Unrounded. Less the fill: torchvision's own fill weighs the mask of border pixels twice."""
    degrees, kept = math.degrees(math.atan(argument)), {"interpolation": InterpolationMode.BILINEAR}
    pixels = frames.double() - FILL
    if name == "rotate":
        return reference.rotate(pixels, argument, **kept) + FILL
    shears = {"shear_x": [degrees, 0.0], "shear_y": [0.0, degrees]}
    moves = {"translate_x": [-argument * SIZE, 0.0], "translate_y": [0.0, -argument * SIZE]}
    found = reference.affine(
        pixels, 0.0, moves.get(name, [0.0, 0.0]), 1.0, shears.get(name, [0.0, 0.0]), center=[0.0, 0.0], **kept
    )
    return found + FILL


PLACES = {
    "rotate": [-30.0, -7.3, 12.5, 30.0],
    "shear_x": [-0.3, -0.1, 0.2, 0.3],
    "shear_y": [-0.3, -0.1, 0.2, 0.3],
    "translate_x": [-0.45, -0.1, 0.2, 0.45],
    "translate_y": [-0.45, -0.1, 0.2, 0.45],
}


@pytest.mark.parametrize("name", PLACE_OPERATIONS)
def test_a_warp_equals_torchvisions_affine(name: str) -> None:
    clip, arguments = clips(), PLACES[name]
    found = warped(clip, name, arguments).double()
    exact = [np.float32(argument).item() for argument in arguments]
    expected = torch.stack([by_torchvision(one, name, argument) for one, argument in zip(clip, exact, strict=True)])
    # Rounded to grey levels: half of one, and what float32 knows of a place in the frame.
    assert (found - expected).abs().max() <= 0.501
    assert (found == FILL).float().mean() > 0.01, "something was uncovered"


@pytest.mark.parametrize("name", PLACE_OPERATIONS)
def test_a_warp_goes_the_way_of_pil(name: str) -> None:
    """But for the edge of the fill, where PIL does not blend, and for its fixed-point weights."""
    operations = {
        "rotate": timm.rotate, "shear_x": timm.shear_x, "shear_y": timm.shear_y, "translate_x": timm.translate_x_rel,
        "translate_y": timm.translate_y_rel,
    }  # fmt: skip
    argument = 21.0 if name == "rotate" else 0.21
    found, expected = warped(clips(), name, [argument] * 4), in_pil(clips(), operations[name], argument)
    assert ((found.int() - expected.int()).abs() <= 1).float().mean() > 0.95


LEVELS = np.linspace(0, 10, 41)


@pytest.mark.parametrize("increasing", [True, False])
@pytest.mark.parametrize("name", OPERATIONS)
def test_arguments_are_timms(name: str, increasing: bool) -> None:
    """Of a magnitude without spread, both signs."""
    timms = TIMM_NAMES[name]
    law = timm.LEVEL_TO_ARG[f"{timms}Increasing"] if increasing and f"{timms}Increasing" in timm.LEVEL_TO_ARG else None
    law = law or timm.LEVEL_TO_ARG[timms]
    for level in LEVELS.tolist():
        settings = RandAugment(magnitude=level, count=300, magnitude_std=0.0, increasing=increasing, probability=1.0)
        chosen = choose(settings, numbers(1))
        found = set(chosen.argument[chosen.operation == OPERATIONS.index(name)].tolist())
        random.seed(0)
        expected = {0.0} if law is None else {np.float32(law(level, {})[0]).item() for _ in range(50)}
        assert sorted(found) == pytest.approx(sorted(expected), rel=1e-6), level


def test_the_law_of_the_draws() -> None:
    settings = RandAugment(magnitude=7.0, count=4, magnitude_std=0.5, probability=0.5)
    chosen = choose(settings, numbers(10_000))
    assert chosen.operation.shape == chosen.argument.shape == (10_000, 4)
    applied = chosen.operation < NO_OPERATION
    for turn in range(4):
        assert stats.binomtest(int(applied[:, turn].sum()), 10_000, 0.5).pvalue > 1e-4
        counts = np.bincount(chosen.operation[applied[:, turn], turn], minlength=15)
        assert len(counts) == 15
        assert stats.chisquare(counts).pvalue > 1e-4
    assert (chosen.argument[~applied] == 0).all()
    degrees = chosen.argument[chosen.operation == OPERATIONS.index("rotate")]
    assert stats.kstest(np.abs(degrees) / 3, stats.norm(7, 0.5).cdf).pvalue > 1e-4
    assert stats.binomtest(int((degrees > 0).sum()), len(degrees), 0.5).pvalue > 1e-4
    together = np.corrcoef([*applied.T, *(chosen.operation.T % 5), *(chosen.argument.T > 0)])
    assert np.abs(together[:4, :4] - np.eye(4)).max() < 0.05


def test_strengths_end_at_0_and_10() -> None:
    for magnitude, ends in ((10.0, 30.0), (0.0, 0.0)):
        settings = RandAugment(magnitude=magnitude, count=100, magnitude_std=2.0, probability=1.0)
        chosen = choose(settings, numbers(50))
        degrees = np.abs(chosen.argument[chosen.operation == OPERATIONS.index("rotate")])
        assert degrees.max() <= 30
        assert stats.binomtest(int((degrees == ends).sum()), len(degrees), 0.5).pvalue > 1e-4


KEYS = torch.from_numpy(sample_keys(0, 0, np.arange(64)))
STRONG = Augment(**BARE, rand_augment=RandAugment(probability=1.0))


def by_name(frames: Tensor, name: str, argument: float) -> Tensor:
    """One uint8 clip by torchvision."""
    if name in PLACE_OPERATIONS:
        return by_torchvision(frames, name, argument).round().to(torch.uint8)
    operations: dict[str, Callable[[], Tensor]] = {
        "autocontrast": lambda: reference.autocontrast(frames),
        "equalise": lambda: reference.equalize(frames),
        "invert": lambda: reference.invert(frames),
        "posterise": lambda: reference.posterize(frames, int(argument)),
        "solarise": lambda: reference.solarize(frames, argument),
        "solarise_add": lambda: torch.where(frames < 128, frames + int(argument), frames),
        "colour": lambda: reference.adjust_saturation(frames, argument),
        "contrast": lambda: reference.adjust_contrast(frames, argument),
        "brightness": lambda: reference.adjust_brightness(frames, argument),
        "sharpness": lambda: reference.adjust_sharpness(frames, argument),
    }
    return operations[name]()


def test_a_batch_equals_torchvision_clip_by_clip() -> None:
    clip = clips(64)
    drawn = draw(KEYS, 0, STRONG, flip_safe=True)
    assert drawn.rand_augment is not None
    found = (apply(clip, drawn).transpose(1, 2) * 255).round().int()
    far = []
    for row in range(64):
        frames, chosen = clip[row], drawn.rand_augment
        for place, argument in zip(chosen.operation[row].tolist(), chosen.argument[row].tolist(), strict=True):
            frames = by_name(frames, OPERATIONS[place], argument)
        difference = (found[row] - frames.int()).abs()
        far.append((difference > 2).float().mean().item())
    # One grey level before an operation that jumps (equalise, solarise, posterise) may be many after it.
    assert np.median(far) == 0
    assert np.mean(far) < 0.02
    assert max(far) < 0.5


def test_the_input_stays_and_all_frames_share_one_draw() -> None:
    still = clips(64)[:, :1].expand(-1, 3, -1, -1, -1).clone()
    before = still.clone()
    found = apply(still, draw(KEYS, 0, STRONG, True))
    assert torch.equal(still, before)
    assert torch.equal(found[:, :, 0], found[:, :, 1])
    assert torch.equal(found[:, :, 0], found[:, :, 2])
    assert not torch.equal(found[:, :, 0], before[:, 0].float() / 255)


def test_the_batch_does_not_enter() -> None:
    clip = clips(64)
    whole = apply(clip, draw(KEYS, 1, STRONG, True))
    parts = [apply(clip[rows], draw(KEYS[rows], 1, STRONG, True)) for rows in torch.arange(64).split(5)]
    assert torch.equal(whole, torch.cat(parts))


def test_per_frame_each_frame_has_operations_of_its_own_and_the_first_the_clips() -> None:
    clip = clips(64)[:, :1].expand(-1, 3, -1, -1, -1)
    each = Augment(**BARE, rand_augment=RandAugment(probability=1.0), per_frame=True)
    drawn, shared = draw(KEYS, 0, each, True, frames=3), draw(KEYS, 0, STRONG, True)
    assert drawn.rand_augment is not None and shared.rand_augment is not None
    assert drawn.rand_augment.operation.shape == (64, 3, 4)
    assert np.array_equal(drawn.rand_augment.operation[:, 0], shared.rand_augment.operation)
    assert drawn.rows().shape == (64, 36 + 24)
    found = apply(clip, drawn)
    torch.testing.assert_close(found[:, :, 0], apply(clip, shared)[:, :, 0], atol=0, rtol=0)
    assert not torch.equal(found[:, :, 0], found[:, :, 1])


def test_it_changes_no_other_draw_and_enters_the_digest() -> None:
    plain, strong = draw(KEYS, 0, Augment(), True), draw(KEYS, 0, Augment(rand_augment=RandAugment()), True)
    assert np.array_equal(strong.rows()[:, :12], plain.rows())
    assert strong.rows().shape == (64, 20)
    assert strong.rand_augment is not None
    assert np.array_equal(strong.rows()[:, 12::2], strong.rand_augment.operation)
    assert np.array_equal(strong.rows()[:, 13::2], strong.rand_augment.argument)
    other = draw(KEYS, 1, Augment(rand_augment=RandAugment()), True)
    assert not np.array_equal(strong.rows()[:, 12:], other.rows()[:, 12:])


def test_what_was_drawn_can_be_told() -> None:
    chosen = Chosen(np.array([[10, NO_OPERATION, 3]]), np.array([[-21.25, 0, 2]], np.float32))
    assert chosen.told(0) == ["rotate -21.2", "posterise 2"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"magnitude": 11.0}, "magnitude is 11.0, allowed is 0 to 10"),
        ({"count": 0}, "count is 0, allowed is at least 1"),
        ({"magnitude_std": -1.0}, "magnitude_std is -1.0"),
        ({"probability": 2.0}, "probability is 2.0, allowed is 0 to 1"),
    ],
)
def test_it_refuses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RandAugment(**arguments)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_gpu_gives_the_same_and_is_never_waited_for() -> None:
    clip, drawn = clips(64), draw(KEYS, 0, STRONG, True)
    difference = (never_waited_for(clip, drawn) - apply(clip, drawn)).abs() * 255
    assert (difference > 2).float().mean() < 0.02
