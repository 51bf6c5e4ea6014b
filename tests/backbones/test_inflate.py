from vssl import _torchvision  # noqa: F401

# isort: split
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer as ImageViT
from torch import Tensor, nn
from torchvision.models import ResNet, SwinTransformer
from torchvision.models.resnet import Bottleneck

from vssl.backbones.inflate import (
    inflate_bias_table,
    inflate_kernel,
    resnet3d_from_image,
    swin_from_image,
    timesformer_from_image,
)
from vssl.backbones.resnet3d import ResNet3d
from vssl.backbones.swin import VideoSwin
from vssl.backbones.timesformer import TimeSformer

PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def _frame(size: int) -> Tensor:
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1))


def _still(frame: Tensor, frames: int) -> Tensor:
    return frame.unsqueeze(2).expand(-1, -1, frames, -1, -1)


def _shaken(net: nn.Module) -> nn.Module:
    """Every tensor away from the zeros and ones it starts with, so that none can be forgotten."""
    torch.manual_seed(2)
    for tensor in (*net.parameters(), *(b for n, b in net.named_buffers() if "running_mean" in n)):
        tensor.data += 0.05 * torch.randn_like(tensor)
    return net.eval()


def test_a_kernel_sums_to_the_image_kernel() -> None:
    kernel = torch.rand(4, 3, 5, 5)
    inflated = inflate_kernel(kernel, 3)
    assert inflated.shape == (4, 3, 3, 5, 5)
    torch.testing.assert_close(inflated.sum(dim=2), kernel)
    assert torch.equal(inflated[:, :, 0], inflated[:, :, 2])


def test_a_bias_table_is_repeated_and_not_divided() -> None:
    table = torch.rand(25, 2)
    inflated = inflate_bias_table(table, (3, 3), (4, 3, 3)).view(7, 25, 2)
    assert all(torch.equal(part, table) for part in inflated)
    wider = inflate_bias_table(table, (3, 3), (1, 4, 4))
    assert wider.shape == (49, 2) and wider.min() < table.mean() < wider.max()


def test_a_still_clip_gives_timesformer_what_the_frame_gave_the_image_network() -> None:
    image = _shaken(ImageViT(img_size=16, patch_size=8, embed_dim=24, depth=2, num_heads=3, num_classes=0))
    encoder = TimeSformer(frames=3, size=16, embed_dim=24, depth=2, heads=3, patch_size=8, **PLAIN).eval()
    weights = timesformer_from_image(image.state_dict(), encoder)
    encoder.load_state_dict(weights)
    frame = _frame(16)
    torch.testing.assert_close(encoder(_still(frame, 3)), image(frame), rtol=1e-5, atol=1e-5)
    assert torch.equal(weights["blocks.1.temporal_attn.qkv.weight"], weights["blocks.1.attn.qkv.weight"])
    assert torch.equal(weights["blocks.0.temporal_norm1.bias"], image.state_dict()["blocks.0.norm1.bias"])


def test_a_position_table_of_another_size_takes_the_nearest_rows() -> None:
    image = ImageViT(img_size=16, patch_size=8, embed_dim=24, depth=1, num_heads=3, num_classes=0)
    encoder = TimeSformer(frames=2, size=32, embed_dim=24, depth=1, heads=3, patch_size=8)
    table = timesformer_from_image(image.state_dict(), encoder)["pos_embed"]
    assert torch.equal(table[0, 0], image.pos_embed[0, 0])
    assert torch.equal(table[0, 1:].view(4, 4, 24)[3, 1], image.pos_embed[0, 1:].view(2, 2, 24)[1, 0])


def test_a_still_clip_gives_swin_what_the_frame_gave_the_image_network() -> None:
    shape = {"depths": [2, 2], "num_heads": [2, 4], "stochastic_depth_prob": 0.0}
    image = _shaken(SwinTransformer([4, 4], 16, window_size=[2, 2], **shape))
    image.head = nn.Identity()
    encoder = VideoSwin(8, 16, (2, 2), (2, 4), window_size=2, window_frames=2, drop_path=0.0, **PLAIN).eval()
    encoder.load_state_dict(swin_from_image(image.state_dict(), encoder))
    frame = _frame(32)
    torch.testing.assert_close(encoder(_still(frame, 8)), image(frame), rtol=1e-5, atol=1e-5)


def test_a_still_clip_gives_the_inner_slots_of_r3d_what_the_frame_gave_the_image_network() -> None:
    """The outer slots see the zeros that pad the clip in time."""
    image = _shaken(ResNet(Bottleneck, [1, 1, 1, 1], num_classes=1))
    encoder = ResNet3d(depths=(1, 1, 1, 1), **PLAIN).eval()
    encoder.load_state_dict(resnet3d_from_image(image.state_dict(), encoder))
    frame = _frame(32).double()
    image.avgpool, image.fc = nn.AdaptiveAvgPool2d(1), nn.Identity()
    inner = encoder.double().feature_map(_still(frame, 16)).mean(dim=(3, 4))[:, :, 3:5]
    # 1e-6: the inflated kernels were divided in float32.
    expected = image.double()(frame)[..., None].expand(-1, -1, 2)
    assert (inner - expected).abs().max() < 1e-6 * expected.abs().max()


def test_what_does_not_fit_is_told() -> None:
    image = ResNet(Bottleneck, [1, 1, 1, 1]).state_dict()
    encoder = ResNet3d(depths=(1, 1, 1, 1))
    with pytest.raises(ValueError, match=r"lacks blocks\.0\.conv\.weight \(1 in all\)"):
        resnet3d_from_image({name: w for name, w in image.items() if name != "conv1.weight"}, encoder)
    with pytest.raises(ValueError, match=r"without a place for them here, extra \(1 in all\)"):
        resnet3d_from_image({**image, "extra": torch.zeros(1)}, encoder)
    with pytest.raises(ValueError, match=r"in another shape blocks\.0\.conv\.weight"):
        resnet3d_from_image(image, ResNet3d(depths=(1, 1, 1, 1), width=16))
