from typing import get_args

import pytest
import torch

from vssl.losses.reconstruction import ErrorKind, normalise_patches, reconstruction_error, undo_normalisation


def test_a_ramp_gives_the_official_values() -> None:
    ramp = torch.arange(512) / 511
    z = normalise_patches(ramp.repeat(3).view(1, 1, -1), channels=3).view(3, 512)
    assert z[:, 0].tolist() == pytest.approx([-1.7269762] * 3, abs=2e-5)
    assert z[:, -1].tolist() == pytest.approx([1.7269762] * 3, abs=2e-5)
    assert z.square().mean().item() == pytest.approx(0.9980400, abs=1e-5)


def test_a_zero_prediction_costs_511_of_512_and_one_coloured_patches_nothing() -> None:
    torch.manual_seed(0)
    pixels = torch.rand(2, 5, 1536)
    target = normalise_patches(pixels, channels=3)
    assert reconstruction_error(torch.zeros_like(target), target).item() == pytest.approx(511 / 512, abs=1e-4)
    one_colour = torch.tensor([0.25, 0.5, 0.75]).repeat_interleave(512).view(1, 1, -1)
    assert not normalise_patches(one_colour, channels=3).any()


def test_each_channel_is_normalised_on_its_own() -> None:
    torch.manual_seed(1)
    pixels = torch.rand(1, 4, 3, 32, dtype=torch.float64)
    shifted = pixels * torch.tensor([2.0, 0.5, 3.0]).view(3, 1) + torch.tensor([0.1, 5.0, -1.0]).view(3, 1)
    same = normalise_patches(pixels.flatten(2), 3), normalise_patches(shifted.flatten(2), 3)
    torch.testing.assert_close(*same, rtol=0, atol=1e-4)


def test_equals_the_equation() -> None:
    torch.manual_seed(2)
    patch = torch.rand(1, 1, 24, dtype=torch.float64)
    z = normalise_patches(patch, channels=3)[0, 0]
    for channel in range(3):
        values = patch[0, 0, 8 * channel : 8 * channel + 8].tolist()
        mean = sum(values) / 8
        deviation = (sum((v - mean) ** 2 for v in values) / 7) ** 0.5
        expected = [(v - mean) / (deviation + 1e-6) for v in values]
        assert z[8 * channel : 8 * channel + 8].tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kind", get_args(ErrorKind))
@pytest.mark.parametrize("some", [False, True], ids=["all", "some"])
def test_error_and_gradient_equal_the_equation(kind: ErrorKind, some: bool) -> None:
    torch.manual_seed(3)
    p, z = torch.randn(2, 2, 3, 4, dtype=torch.float64) * 1.5
    p.requires_grad_()
    counts = torch.tensor([[True, False, True], [False, True, True]]) if some else torch.ones(2, 3, dtype=torch.bool)
    loss = reconstruction_error(p, z, kind, counts if some else None)
    loss.backward()
    entries = 4 * int(counts.sum())
    total = 0.0
    for b in range(2):
        for token in range(3):
            for value in range(4):
                far = p[b, token, value].item() - z[b, token, value].item()
                value_of = {
                    "mse": (far**2, 2 * far),
                    "l1": (abs(far), 1.0 if far > 0 else -1.0),
                    "smooth_l1": (far**2 / 2, far) if abs(far) < 1 else (abs(far) - 0.5, 1.0 if far > 0 else -1.0),
                }
                error, slope = value_of[kind] if counts[b, token] else (0.0, 0.0)
                total += error / entries
                assert p.grad is not None
                assert p.grad[b, token, value].item() == pytest.approx(slope / entries, rel=1e-10, abs=1e-15)
    assert loss.item() == pytest.approx(total, rel=1e-12)


def test_where_no_token_counts_the_error_is_zero() -> None:
    p = torch.ones(1, 2, 3, requires_grad=True)
    loss = reconstruction_error(p, torch.zeros(1, 2, 3), counted=torch.zeros(1, 2, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0 and p.grad is not None and not p.grad.any()


def test_undoing_gives_the_pixels_back_and_those_of_one_colour_too() -> None:
    patches = torch.rand(2, 5, 3 * 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    patches[0, 0] = 0.3
    back = undo_normalisation(normalise_patches(patches, channels=3), patches, channels=3)
    torch.testing.assert_close(back, patches, rtol=1e-12, atol=1e-12)
