"""torchvision's R3D-18, MC3-18 and R(2+1)D-18; in and out.

Source: torchvision.models.video.resnet, and its weights' transforms.
"""

from typing import Any

from torch import Tensor

from vssl.backbones.torchvision_resnet import TorchvisionResNet
from vssl.checkpoints.files import Opened
from vssl.checkpoints.layout import Facts, Layout, Tensors

TARGET = "vssl.backbones.torchvision_resnet.TorchvisionResNet"
FRAMES, SIZE = 16, 112


class TorchvisionR3d(Layout):
    """Names are ours; only the classifier has no place."""

    name = "torchvision_r3d"
    told = "r3d_18, mc3_18, r2plus1d_18 of torchvision"
    signature = (r"^stem\.0\.weight$", r"^layer1\.0\.conv1\.0(\.0)?\.weight$", r"^layer4\.1\.conv2\.1\.weight$")
    kernel = ("stem.0.weight", 5)
    left_out = ((r"fc\.(weight|bias)", "the classifier"),)
    may_lack = ((r".*\.num_batches_tracked", "counts nothing that is used"),)
    mean = (0.43216, 0.394666, 0.37645)
    std = (0.22803, 0.22145, 0.216989)

    def facts(self, tensors: Tensors, opened: Opened) -> Facts | None:
        node = {"_target_": TARGET, "name": _model(tensors), "mean": self.mean, "std": self.std}
        return Facts(node, {"frames": FRAMES, "size": SIZE})

    def rename(self, name: str) -> str | None:
        return None if name.startswith("fc.") else name


def to_torchvision_r3d(encoder: TorchvisionResNet) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights of torchvision's model but for `fc`, and which model it is."""
    kept = {name: tensor for name, tensor in encoder.state_dict().items() if name not in ("mean", "std")}
    return kept, {"model": _model(kept), "without": ["fc.weight", "fc.bias"]}


def _model(tensors: Tensors) -> str:
    if "stem.3.weight" in tensors:  # the only one whose stem has two convolutions
        return "r2plus1d_18"
    over_time = tensors["layer2.0.conv1.0.weight"].shape[2] > 1
    return "r3d_18" if over_time else "mc3_18"
