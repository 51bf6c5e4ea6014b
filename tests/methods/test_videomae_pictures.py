"""What VideoMAE reconstructs for pictures: with a perfect decoder the clip itself."""

from typing import Any

import pytest
import torch
from torch import Tensor

from methods.simsiam import SimSiam
from methods.videomae import VideoMAE
from vssl.backbones.vit import VisionTransformer

FRAMES, SIZE, PATCH, TUBELET = 4, 16, 4, 2


def method(**changes: Any) -> VideoMAE:
    torch.manual_seed(0)
    encoder = VisionTransformer(FRAMES, SIZE, 32, depth=1, heads=4, patch_size=PATCH)
    return VideoMAE(encoder, mask_ratio=0.75, decoder_dim=16, decoder_depth=1, **changes).eval()


def shown(frames: int = FRAMES) -> tuple[dict[str, Tensor], Any]:
    clip = torch.rand(3, 3, frames, SIZE, SIZE, generator=torch.Generator().manual_seed(2))
    return {"clip": clip}, {"key": torch.arange(3) * 7919 - 3}


def made_by_a_perfect_decoder(mae: VideoMAE, views: dict[str, Tensor], batch: Any) -> dict[str, Tensor]:
    mae.decode = lambda encoded, visible, asked, grid: mae.target(views["clip"], asked, grid)  # type: ignore[method-assign]
    with torch.no_grad():
        return mae.reconstructs(views, batch)["clip"]


def hidden_pixels(mae: VideoMAE, views: dict[str, Tensor], batch: Any) -> Tensor:
    """bool [B, T, H, W]."""
    mask = mae.hides(views, batch)["clip"]["encoder sees"]
    repeats = [whole // part for whole, part in zip(views["clip"].shape[2:], mask.shape[1:], strict=True)]
    for dim, repeat in enumerate(repeats, 1):
        mask = mask.repeat_interleave(repeat, dim=dim)
    return mask


@pytest.mark.parametrize("mask", ["tube", "random"])
@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("decoder_mask", [None, "running_cell"])
def test_a_perfect_prediction_gives_the_clip_back(mask: Any, normalise: bool, decoder_mask: Any) -> None:
    mae = method(mask=mask, normalise_target=normalise, decoder_mask=decoder_mask)
    views, batch = shown()
    made = made_by_a_perfect_decoder(mae, views, batch)
    first = next(iter(made))
    assert first.partition(":")[0] == "reconstruction" and len(made) == 1 + normalise
    torch.testing.assert_close(made[first], views["clip"], rtol=0, atol=1e-5)


def test_visible_pixels_are_as_given_and_hidden_ones_are_predicted() -> None:
    mae = method()
    views, batch = shown()
    with torch.no_grad():
        made = next(iter(mae.reconstructs(views, batch)["clip"].values()))
    hidden = hidden_pixels(mae, views, batch)[:, None].expand_as(made)
    assert torch.equal(made[~hidden], views["clip"][~hidden])
    assert (made[hidden] != views["clip"][hidden]).float().mean() > 0.99


def test_a_prediction_of_zero_gives_the_mean_of_each_channel_of_each_patch() -> None:
    mae = method()
    views, batch = shown()
    with torch.no_grad():
        (made,) = (row for told, row in mae.reconstructs(views, batch)["clip"].items() if "means" in told)
    hidden, clip = hidden_pixels(mae, views, batch), views["clip"]
    for t in range(0, FRAMES, TUBELET):
        for y in range(0, SIZE, PATCH):
            for x in range(0, SIZE, PATCH):
                part = (slice(None), slice(t, t + TUBELET), slice(y, y + PATCH), slice(x, x + PATCH))
                for row in range(3):
                    given = clip[row][part]
                    if hidden[row, t, y, x]:
                        given = given.mean(dim=(1, 2, 3), keepdim=True).expand_as(given)
                    torch.testing.assert_close(made[row][part], given)


def test_frames_that_were_neither_shown_nor_predicted_are_not_numbers() -> None:
    mae = method(target="denser_clip")
    views, batch = shown(2 * FRAMES)
    made = next(iter(made_by_a_perfect_decoder(mae, views, batch).values()))
    grid = mae.encoder.grid((FRAMES, SIZE, SIZE))
    _, hidden = mae.draw_mask(batch["key"], grid)
    for row in range(3):
        for place in range(grid[0] * grid[1] * grid[2]):
            t, y, x = place // (grid[1] * grid[2]), place // grid[2] % grid[1], place % grid[2]
            area = (..., slice(y * PATCH, (y + 1) * PATCH), slice(x * PATCH, (x + 1) * PATCH))
            frames = slice(2 * TUBELET * t, 2 * TUBELET * (t + 1))
            found, given = made[row][:, frames][area], views["clip"][row][:, frames][area]
            if place in hidden[row]:
                torch.testing.assert_close(found, given, rtol=0, atol=1e-5)
            else:
                assert torch.equal(found[:, ::2], given[:, ::2]) and found[:, 1::2].isnan().all()


def test_methods_that_make_no_clip_say_nothing() -> None:
    views, batch = shown()
    assert method(target="centre_frame").reconstructs(views, batch) == {}
    assert SimSiam(VisionTransformer(FRAMES, SIZE, 32, 1, 4, patch_size=PATCH)).reconstructs(views, batch) == {}
