"""Augmenting clips, as `benchmarks/data.py` measures it: flip, jitter, grey, blur, as probable and as strong in all."""

import random
from collections.abc import Callable
from functools import partial

from vssl import _torchvision  # noqa: F401  (before anything that imports torchvision)

# isort: split
import torch
from peers import AUGMENTERS, loaded
from timing import timed
from torch import Tensor

from vssl.video.augmentation.augment import apply, draw
from vssl.video.augmentation.crops import crop_boxes, crops_resize
from vssl.video.views import Augment

OURS = "ours"
FRAMES = 16


def from_frames(rounds: int, missing: dict[str, str], size: int, clips: int = 8) -> dict[str, list[float]]:
    """Seconds for clips of 16 x 240 x 320 on the CPU, cut to `size` at random first."""
    batch = torch.randint(0, 256, (clips, FRAMES, 3, 240, 320), dtype=torch.uint8)
    return _take_turns(batch, {OURS: _ours(size)}, partial(_peers, size, True, missing), rounds)


def from_crops(rounds: int, missing: dict[str, str], size: int, clips: int = 64) -> dict[str, list[float]]:
    """Seconds for a batch that stands on the GPU, as a training finds it: cut to `size` by the workers."""
    batch = torch.randint(0, 256, (clips, FRAMES, 3, size, size), dtype=torch.uint8, device="cuda")
    return _take_turns(batch, {OURS: _ours(None)}, partial(_peers, size, False, missing), rounds)


def _take_turns(
    batch: Tensor,
    work: dict[str, Callable[[Tensor], Tensor]],
    peers: Callable[[], dict[str, Callable[[Tensor], Tensor]]],
    rounds: int,
) -> dict[str, list[float]]:
    work |= peers()
    times: dict[str, list[float]] = {name: [] for name in work}
    for name in work if batch.is_cuda else ():  # kernels are loaded at the first call
        _finished(work[name], batch)
    for _ in range(4 * rounds):
        for name in random.sample(list(work), len(work)):
            result = timed(times[name], _finished, work[name], batch)
            assert len(result) == len(batch) and result.is_floating_point(), (name, result.shape)
    return times


def _finished(work: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
    result = work(batch)
    if batch.is_cuda:
        torch.cuda.synchronize()
    return result


def _ours(size: int | None) -> Callable[[Tensor], Tensor]:
    """Cropping to `size` sample by sample, where one is given; the rest as a batch. Each call draws anew."""
    calls, augment = [0], Augment()

    def work(batch: Tensor) -> Tensor:
        calls[0] += 1
        keys = torch.arange(len(batch)) + calls[0] * len(batch)
        if size is not None:
            batch = torch.stack(
                [
                    crops_resize(clip, crop_boxes(key, 0, augment, *clip.shape[-2:], size, FRAMES), size)
                    for key, clip in zip(keys.tolist(), batch, strict=True)
                ]
            )
        return apply(batch, draw(keys, 0, augment, flip_safe=True))

    return work


def _peers(size: int, crop: bool, missing: dict[str, str]) -> dict[str, Callable[[Tensor], Tensor]]:
    return loaded({name: partial(make, size, crop) for name, make in AUGMENTERS.items()}, missing)
