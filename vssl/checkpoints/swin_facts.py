"""What the shapes of a Video Swin tell: windows, depths, heads."""

import re

from torch import Tensor

from vssl.backbones.base import RGB
from vssl.checkpoints.layout import Facts, Tensors

TARGET = "vssl.backbones.swin.VideoSwin"
FRAMES, SIZE = 32, 224  # of the released models; a window model has no table of positions that would tell


def swin_facts(tensors: Tensors, kernel: Tensor, table: str, mlp: str, mean: RGB, std: RGB) -> Facts:
    """Args: table, mlp: names of a block's bias table and first linear layer, with {stage} and {block} in them."""
    width, _, tubelet, patch, _ = kernel.shape
    pattern = re.escape(table).replace(re.escape("{stage}"), r"(\d+)").replace(re.escape("{block}"), r"(\d+)")
    found = [(int(match[1]), int(match[2])) for name in tensors if (match := re.fullmatch(pattern, name))]
    stages = sorted({stage for stage, _ in found})
    first = table.format(stage=stages[0], block=0)
    frames, side = _window(len(tensors[first]), tensors.get(first.replace("bias_table", "index")))
    node = {
        "_target_": TARGET, "frames": FRAMES, "width": width,
        "depths": [sum(at == stage for at, _ in found) for stage in stages],
        "heads": [tensors[table.format(stage=stage, block=0)].shape[1] for stage in stages],
        "patch_size": patch, "tubelet_size": tubelet, "window_size": side, "window_frames": frames,
        "mlp_ratio": len(tensors[mlp.format(stage=stages[0], block=0)]) / width, "mean": mean, "std": std,
    }  # fmt: skip
    return Facts(node, {"frames": FRAMES, "size": SIZE})


def _window(rows: int, index: Tensor | None) -> tuple[int, int]:
    """(time slots, rows) of a window from the rows (2d - 1)(2h - 1)^2 of its table and the (d h^2)^2 of its index."""
    places = None if index is None else round(index.numel() ** 0.5)
    sides = [7, *(side for side in range(1, 33) if side != 7)]
    for side in sides:
        slots, rest = divmod(rows, (2 * side - 1) ** 2)
        frames = (slots + 1) // 2
        if not rest and slots % 2 and (places is None or frames * side**2 == places):
            return frames, side
    raise ValueError(f"a bias table of {rows} rows belongs to no window")
