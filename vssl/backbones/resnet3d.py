"""R3D: residual bottlenecks with temporal kernels, the encoder of CVRL.

Source: Qian et al. 2021, arXiv:2008.03800, Table 1; tensorflow/models: official/vision/modeling/backbones/resnet_3d.py,
official/vision/modeling/layers/nn_blocks_3d.py, official/projects/video_ssl/configs. Names of weights are those of
pytorchvideo's `create_resnet`, whose Slow-R50 differs in the stem alone.
Deviations: convolutions of stride 2 pad both ends alike, TensorFlow's "same" pads one more at the end; BatchNorm's
constants are torch's (0.1, 1e-5), the released TensorFlow backbone leaves its own to the framework's configuration.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from vssl.backbones.base import IMAGENET_MEAN, IMAGENET_STD, RGB
from vssl.backbones.maps import ConvBackbone, extents, halved
from vssl.nn.drop_path import DropPath, rising

EXPANSION = 4


class Stem(nn.Module):
    """Convolution, norm, and a maximum over 3 x 3 places: a quarter of the height and width is left."""

    def __init__(self, width: int, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, width, kernel, stride, padding=_half(kernel), bias=False)
        self.norm = nn.BatchNorm3d(width)
        self.pool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), padding=(0, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(torch.relu(self.norm(self.conv(x))))


class Branch(nn.Module):
    """t x 1 x 1, 1 x 3 x 3 with the stride, 1 x 1 x 1: a norm after each, a ReLU after the first two."""

    def __init__(self, in_dim: int, dim: int, kernel_frames: int, stride: int) -> None:
        super().__init__()
        kernel = (kernel_frames, 1, 1)
        self.conv_a = nn.Conv3d(in_dim, dim, kernel, padding=_half(kernel), bias=False)
        self.norm_a = nn.BatchNorm3d(dim)
        self.conv_b = nn.Conv3d(dim, dim, (1, 3, 3), (1, stride, stride), padding=(0, 1, 1), bias=False)
        self.norm_b = nn.BatchNorm3d(dim)
        self.conv_c = nn.Conv3d(dim, EXPANSION * dim, 1, bias=False)
        self.norm_c = nn.BatchNorm3d(EXPANSION * dim)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm_a(self.conv_a(x)))
        x = torch.relu(self.norm_b(self.conv_b(x)))
        return self.norm_c(self.conv_c(x))


class Bottleneck(nn.Module):
    """relu(shortcut(x) + branch(x)); the shortcut is a strided convolution where the shape changes."""

    def __init__(self, in_dim: int, dim: int, kernel_frames: int, stride: int, drop_path: float) -> None:
        super().__init__()
        self.branch1_conv: nn.Module = nn.Identity()
        self.branch1_norm: nn.Module = nn.Identity()
        if stride != 1 or in_dim != EXPANSION * dim:
            self.branch1_conv = nn.Conv3d(in_dim, EXPANSION * dim, 1, (1, stride, stride), bias=False)
            self.branch1_norm = nn.BatchNorm3d(EXPANSION * dim)
        self.branch2 = Branch(in_dim, dim, kernel_frames, stride)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.branch1_norm(self.branch1_conv(x)) + self.drop_path(self.branch2(x)))


class Stage(nn.Module):
    """Blocks in a row, the first of which strides."""

    def __init__(self, blocks: Sequence[Bottleneck]) -> None:
        super().__init__()
        self.res_blocks = nn.ModuleList(blocks)


class ResNet3d(ConvBackbone):
    """Four stages of bottlenecks; time is strided in the stem only.

    Args:
        depths: blocks of each stage: (3, 4, 6, 3) is R3D-50, (3, 8, 36, 3) R3D-152.
        width: features of the stem; stages are 1, 2, 4, 8 times as wide inside and four times that outside.
        kernel_frames: frames of the first convolution of each stage's blocks.
        stem_kernel, stem_stride: (frames, rows, columns) of the stem's convolution.
        zero_init: the last norm of each block starts at 0, so that every block starts as its shortcut. CVRL's release
            leaves it at 1; MoCo v3, SimSiam and SlowFast's contrastive models start their ResNets at 0.
        drop_path: rate of stochastic depth in the last block; it rises linearly from 0 in the first.
        checkpoint: recompute each block in the backward pass.
    """

    def __init__(
        self,
        depths: tuple[int, ...] = (3, 4, 6, 3),
        width: int = 64,
        kernel_frames: tuple[int, ...] = (1, 1, 3, 3),
        stem_kernel: tuple[int, int, int] = (5, 7, 7),
        stem_stride: tuple[int, int, int] = (2, 2, 2),
        zero_init: bool = True,
        drop_path: float = 0.0,
        checkpoint: bool = False,
        mean: RGB = IMAGENET_MEAN,
        std: RGB = IMAGENET_STD,
    ) -> None:
        super().__init__(mean, std)
        if len(depths) != len(kernel_frames) or min(depths, default=0) < 1:
            raise ValueError(f"depths is {depths} and kernel_frames {kernel_frames}; each stage needs both, 1 or more")
        if any(size < 1 or size % 2 == 0 for size in (*kernel_frames, *stem_kernel)):
            raise ValueError(f"kernel_frames is {kernel_frames} and stem_kernel {stem_kernel}; kernels must be odd")
        self.drop_path, self.checkpoint = drop_path, checkpoint
        self.stem_stride = stem_stride
        rates = iter(rising(drop_path, sum(depths)))
        parts: list[nn.Module] = [Stem(width, stem_kernel, stem_stride)]
        in_dim = width
        for stage, (depth, frames) in enumerate(zip(depths, kernel_frames, strict=True)):
            dim, blocks = width * 2**stage, []
            for block in range(depth):
                blocks.append(Bottleneck(in_dim, dim, frames, 2 if stage and not block else 1, next(rates)))
                in_dim = EXPANSION * dim
            parts.append(Stage(blocks))
        self.blocks = nn.ModuleList(parts)
        self.embed_dim = in_dim
        initialise(self, zero_init)

    def parts(self) -> dict[str, nn.Module]:
        return stem_and_blocks(self.blocks)

    def grid(self, clip_shape: Sequence[int]) -> tuple[int, int, int]:
        t, h, w = (-(-extent // step) for extent, step in zip(extents(clip_shape), self.stem_stride, strict=True))
        shrinking = len(self.blocks) - 1  # the pool, and all stages but the first
        return t, halved(h, shrinking), halved(w, shrinking)


def stem_and_blocks(blocks: nn.ModuleList) -> dict[str, nn.Module]:
    """The stem, then every residual block, by the names that they have where the list is called `blocks`."""
    stem, *stages = blocks
    inner = {
        f"blocks.{i}.res_blocks.{j}": block
        for i, stage in enumerate(stages, start=1)
        for j, block in enumerate(cast(nn.ModuleList, stage.res_blocks))
    }
    return {"blocks.0": stem, **inner}


def initialise(net: nn.Module, zero_init: bool) -> None:
    """Convolutions by He et al. 2015 with fan-out, as pytorchvideo; norms 1 and 0, a block's last one by choice."""
    for name, part in net.named_modules():
        if isinstance(part, nn.Conv3d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(part, nn.BatchNorm3d):
            nn.init.constant_(part.weight, 0.0 if zero_init and name.endswith("branch2.norm_c") else 1.0)
            nn.init.zeros_(part.bias)


def _half(kernel: tuple[int, int, int]) -> tuple[int, int, int]:
    return kernel[0] // 2, kernel[1] // 2, kernel[2] // 2
