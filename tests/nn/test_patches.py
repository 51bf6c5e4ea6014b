import pytest
import torch
from torch.nn import functional as F

from vssl.nn.patches import patchify, unpatchify


def test_a_linear_layer_on_patches_is_the_official_conv3d() -> None:
    torch.manual_seed(0)
    clip = torch.rand(2, 3, 4, 12, 18, dtype=torch.float64)
    weight = torch.randn(5, 3, 2, 4, 6, dtype=torch.float64)
    conv = F.conv3d(clip, weight, stride=(2, 4, 6)).flatten(2).transpose(1, 2)  # raster order, w fastest
    torch.testing.assert_close(patchify(clip, (2, 4, 6)) @ weight.flatten(1).T, conv, rtol=1e-10, atol=1e-10)


def test_kept_patches_are_those_rows_of_all_patches() -> None:
    generator = torch.Generator().manual_seed(0)
    clip = torch.rand(3, 3, 4, 8, 12, generator=generator)
    keep = torch.rand(3, 12, generator=generator).argsort(dim=1)[:, :5]
    everything = patchify(clip, (2, 4, 4))
    expected = torch.stack([everything[b, keep[b]] for b in range(3)])
    assert torch.equal(patchify(clip, (2, 4, 4), keep), expected)


def test_a_clip_that_is_no_multiple_of_the_patch_is_refused() -> None:
    with pytest.raises(ValueError, match=r"4 x 9 x 8 \(frames x height x width\) is no multiple of 2 x 4 x 4"):
        patchify(torch.zeros(1, 3, 4, 9, 8), (2, 4, 4))


def test_unpatchify_undoes_patchify() -> None:
    clip = torch.rand(2, 3, 4, 8, 18, generator=torch.Generator().manual_seed(0))
    assert torch.equal(unpatchify(patchify(clip, (2, 4, 6)), (2, 4, 6), (2, 2, 3)), clip)
