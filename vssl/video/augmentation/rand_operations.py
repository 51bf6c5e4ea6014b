"""RandAugment's operations on clips: uint8 [B, T, C, H, W], one argument a clip, changed in place.

On uint8 as in the source, where every operation ends in whole grey levels. Each equals torchvision's functional
operation on the uint8 frames of each clip: histograms and means are those of single frames. Nothing here waits for
the device.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from vssl import _torchvision  # noqa: F401  (before torchvision)

# isort: split
from torchvision.transforms.v2 import functional as torchvision

from vssl.video.augmentation.deck import Deck, InPlace
from vssl.video.augmentation.photometric import greyscale
from vssl.video.augmentation.rand_augment import COLOUR_OPERATIONS, NO_OPERATION, Chosen, matrices

FILL = 128  # grey level of what a turned, sheared or moved frame uncovers


def rand_augment(deck: Deck, chosen: Chosen) -> None:
    """Applies the draws, turn by turn, to a deck of uint8 clips."""
    operations = [_BY_NAME[name] for name in COLOUR_OPERATIONS]
    for turn in range(chosen.operation.shape[1]):
        choice = chosen.operation[:, turn]
        deck.change(operations, choice.clip(max=len(operations)), chosen.argument[:, turn])
        is_placed = (choice >= len(operations)) & (choice < NO_OPERATION)
        deck.change((warp_,), 1 - is_placed.astype(choice.dtype), matrices(chosen, turn))


def autocontrast_(clip: Tensor, _: Tensor) -> Tensor:
    """Stretches each channel of each frame to 0 to 255."""
    return clip.copy_(torchvision.autocontrast(clip))


def equalise_(clip: Tensor, _: Tensor) -> Tensor:
    """Flattens the histogram of each channel of each frame."""
    return clip.copy_(torchvision.equalize(clip))


def invert_(clip: Tensor, _: Tensor) -> Tensor:
    """255 minus the grey level."""
    return clip.bitwise_not_()


def posterise_(clip: Tensor, bits: Tensor) -> Tensor:
    """Keeps the highest `bits` (B,) of each grey level, 0 to 8."""
    return clip.bitwise_and_((255 << (8 - _whole(bits))).bitwise_and_(255).to(torch.uint8))


def solarise_(clip: Tensor, threshold: Tensor) -> Tensor:
    """Inverts grey levels of at least `threshold` (B,), 0 to 256."""
    return clip.bitwise_xor_((clip >= _whole(threshold)).to(torch.uint8).mul_(255))


def solarise_add_(clip: Tensor, levels: Tensor) -> Tensor:
    """Adds `levels` (B,), 0 to 128, to what is darker than 128."""
    return clip.add_((clip < 128).to(torch.uint8).mul_(_whole(levels).to(torch.uint8)))


def colour_(clip: Tensor, factor: Tensor) -> Tensor:
    """Away from or towards each pixel's grey, by `factor` (B,)."""
    return _blended(clip, greyscale(clip).floor_(), factor)


def contrast_(clip: Tensor, factor: Tensor) -> Tensor:
    """Away from or towards the mean grey of each frame, by `factor` (B,)."""
    return _blended(clip, greyscale(clip).floor_().mean(dim=(-3, -2, -1), keepdim=True), factor)


def brightness_(clip: Tensor, factor: Tensor) -> Tensor:
    """Times `factor` (B,), at least 0."""
    return clip.copy_((clip * _per_clip(factor)).clamp_(max=255))


def sharpness_(clip: Tensor, factor: Tensor) -> Tensor:
    """Away from or towards the mean of the 3 x 3 pixels around, the middle five times, by `factor` (B,).

    Pixels at the border stay as they are.
    """
    if min(clip.shape[-2:]) < 3:
        return clip
    inner = clip[..., 1:-1, 1:-1]
    means = F.avg_pool2d(clip.flatten(0, 1).float(), kernel_size=3, stride=1).view(inner.shape)
    smooth = means.mul_(9 / 13).add_(inner, alpha=4 / 13).round_()
    inner.copy_(smooth.sub_(inner).mul_(1 - _per_clip(factor)).add_(inner).clamp_(0, 255))
    return clip


def warp_(clip: Tensor, matrix: Tensor) -> Tensor:
    """Reads all frames of a clip where `matrix` (B, 6) says, see `matrices`; bilinear, `FILL` outside.

    One grid a clip: frames and channels are read together.
    """
    height, width = clip.shape[-2:]
    m = matrix.view(-1, 6, 1, 1).unbind(dim=1)
    # By hand: a product of matrices would be free to use fewer bits on a GPU.
    x = (torch.arange(width, device=clip.device) * 2 + 1 - width) / width
    y = ((torch.arange(height, device=clip.device) * 2 + 1 - height) / height)[:, None]
    grid = torch.stack([m[0] * x + m[1] * y + m[2], m[3] * x + m[4] * y + m[5]], dim=-1)  # [B, H, W, 2]
    # Less the fill, so that the zeros outside are the fill.
    pixels = clip.flatten(1, 2).float().sub_(FILL)
    read = F.grid_sample(pixels, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return clip.copy_(read.add_(FILL).round_().clamp_(0, 255).view_as(clip))


_BY_NAME: dict[str, InPlace] = {
    "autocontrast": autocontrast_,
    "equalise": equalise_,
    "invert": invert_,
    "posterise": posterise_,
    "solarise": solarise_,
    "solarise_add": solarise_add_,
    "colour": colour_,
    "contrast": contrast_,
    "brightness": brightness_,
    "sharpness": sharpness_,
}


def _blended(clip: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    # As PIL blends, so that a pixel which equals the other keeps its grey level. Grey levels are cut off, not rounded.
    return clip.copy_((clip - other).mul_(_per_clip(factor)).add_(other).clamp_(0, 255))


def _per_clip(parameter: Tensor) -> Tensor:
    return parameter.view(-1, 1, 1, 1, 1)


def _whole(parameter: Tensor) -> Tensor:
    return _per_clip(parameter).to(torch.int16)
