"""Video Swin by torchvision's names and by the official ones: the same features, the same bits back."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torchvision.models.video.swin_transformer import SwinTransformer3d, swin3d_t

from tests.checkpoints.tools import clip, loaded, randomised, same
from vssl.backbones.swin import VideoSwin
from vssl.checkpoints.export import Export
from vssl.checkpoints.swin_facts import _window
from vssl.config.errors import UserError


@pytest.fixture(scope="module")
def theirs() -> SwinTransformer3d:
    net = SwinTransformer3d([2, 4, 4], 24, [2, 2], [2, 4], [8, 7, 7], stochastic_depth_prob=0.1, num_classes=5)
    return randomised(net)


def test_features_are_those_of_torchvision(theirs: SwinTransformer3d, tmp_path: Path) -> None:
    torch.save(theirs.state_dict(), tmp_path / "swin.pth")
    encoder, report = loaded(tmp_path / "swin.pth")
    assert isinstance(encoder, VideoSwin)
    assert (report.layout, set(report.left_out)) == ("torchvision_swin3d", {"head.weight", "head.bias"})
    assert encoder.window == (8, 7, 7)
    pixels = clip(4, 64)  # 2 x 16 x 16 and 2 x 8 x 8 places: above the window in height and width
    with torch.no_grad():
        features = encoder(pixels)
        logits = torch.nn.functional.linear(features, theirs.head.weight, theirs.head.bias)
        torch.testing.assert_close(logits, theirs(encoder.normalise(pixels, channel_dim=1)), atol=1e-5, rtol=1e-5)


def official_swin(theirs: SwinTransformer3d) -> dict[str, Tensor]:
    """The names of SwinTransformer/Video-Swin-Transformer."""
    official = {}
    for name, tensor in theirs.state_dict().items():
        if name.startswith("head."):
            official[f"cls_head.fc_cls.{name.removeprefix('head.')}"] = tensor
            continue
        found = re.match(r"features\.(\d+)\.(.+)", name)
        if found:
            stage, rest = divmod(int(found[1]), 2)
            inner = found[2].replace("mlp.0.", "mlp.fc1.").replace("mlp.3.", "mlp.fc2.")
            name = f"layers.{stage}.downsample.{inner}" if rest else f"layers.{stage}.blocks.{inner}"
        if name.endswith("relative_position_index"):
            tensor = tensor.view(round(tensor.numel() ** 0.5), -1)
        official[f"backbone.{name}"] = tensor
    return official


def test_official_names(theirs: SwinTransformer3d, tmp_path: Path) -> None:
    torch.save({"meta": {"epoch": 1}, "state_dict": official_swin(theirs)}, tmp_path / "official.pth")
    torch.save(theirs.state_dict(), tmp_path / "torchvision.pth")
    encoder, report = loaded(tmp_path / "official.pth")
    assert report.layout == "video_swin"
    assert same(encoder.state_dict(), loaded(tmp_path / "torchvision.pth")[0].state_dict())


def test_out_and_in_again(tmp_path: Path) -> None:
    encoder = randomised(VideoSwin(8, 96, (2, 2, 6, 2), (3, 6, 12, 24)))
    file = Export("torchvision")(encoder, {"size": 224}, {}, tmp_path / "out")
    assert '"model": "swin3d_t"' in (tmp_path / "out" / "config.json").read_text()
    read, _ = loaded(file)
    assert same(read.state_dict(), encoder.state_dict())
    answer = swin3d_t(weights=None).load_state_dict(load_file(file), strict=False)
    assert (answer.missing_keys, answer.unexpected_keys) == (["head.weight", "head.bias"], [])


def test_what_torchvision_has_not_is_not_exported(tmp_path: Path) -> None:
    encoder = VideoSwin(8, 24, (2, 2), (2, 4))
    for layout, told in (
        ("torchvision", "torchvision has no Video Swin of width 24"),
        ("huggingface", "it has no VideoSwin"),
    ):
        with pytest.raises(UserError, match=told):
            Export(layout)(encoder, {"size": 64}, {}, tmp_path / "out")  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("window", [(8, 7), (2, 7), (16, 7), (2, 4), (1, 12), (4, 5)])
def test_a_window_is_read_from_its_table(window: tuple[int, int]) -> None:
    frames, side = window
    rows, places = (2 * frames - 1) * (2 * side - 1) ** 2, frames * side**2
    assert _window(rows, torch.zeros(places**2)) == window
