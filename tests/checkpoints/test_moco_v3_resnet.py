"""MoCo v3's ResNet-50, inflated: away from the ends of a still clip it is what the image network is on its frame."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet, resnet50

from tests.checkpoints.tools import clip, loaded, randomised, same
from vssl.backbones.resnet3d import ResNet3d
from vssl.backbones.slow_r50 import SlowR50
from vssl.backbones.vit import VisionTransformer
from vssl.checkpoints.load import fill_from
from vssl.config.errors import UserError


def released(net: ResNet, path: Path) -> Path:
    """As main_moco.py saves it: `fc` of the encoder is the projector."""
    encoder = {f"module.base_encoder.{k}": v for k, v in net.state_dict().items() if not k.startswith("fc.")}
    weights = {**encoder, **{k.replace("base_", "momentum_"): v + 1 for k, v in encoder.items()}}
    heads = ("base_encoder.fc.0.weight", "base_encoder.fc.1.running_mean", "predictor.3.weight")
    weights |= {f"module.{name}": torch.ones(3) for name in heads}
    torch.save({"epoch": 1000, "arch": "resnet50", "state_dict": weights, "optimizer": {}}, path)
    return path


def features(net: ResNet, frame: torch.Tensor) -> torch.Tensor:
    net.avgpool, net.fc = nn.AdaptiveAvgPool2d(1), nn.Identity()
    with torch.no_grad():
        return net.double()(frame)


def test_inner_slots_of_a_still_clip(tmp_path: Path) -> None:
    image: Any = randomised(ResNet(Bottleneck, [1, 1, 1, 1], num_classes=1))
    encoder, report = loaded(released(image, tmp_path / "r.pth.tar"))
    assert isinstance(encoder, ResNet3d)
    assert (report.layout, len(report.matched), report.missing) == ("moco_v3_resnet", report.tensors, {})
    assert set(report.left_out.values()) == {"the momentum copy", "the predictor", "the projection head"}
    still = clip(1, 32).double().expand(-1, -1, 16, -1, -1)
    with torch.no_grad():
        inner = encoder.double().feature_map(still).mean(dim=(3, 4))[:, :, 3:5]
    theirs = features(image, encoder.normalise(still, channel_dim=1)[:, :, 0])[..., None].expand(-1, -1, 2)
    # 1e-6: the inflated kernels were divided in float32.
    assert (inner - theirs).abs().max() < 1e-6 * theirs.abs().max()


@pytest.mark.slow
def test_slow_r50_where_it_is_chosen(tmp_path: Path) -> None:
    pytest.importorskip("pytorchvideo")
    image = randomised(resnet50(weights=None))
    encoder = SlowR50().eval()
    fill_from(encoder, {"_target_": "vssl.backbones.slow_r50.SlowR50"}, released(image, tmp_path / "r.pth.tar"))
    still = clip(1, 32, batch=1).double().expand(-1, -1, 20, -1, -1)
    with torch.no_grad():  # 9 of its convolutions see 3 frames: a padded end reaches 9 slots
        inner = encoder.double().feature_map(still).mean(dim=(3, 4))[:, :, 9:11]
    theirs = features(image, encoder.normalise(still, channel_dim=1)[:, :, 0])[..., None].expand(-1, -1, 2)
    assert (inner - theirs).abs().max() < 1e-6 * theirs.abs().max()


def test_what_it_does_not_fit(tmp_path: Path) -> None:
    path = released(ResNet(Bottleneck, [1, 1, 1, 1]), tmp_path / "r.pth.tar")
    encoder = ResNet3d((1, 2, 1, 1))
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    with pytest.raises(UserError, match=r"r\.pth\.tar does not fit this backbone: the image network lacks blocks\.2"):
        fill_from(encoder, {}, path)
    assert same(dict(encoder.state_dict()), before)
    with pytest.raises(UserError, match="an image ResNet starts r3d_50 or slow_r50, no VisionTransformer"):
        fill_from(VisionTransformer(2, 16, 32, 1, 2, patch_size=8), {}, path)
