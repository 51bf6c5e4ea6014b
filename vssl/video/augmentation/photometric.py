"""Photometric operations on clips, on any device: float [B, T, C, H, W] in [0, 1], one parameter a clip.

Each equals torchvision's functional operation on the frames of each clip, unless it says whose it is. Those with a
trailing underscore change the clip in place. Nothing here waits for the device.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

_LUMA = (0.2989, 0.587, 0.114)
_LEAST_CHROMA = 1e-20  # of a grey pixel; the differences that are divided by it are 0


def adjust_brightness_(clip: Tensor, factor: Tensor) -> Tensor:
    """Times `factor` (B,), at least 0."""
    return clip.mul_(_per_clip(factor)).clamp_(max=1)


def adjust_contrast_(clip: Tensor, factor: Tensor) -> Tensor:
    """Away from (above 1) or towards (below 1) the mean grey of each *frame*, by `factor` (B,)."""
    mean = greyscale(clip).mean(dim=(-2, -1), keepdim=True)
    # Not `lerp_`, which is slow where one end is a single number per frame.
    return clip.mul_(_per_clip(factor)).add_(mean * _per_clip(1 - factor)).clamp_(0, 1)


def adjust_contrast_of_clip_(clip: Tensor, factor: Tensor) -> Tensor:
    """Away from or towards the mean of each channel over all frames of the clip, by `factor` (B,).

    Source: `tf.image.adjust_contrast` on the frames as one tall image, as CVRL calls it.
    """
    mean = clip.mean(dim=(1, 3, 4), keepdim=True)
    return clip.mul_(_per_clip(factor)).add_(mean * _per_clip(1 - factor)).clamp_(0, 1)


def adjust_saturation_(clip: Tensor, factor: Tensor) -> Tensor:
    """Away from or towards each pixel's grey, by `factor` (B,)."""
    return clip.lerp_(greyscale(clip), _per_clip(1 - factor)).clamp_(0, 1)


def adjust_saturation_of_hsv_(clip: Tensor, factor: Tensor) -> Tensor:
    """Times `factor` (B,), at least 0, in HSV, where saturation ends at 1: the brightest channel stays as it is.

    Source: `tf.image.adjust_saturation`, as CVRL calls it.
    """
    value = clip.amax(dim=2, keepdim=True)
    chroma = value - clip.amin(dim=2, keepdim=True)
    # Saturation is chroma / value: as a multiple of the chroma it may grow to value / chroma.
    scale = torch.minimum(_per_clip(factor), value / chroma.clamp(min=_LEAST_CHROMA))
    return clip.sub_(value).mul_(scale).add_(value).clamp_(0, 1)


def adjust_hue_(clip: Tensor, shift: Tensor) -> Tensor:
    """Turns the hue by `shift` (B,) of a full circle, -0.5 to 0.5.

    Without the branches of a conversion to HSV and back, which cost most of the time: each channel is
    value - chroma * t, where t in [0, 1] depends on the distance of the hue from the channel's own.
    """
    red, green, blue = clip.unbind(dim=2)  # each [B, T, H, W]
    value, lowest = clip.amax(dim=2), clip.amin(dim=2)
    chroma = value - lowest
    hue = hue_in_sixths(red, green, blue, value, chroma).add_(6 * shift.view(-1, 1, 1, 1))
    hue.sub_(torch.floor(hue / 6), alpha=6)  # in [0, 6)
    torch.addcmul(value, chroma, (2 - (hue - 3).abs_()).clamp_(0, 1), value=-1, out=red)
    torch.addcmul(value, chroma, (hue - 2).abs_().sub_(1).clamp_(0, 1), value=-1, out=green)
    torch.addcmul(value, chroma, (hue - 4).abs_().sub_(1).clamp_(0, 1), value=-1, out=blue)
    return clip


def hue_in_sixths(red: Tensor, green: Tensor, blue: Tensor, value: Tensor, chroma: Tensor) -> Tensor:
    """Hue as sixths of the circle, -3 to 3, red being 0; 0 for grey. `value` is the brightest channel."""
    # Distance from red along the circle, 0 to 3 sixths: (2 max - 2 min + green + blue - red - max) / (max - min).
    distance = (green + blue).sub_(red).sub_(value).add_(chroma, alpha=2).div_(chroma.clamp(min=_LEAST_CHROMA))
    return distance.copysign_(green - blue)


def greyscale(clip: Tensor) -> Tensor:
    """Luma, [B, T, 1, H, W] (ITU-R BT.601)."""
    red, green, blue = (channel.unsqueeze(2) for channel in clip.unbind(dim=2))
    return red.mul(_LUMA[0]).add_(green, alpha=_LUMA[1]).add_(blue, alpha=_LUMA[2])


def blur_kernel_size(size: int) -> int:
    """Taps of the blur for a view of `size` pixels: a tenth of it, odd, at least 3 (23 at 224).

    Source: SimCLR, BYOL and CVRL at 224 pixels. It also keeps the blur mild on small views: 3 taps at 32.
    """
    return max(3, size // 10 | 1)


def gaussian_blur(clip: Tensor, kernel_size: int, sigma: Tensor) -> Tensor:
    """Blurred by a Gaussian of `sigma` (B,) pixels cut off at `kernel_size` (odd) taps; borders are reflected.

    Sums of shifted copies: exact in float32 on every device, where a convolution would be free to use less.
    """
    radius = kernel_size // 2
    distance = torch.arange(-radius, radius + 1, device=clip.device, dtype=clip.dtype)
    weights = torch.softmax(-0.5 * (distance / sigma[:, None]) ** 2, dim=1).view(-1, kernel_size, 1, 1, 1)
    padded = F.pad(clip.flatten(1, 2), (radius,) * 4, mode="reflect")  # [B, T * C, H + 2 radius, W + 2 radius]
    return _weighted(_weighted(padded, weights, dim=2), weights, dim=3).view_as(clip)


def solarise(clip: Tensor, threshold: Tensor) -> Tensor:
    """What is at least `threshold` (B,) bright, inverted."""
    return torch.where(clip >= _per_clip(threshold), 1 - clip, clip)


def _weighted(padded: Tensor, weights: Tensor, dim: int) -> Tensor:
    taps = weights.shape[1]
    length = padded.shape[dim] - taps + 1
    total = padded.narrow(dim, 0, length) * weights[:, 0]
    for tap in range(1, taps):
        total.addcmul_(padded.narrow(dim, tap, length), weights[:, tap])
    return total


def _per_clip(parameter: Tensor) -> Tensor:
    return parameter.view(-1, 1, 1, 1, 1)
