import sys
from typing import Any

from vssl import _torchvision  # noqa: F401

# isort: split
import pytest
import torch
from pytorchvideo.models.resnet import create_resnet
from torch import Tensor, nn
from torchvision.models import video

from tests.backbones.parity import PLAIN, assert_equal_training, clips, weights
from vssl.backbones.base import Backbone
from vssl.backbones.resnet3d import ResNet3d
from vssl.backbones.slow_r50 import SlowR50
from vssl.backbones.torchvision_resnet import TorchvisionResNet
from vssl.config.errors import UserError


def _shaken(net: Any) -> Any:
    torch.manual_seed(2)
    for name, tensor in net.state_dict().items():
        if name.endswith(("norm.weight", "norm_c.weight", "bias", "running_mean")):
            tensor += 0.1 * torch.randn_like(tensor)
    return net


class _Pooled(nn.Module):
    """pytorchvideo's network without its head, then the mean over all places."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.blocks = net.blocks

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x.mean(dim=(2, 3, 4))


R3D = {"stem_conv_kernel_size": (5, 7, 7), "stem_conv_stride": (2, 2, 2)}
SLOW = {"stem_conv_kernel_size": (1, 7, 7)}


def test_r3d_50_equals_pytorchvideo() -> None:
    ours = _shaken(ResNet3d(**PLAIN)).double()
    theirs = _Pooled(create_resnet(model_depth=50, head=None, **R3D)).double()
    assert_equal_training(ours, theirs, clips(4, 32).double())


def test_slow_r50_is_r3d_with_another_stem() -> None:
    ours = _shaken(ResNet3d(stem_kernel=(1, 7, 7), stem_stride=(1, 2, 2))).eval()
    slow = SlowR50().eval()
    slow.load_state_dict(ours.state_dict())
    torch.testing.assert_close(slow(clips(4, 32)), ours(clips(4, 32)), rtol=1e-5, atol=1e-5)
    assert slow.grid((4, 32, 32)) == ours.grid((4, 32, 32))
    assert [list(layer) for layer in slow.layers()] == [list(layer) for layer in ours.layers()]


def test_slow_r50_pools_as_pytorchvideos_head_does_on_clips_of_its_size() -> None:
    slow = _shaken(SlowR50(**PLAIN)).eval()
    whole = create_resnet(model_depth=50, head_pool_kernel_size=(2, 1, 1), model_num_class=2048, **SLOW).eval()
    whole.blocks[-1].proj = nn.Identity()
    whole.load_state_dict(weights(slow))
    torch.testing.assert_close(slow(clips(2, 32)), whole(clips(2, 32)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("depth", [50, 152])
def test_names_and_shapes_are_pytorchvideos(depth: int) -> None:
    depths = {50: (3, 4, 6, 3), 152: (3, 8, 36, 3)}[depth]
    with torch.device("meta"):
        ours, theirs = ResNet3d(depths), create_resnet(model_depth=depth, head=None, **R3D)
    shapes = {name: tensor.shape for name, tensor in weights(ours).items()}
    assert shapes == {name: tensor.shape for name, tensor in theirs.state_dict().items()}


@pytest.mark.parametrize("name", ["r3d_18", "mc3_18", "r2plus1d_18"])
def test_18_layer_networks_equal_torchvision(name: Any) -> None:
    ours = TorchvisionResNet(name, **PLAIN)
    theirs = getattr(video, name)(weights=None)
    theirs.fc = nn.Identity()
    clip = clips(8, 32)
    assert_equal_training(ours.double(), theirs.double(), clip.double())
    assert ours.grid(clip.shape) == ((8 if name == "mc3_18" else 1), 2, 2)
    assert [len(layer) for layer in ours.layers()[:1]] and len(ours.layers()) == 9


def test_without_pytorchvideo_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "pytorchvideo"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pytorchvideo", None)
    with pytest.raises(UserError, match="needs the package pytorchvideo, which is not installed") as told:
        SlowR50()
    assert "vssl[pytorchvideo]" in str(told.value) and "backbone=r3d_50" in str(told.value)


def _last_norms(encoder: Backbone) -> list[Tensor]:
    ends = ("branch2.norm_c.weight", "conv2.1.weight")
    return [p for name, p in encoder.named_parameters() if name.endswith(ends)]


NANO: dict[str, Any] = {"depths": (1, 1, 1, 1), "width": 8}


@pytest.mark.parametrize("zero_init", [True, False])
def test_zero_init_starts_every_block_as_its_shortcut(zero_init: bool) -> None:
    with torch.device("cpu"):
        nets = [ResNet3d(**NANO, zero_init=zero_init), TorchvisionResNet("r3d_18", zero_init=zero_init)]
    for net, blocks in zip(nets, (4, 8), strict=True):
        norms = _last_norms(net)
        assert len(norms) == blocks
        assert all(bool((norm == (0 if zero_init else 1)).all()) for norm in norms)
    block = nets[0].blocks[1].res_blocks[0]
    x = torch.randn(2, 8, 2, 4, 4)
    is_shortcut = torch.equal(block(x), torch.relu(block.branch1_norm(block.branch1_conv(x))))
    assert is_shortcut == zero_init


def test_defaults_of_zero_init() -> None:
    with torch.device("meta"):
        slow = SlowR50()
    assert not any(norm.any() for norm in _last_norms(ResNet3d(**NANO)))
    assert len(_last_norms(slow)) == 16
    assert all((norm == 1).all() for norm in _last_norms(TorchvisionResNet("r2plus1d_18")))


def test_width_multiplies_every_part() -> None:
    encoder = ResNet3d(**{**NANO, "width": 16})
    assert encoder.embed_dim == 512 and encoder.blocks[0].conv.out_channels == 16
    assert encoder.blocks[4].res_blocks[0].branch2.conv_b.in_channels == 128


def test_time_is_strided_in_the_stem_alone() -> None:
    encoder = ResNet3d(**NANO)
    assert encoder.grid((3, 16, 224, 224)) == (8, 7, 7)
    assert encoder.feature_map(clips(5, 40)).shape[2:] == encoder.grid((5, 40, 40)) == (3, 2, 2)
    kernels = [stage.res_blocks[0].branch2.conv_a.kernel_size[0] for stage in list(encoder.blocks)[1:]]
    assert kernels == [1, 1, 3, 3]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"depths": (1, 1)}, r"depths is \(1, 1\) and kernel_frames \(1, 1, 3, 3\)"),
        ({"kernel_frames": (1, 1, 2, 3)}, "kernels must be odd"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        ResNet3d(**changes)
