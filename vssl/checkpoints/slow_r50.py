"""Slow-R50 of pytorchvideo's hub.

Source: facebookresearch/pytorchvideo: pytorchvideo/models/hub/resnet.py; pixels by its hub tutorial.
"""

from vssl.checkpoints.files import Opened
from vssl.checkpoints.layout import Facts, Layout, Tensors

TARGET = "vssl.backbones.slow_r50.SlowR50"
FRAMES, SIZE = 8, 256


class SlowR50Hub(Layout):
    """Names are ours; only the head, block 5, has no place."""

    name = "slow_r50"
    told = "slow_r50 of pytorchvideo"
    containers = (("model_state",), ())
    signature = (r"^blocks\.0\.conv\.weight$", r"^blocks\.1\.res_blocks\.0\.branch2\.conv_a\.weight$")
    kernel = ("blocks.0.conv.weight", 5)
    left_out = ((r"blocks\.5\..*", "the classifier"),)
    may_lack = ((r".*\.num_batches_tracked", "counts nothing that is used"),)
    mean = (0.45, 0.45, 0.45)
    std = (0.225, 0.225, 0.225)

    def facts(self, tensors: Tensors, opened: Opened) -> Facts | None:
        node = {"_target_": TARGET, "mean": self.mean, "std": self.std}
        return Facts(node, {"frames": FRAMES, "size": SIZE})

    def rename(self, name: str) -> str | None:
        return None if name.startswith("blocks.5.") else name
