import pytest
import torch

from vssl.backbones.motion_path import MotionPath


def dot(rows: list[int], columns: list[int], size: int = 16) -> torch.Tensor:
    """A white pixel block that is at (row, column) in each frame, on grey: [1, 3, T, size, size]."""
    clip = torch.full((1, 3, len(rows), size, size), 0.4)
    for frame, (row, column) in enumerate(zip(rows, columns, strict=True)):
        clip[:, :, frame, row, column] = 1.0
    return clip


def test_the_path_is_where_the_moving_pixel_is() -> None:
    rows, columns = [0, 3, 7, 11, 15], [15, 12, 8, 4, 1]
    path = MotionPath(size=16, steps=5)(dot(rows, columns))[0]
    expected = torch.tensor([*rows, *columns], dtype=torch.float32) / 7.5 - 1
    torch.testing.assert_close(path, expected, rtol=1e-4, atol=1e-4)


def test_order_is_all_that_it_tells() -> None:
    encoder, clip = MotionPath(size=16, steps=6), dot([1, 4, 6, 9, 12, 14], [3, 3, 3, 3, 3, 3])
    path, back = encoder(clip).view(2, 6), encoder(clip.flip(2)).view(2, 6)
    torch.testing.assert_close(back, path.flip(1))
    assert not torch.allclose(back, path)
    still = encoder(clip[:, :, 2:3].expand(-1, -1, 6, -1, -1))
    assert torch.equal(still, torch.zeros_like(still))  # one frame all the time: nothing moves


def test_background_and_brightness_do_not_enter() -> None:
    encoder, clip = MotionPath(size=16), dot([1, 4, 6, 9, 12, 14], [2, 4, 6, 8, 10, 12])
    behind = torch.rand(1, 3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(encoder(0.3 * clip), encoder(clip), rtol=1e-4, atol=1e-4)
    moved = clip - clip.median(dim=2, keepdim=True).values
    torch.testing.assert_close(encoder(behind + moved), encoder(clip), rtol=1e-4, atol=1e-4)


def test_it_has_no_weights_and_one_token() -> None:
    encoder, clip = MotionPath(size=32, steps=8), torch.rand(2, 3, 4, 32, 32)
    assert not list(encoder.parameters()) and encoder(clip).shape == (2, encoder.embed_dim) == (2, 16)
    assert torch.equal(encoder.tokens(clip)[:, 0], encoder(clip))
    with pytest.raises(ValueError, match="single token"):
        encoder.tokens(clip, torch.zeros(2, 1, dtype=torch.int64))


@pytest.mark.parametrize("settings", [{"steps": 1}, {"size": 1}, {"max_side": 0}, {"least": 1.0}])
def test_settings_out_of_range(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        MotionPath(**{"size": 16, **settings})  # type: ignore[arg-type]
