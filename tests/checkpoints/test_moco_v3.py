"""MoCo v3's image ViT as a tubelet ViT: on a still clip of one tubelet it is what the image network is on its frame."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from tests.checkpoints.tools import clip, loaded, randomised
from vssl.backbones.resnet3d import ResNet3d
from vssl.backbones.timesformer import TimeSformer
from vssl.backbones.vit import VisionTransformer
from vssl.checkpoints.files import open_weights
from vssl.checkpoints.inspecting import Inspect
from vssl.checkpoints.load import fill_from
from vssl.config.errors import UserError


@pytest.fixture(scope="module")
def image_vit() -> Any:
    net = timm.models.VisionTransformer(img_size=16, patch_size=8, embed_dim=32, depth=2, num_heads=4, num_classes=0)
    return randomised(net)


@pytest.fixture
def released(image_vit: Any, tmp_path: Path) -> Path:
    weights = {f"module.base_encoder.{name}": tensor for name, tensor in image_vit.state_dict().items()}
    weights |= {f"module.momentum_encoder.{name}": tensor + 1 for name, tensor in image_vit.state_dict().items()}
    weights |= {f"module.{name}": torch.ones(3) for name in ("predictor.0.weight", "base_encoder.head.0.weight")}
    torch.save({"epoch": 300, "arch": "vit_small", "state_dict": weights}, tmp_path / "vit.pth.tar")
    return tmp_path / "vit.pth.tar"


def test_a_still_clip_of_one_tubelet_is_an_image(image_vit: Any, released: Path) -> None:
    encoder, report = loaded(released, heads=4, frames=2)
    assert report.layout == "moco_v3"
    assert set(report.left_out.values()) == {"the momentum copy", "the predictor", "the projection head"}
    still = clip(1, 16).expand(-1, -1, 2, -1, -1)
    with torch.no_grad():
        frame = encoder.normalise(still, channel_dim=1)[:, :, 0]
        theirs = image_vit.forward_features(frame)
        torch.testing.assert_close(encoder(still), theirs[:, 0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(encoder.tokens(still), theirs[:, 1:], atol=1e-5, rtol=1e-5)


def test_every_time_slot_has_the_positions_of_the_image(released: Path) -> None:
    for kind in ("learned_separable", "learned"):
        encoder, _ = loaded(released, heads=4, frames=8, positions=kind)
        assert isinstance(encoder, VisionTransformer)
        table = encoder.positions(encoder.grid((8, 16, 16))).detach().view(4, 4, 32)
        assert torch.equal(table, table[:1].expand(4, -1, -1))


def test_it_starts_a_timesformer(image_vit: Any, released: Path) -> None:
    encoder = TimeSformer(4, 16, 32, 2, 4, patch_size=8)
    node = {"_target_": "vssl.backbones.timesformer.TimeSformer", "heads": 4}
    fill_from(encoder, node, released)
    assert torch.equal(encoder.blocks[1].temporal_attn.qkv.weight, image_vit.blocks[1].attn.qkv.weight)
    still = clip(1, 16).expand(-1, -1, 4, -1, -1)
    with torch.no_grad():
        theirs = image_vit.forward_features(encoder.eval().normalise(still, channel_dim=1)[:, :, 0])
        torch.testing.assert_close(encoder(still), theirs[:, 0], atol=1e-5, rtol=1e-5)


def test_a_fixed_table_has_no_place_for_its_positions(released: Path) -> None:
    with pytest.raises(UserError, match=r"base_encoder\.pos_embed is .* there and has no place here"):
        loaded(released, heads=4, positions="sinusoid")
    with pytest.raises(UserError, match="cls_token is .* there and has no place here"):
        loaded(released, heads=4, pool="mean")


def test_a_convolutional_stem_is_refused_in_a_sentence(released: Path, tmp_path: Path) -> None:
    content = torch.load(released)
    weights = content["state_dict"]
    weights["module.base_encoder.patch_embed.proj.0.weight"] = torch.ones(4, 3, 3, 3)
    del weights["module.base_encoder.patch_embed.proj.weight"]
    torch.save(content, tmp_path / "conv.pth.tar")
    told = "is a MoCo v3 ViT with a convolutional stem, and no backbone here has that: those of patches are read"
    with pytest.raises(UserError, match=told):
        loaded(tmp_path / "conv.pth.tar", frames=2)
    assert told in "\n".join(Inspect()(open_weights(tmp_path / "conv.pth.tar"), None, ""))


def test_it_starts_no_convolutions(released: Path) -> None:
    with pytest.raises(UserError, match="an image ViT starts a tubelet ViT or a TimeSformer, no ResNet3d"):
        fill_from(ResNet3d((1, 1, 1, 1), width=16), {}, released)


def test_the_small_model_has_twelve_heads(tmp_path: Path) -> None:
    net = timm.models.VisionTransformer(img_size=16, patch_size=16, embed_dim=384, depth=1, num_heads=12, num_classes=0)
    weights = {f"module.base_encoder.{name}": tensor for name, tensor in net.state_dict().items()}
    torch.save({"state_dict": weights}, tmp_path / "vit_small.pth.tar")
    encoder, _ = loaded(tmp_path / "vit_small.pth.tar", frames=2)
    assert encoder.blocks[0].attn.heads == 12
    with pytest.raises(UserError, match=r"heads is 12 there, 6 here \(backbone\.heads=12\)"):
        loaded(tmp_path / "vit_small.pth.tar", frames=2, heads=6)
