import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from vssl.evaluation.change_picture import STRENGTHS, Blurred, Compressed, Dropped, Noisy, damage, shown_frames

KEYS = torch.arange(8, dtype=torch.int64) * 104729


def photos(videos: int = 3, frames: int = 4, side: int = 24) -> Tensor:
    """Smooth pictures with an edge, uint8 [B, T, 3, S, S]."""
    ramp = torch.linspace(40, 200, side)
    clips = (ramp[:, None] * 0.5 + ramp * 0.5).expand(videos, frames, 3, side, side).clone()
    clips[..., side // 3 :, : side // 2] += torch.arange(frames)[:, None, None, None] * 5.0
    return clips.round().to(torch.uint8)


@pytest.mark.parametrize("kind", STRENGTHS)
def test_damage_grows_with_the_level(kind: str) -> None:
    clips = torch.randint(0, 256, (4, 11, 3, 24, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    clips = clips if kind == "frame_drops" else photos(4, 11)
    distance = [
        (damage(kind, level).apply(clips, KEYS[:4]).float() - clips.float()).pow(2).mean().item()
        for level in range(1, 6)
    ]
    assert distance == sorted(distance) and distance[0] > 0 and len(set(distance)) == 5, distance


@pytest.mark.parametrize("kind", STRENGTHS)
def test_damage_is_the_videos_own_whatever_its_batch(kind: str) -> None:
    clips, change = photos(), damage(kind, 4)
    together = change.apply(clips, KEYS[:3])
    assert together.dtype == torch.uint8 and together.shape == clips.shape
    assert torch.equal(together[1:2], change.apply(clips[1:2], KEYS[1:2]))
    if kind in ("noise", "frame_drops"):
        others = [change.apply(clips, KEYS[:3] + other) for other in range(1, 9)]
        assert any(not torch.equal(together, other) for other in others)


def test_noise_is_gaussian_of_the_stated_deviation() -> None:
    grey = torch.full((2, 8, 3, 64, 64), 128, dtype=torch.uint8)
    noise = (Noisy(0.08).apply(grey, KEYS[:2]).float() - 128) / 255
    assert noise.std().item() == pytest.approx(0.08, rel=0.01) and abs(noise.mean().item()) < 1e-3
    standard = noise[0].flatten() / 0.08
    for quantile, value in ((0.0228, -2.0), (0.1587, -1.0), (0.8413, 1.0), (0.9772, 2.0)):
        assert torch.quantile(standard, quantile).item() == pytest.approx(value, abs=0.05)
    assert not torch.equal(noise[0, 0], noise[0, 1])  # anew in every frame


def test_blur_equals_its_sum_over_places() -> None:
    clips, sigma = photos(1, 1, 12), 1.5
    blurred = Blurred(1.5, 6.0).apply(clips, KEYS[:1])[0, 0, 0]
    picture = clips[0, 0, 0].double().numpy()
    for row, column in ((0, 0), (5, 7), (11, 3)):
        total = weight = 0.0
        for r in range(12):
            for c in range(12):
                one = np.exp(-((r - row) ** 2 + (c - column) ** 2) / (2 * sigma**2))
                total, weight = total + one * picture[r, c], weight + one
        assert blurred[row, column].item() == pytest.approx(total / weight, abs=0.51)


@pytest.mark.parametrize(("side", "sigma"), [(16, 0.5), (32, 0.5), (128, 3.25), (224, 6.0)])
def test_blur_is_as_published_at_both_sizes(side: int, sigma: float) -> None:
    step = torch.zeros(1, 1, 3, side, side, dtype=torch.uint8)
    step[..., side // 2 :] = 255
    below = Blurred(0.5, 6.0).apply(step, KEYS[:1])[0, 0, 0, side // 2, side // 2 - 1].item() / 255
    weights = np.exp(-(np.arange(-side // 2, side // 2) ** 2) / (2 * sigma**2))
    assert below == pytest.approx(weights[side // 2 + 1 :].sum() / weights.sum(), abs=0.01)


def test_compression_is_jpeg_of_each_frame() -> None:
    clips = photos()
    frame = clips[2, 3].permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=10)
    expected = torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)
    assert torch.equal(Compressed(10).apply(clips, KEYS[:3])[2, 3], expected)


@pytest.mark.parametrize(("share", "lost"), [(0.1, 1), (0.4, 4), (0.8, 8)])
def test_lost_frames_are_as_many_as_stated_and_the_last_one_stays(share: float, lost: int) -> None:
    shown = shown_frames(KEYS, 11, share)
    held = shown[:, 1:] == shown[:, :-1]
    assert (held.sum(dim=1) == lost).all() and (shown[:, 0] == 0).all()
    arrived = torch.arange(11).expand_as(shown)
    assert ((shown == arrived) | (shown < arrived)).all() and (shown.diff(dim=1) >= 0).all()
    assert (shown[:, 1:][~held] == arrived[:, 1:][~held]).all()  # what arrives is shown at once
    assert torch.equal(Dropped(share).apply(numbered := photos(8, 11), KEYS)[3], numbered[3, shown[3]])
