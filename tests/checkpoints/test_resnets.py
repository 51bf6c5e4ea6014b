"""torchvision's R3D family and pytorchvideo's Slow-R50: the same logits, the same bits back."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torchvision.models import video

from tests.checkpoints.tools import clip, loaded, randomised, same
from vssl.backbones.base import IMAGENET_MEAN, IMAGENET_STD
from vssl.backbones.torchvision_resnet import TorchvisionResNet
from vssl.checkpoints.export import Export
from vssl.checkpoints.torchvision_r3d import TorchvisionR3d
from vssl.checkpoints.torchvision_swin3d import TorchvisionSwin3d


@pytest.mark.parametrize("name", ["r3d_18", "mc3_18", "r2plus1d_18"])
def test_torchvision(name: str, tmp_path: Path) -> None:
    theirs = randomised(getattr(video, name)(weights=None, num_classes=5))
    torch.save(theirs.state_dict(), tmp_path / "net.pth")
    encoder, report = loaded(tmp_path / "net.pth")
    assert (report.layout, set(report.left_out)) == ("torchvision_r3d", {"fc.weight", "fc.bias"})
    pixels = clip(4, 32, batch=1)
    with torch.no_grad():
        logits = theirs.fc(encoder(pixels))
        torch.testing.assert_close(logits, theirs(encoder.normalise(pixels, channel_dim=1)), rtol=1e-5, atol=1e-5)
    file = Export("torchvision")(encoder, {"size": 112}, {}, tmp_path / "out")
    assert f'"model": "{name}"' in (tmp_path / "out" / "config.json").read_text()
    assert same(loaded(file)[0].state_dict(), encoder.state_dict())
    kept = {key: tensor for key, tensor in theirs.state_dict().items() if not key.startswith("fc.")}
    assert same(load_file(file), kept)
    answer = getattr(video, name)(weights=None, num_classes=5).load_state_dict(load_file(file), strict=False)
    assert (answer.missing_keys, answer.unexpected_keys) == (["fc.weight", "fc.bias"], [])


def test_pixels_of_a_run_come_back(tmp_path: Path) -> None:
    """A run of ours has ImageNet's mean by default, a file of torchvision Kinetics'."""
    encoder = randomised(TorchvisionResNet("mc3_18"))
    node = {"mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)}
    file = Export("torchvision")(encoder, {"frames": 8, "size": 64}, node, tmp_path / "out")
    read, _ = loaded(file)
    assert same(read.state_dict(), encoder.state_dict())


@pytest.mark.parametrize(("name", "weights"), [("r3d_18", "R3D_18_Weights"), ("mc3_18", "MC3_18_Weights")])
def test_pixels_are_those_of_torchvisions_transforms(name: str, weights: str) -> None:
    r3d, swin = getattr(video, weights).DEFAULT.transforms(), video.Swin3D_T_Weights.DEFAULT.transforms()
    assert (tuple(r3d.mean), tuple(r3d.std)) == (TorchvisionR3d.mean, TorchvisionR3d.std)
    assert (tuple(swin.mean), tuple(swin.std)) == (TorchvisionSwin3d.mean, TorchvisionSwin3d.std)


def test_slow_r50(tmp_path: Path) -> None:
    pytest.importorskip("pytorchvideo")
    from pytorchvideo.models.hub.resnet import slow_r50

    theirs = randomised(slow_r50(pretrained=False))
    torch.save({"model_state": theirs.state_dict()}, tmp_path / "slow.pyth")
    encoder, report = loaded(tmp_path / "slow.pyth")
    assert (report.layout, set(report.left_out)) == ("slow_r50", {"blocks.5.proj.weight", "blocks.5.proj.bias"})
    pixels = clip(2, 64, batch=1)
    with torch.no_grad():
        x = encoder.normalise(pixels, channel_dim=1)
        for block in theirs.blocks[:-1]:
            x = block(x)
        torch.testing.assert_close(encoder.feature_map(pixels), x, rtol=1e-4, atol=1e-4)
