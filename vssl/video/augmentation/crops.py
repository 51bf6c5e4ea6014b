"""Where a clip is cut from the frame, and the cut itself: on the host, in the worker, on uint8."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from vssl.video.draws import stream, uniform_stream
from vssl.video.published import crops_along
from vssl.video.views import Augment

Box = tuple[int, int, int, int]
"""top, left, height, width in pixels of the upright frame."""

_TRIES = 10
_MULTI_SCALES = (1.0, 0.875, 0.75, 0.66)
# (x, y) in quarters of the free space: corners, centre, edge middles, quarter points.
_MULTI_SCALE_PLACES = (
    *((0, 0), (4, 0), (0, 4), (4, 4), (2, 2)),
    *((0, 2), (4, 2), (2, 4), (2, 0)),
    *((1, 1), (3, 1), (1, 3), (3, 3)),
)
_NEAR_SIZE_PX = 2


def crop_box(key: int, position: int, augment: Augment | None, height: int, width: int, size: int) -> Box:
    """The crop of one view of one sample; without augmentation the centre square.

    Args:
        key: the sample's key.
        position: of the view.
        height: of the frame, in pixels; `width` alike.
        size: height and width of the view (only `multi_scale` looks at it).
    """
    return crop_boxes(key, position, augment, height, width, size)[0]


def crop_boxes(
    key: int, position: int, augment: Augment | None, height: int, width: int, size: int, frames: int = 1
) -> list[Box]:
    """The crop that all frames share, or that of each of `frames` frames where the augmentation is drawn per frame.

    The first is `crop_box`'s; the other arguments as there.
    """
    if augment is None:
        return [_centre_square(height, width)]
    numbers = uniform_stream(key, stream(position, "crop"))
    return [_drawn(numbers, augment, height, width, size) for _ in range(frames if augment.per_frame else 1)]


def crops_resize(clip: Tensor, boxes: Sequence[Box], size: int) -> Tensor:
    """`crop_resize` with one box for all frames, or with one for each."""
    if len(boxes) == 1:
        return crop_resize(clip, boxes[0], size)
    return torch.cat([crop_resize(frame[None], box, size) for frame, box in zip(clip, boxes, strict=True)])


def crop_resize(clip: Tensor, box: Box, size: int) -> Tensor:
    """uint8 [T, C, H, W] -> contiguous uint8 [T, C, size, size]: cut, then bilinear with antialias.

    Equal to torchvision's `resized_crop` on uint8.
    """
    top, left, height, width = box
    cut = clip[:, :, top : top + height, left : left + width]
    if (height, width) != (size, size):
        cut = F.interpolate(cut, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
    return cut.contiguous(memory_format=torch.contiguous_format)


def crops_along_side(clip: Tensor, count: int, size: int) -> tuple[Tensor, list[Box], tuple[int, int]]:
    """Squares along the longer side of a frame whose shorter side is resized to `size`: uint8 [T, C, H, W].

    Returns:
        uint8 [count, T, C, size, size]; the boxes in the resized frame; its height and width.
    Source: MCG-NJU/VideoMAE@14ef8d8: ssv2.py, functional.py (the longer side is rounded down).
    """
    height, width = clip.shape[2:]
    short = min(height, width)
    resized = (int(size * height / short), int(size * width / short))
    whole = clip
    if resized != (height, width):
        whole = F.interpolate(clip, size=resized, mode="bilinear", antialias=True, align_corners=False)
    places = crops_along(count, max(resized), size)
    boxes = [(place, 0, size, size) if height >= width else (0, place, size, size) for place in places]
    cuts = [whole[:, :, top : top + size, left : left + size] for top, left, _, _ in boxes]
    return torch.stack(cuts), boxes, resized


def _centre_square(height: int, width: int) -> Box:
    side = min(height, width)
    return (height - side) // 2, (width - side) // 2, side, side


def _drawn(numbers: Iterator[float], augment: Augment, height: int, width: int, size: int) -> Box:
    if augment.crop == "multi_scale":
        return _multi_scale(numbers, height, width, size)
    return _random_resized(numbers, augment.crop_scale, augment.crop_ratio, height, width)


def _random_resized(
    numbers: Iterator[float], scale: tuple[float, float], ratio: tuple[float, float], height: int, width: int
) -> Box:
    """Area uniform, aspect ratio log-uniform, place uniform; after ten misfits the largest centre crop in the range.

    Source: torchvision `RandomResizedCrop.make_params`, whose law this is, with numbers of our own.
    """
    for _ in range(_TRIES):
        area = height * width * _between(next(numbers), *scale)
        aspect = math.exp(_between(next(numbers), math.log(ratio[0]), math.log(ratio[1])))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return int(next(numbers) * (height - h + 1)), int(next(numbers) * (width - w + 1)), h, w
    w, h = width, height
    if width / height < ratio[0]:
        h = min(height, round(width / ratio[0]))
    elif width / height > ratio[1]:
        w = min(width, round(height * ratio[1]))
    return (height - h) // 2, (width - w) // 2, h, w


def _multi_scale(numbers: Iterator[float], height: int, width: int, size: int) -> Box:
    """Sides from four shares of the short side that are at most one step apart, at one of 13 places.

    Source: VideoMAE, `transforms.py`, GroupMultiScaleCrop(input_size, [1, .875, .75, .66]). A side within 2 pixels of
    the view's size becomes that size, here only where it fits: the original reads past the border of such frames.
    """
    sides = [int(min(height, width) * share) for share in _MULTI_SCALES]
    heights, widths = ([_snapped(side, size, limit) for side in sides] for limit in (height, width))
    steps = range(len(sides))
    pairs = [(heights[i], widths[j]) for i in steps for j in steps if abs(i - j) <= 1]
    h, w = pairs[int(next(numbers) * len(pairs))]
    x, y = _MULTI_SCALE_PLACES[int(next(numbers) * len(_MULTI_SCALE_PLACES))]
    return (height - h) // 4 * y, (width - w) // 4 * x, h, w


def _snapped(side: int, size: int, limit: int) -> int:
    return size if abs(side - size) <= _NEAR_SIZE_PX and size <= limit else max(side, 1)


def _between(number: float, low: float, high: float) -> float:
    return low + number * (high - low)
