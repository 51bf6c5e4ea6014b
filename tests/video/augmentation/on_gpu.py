"""What the device computes, while waiting for it is an error."""

import torch
from torch import Tensor

from vssl.video.augmentation.augment import Drawn, apply


def never_waited_for(clip: Tensor, drawn: Drawn) -> Tensor:
    """The augmented clips, back on the CPU; RuntimeError where the host waits for the GPU on the way."""
    on_gpu = clip.cuda()
    apply(on_gpu, drawn)  # kernels are loaded at the first call
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = apply(on_gpu, drawn)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return found.cpu()
