"""Video Swin as released (mmaction).

Source: SwinTransformer/Video-Swin-Transformer: mmaction/models/backbones/swin_transformer.py (names), configs (pixels).
Unverified: the container `state_dict`. There the position biases of a window that the map cuts in height or width are
those of other offsets; ours are not (see `vssl.backbones.swin`).
"""

import re

from vssl.checkpoints.files import Opened
from vssl.checkpoints.layout import Facts, Layout, Tensors
from vssl.checkpoints.swin_facts import swin_facts


class VideoSwinOfficial(Layout):
    """`layers.i.blocks.j` is our `features.2i.j`, `layers.i.downsample` our `features.2i+1`."""

    name = "video_swin"
    told = "official Video Swin (SwinTransformer/Video-Swin-Transformer)"
    containers = (("state_dict",), ("model",), ())
    prefixes = ("module.", "backbone.")
    signature = (r"^patch_embed\.proj\.weight$", r"^layers\.0\.blocks\.0\.attn\.relative_position_bias_table$")
    kernel = ("patch_embed.proj.weight", 5)
    left_out = (
        (r"cls_head\..*", "the classifier"),
        (r".*\.relative_position_index", "follows from the window"),
    )
    may_lack = ((r".*\.relative_position_index", "follows from the window"),)

    def facts(self, tensors: Tensors, opened: Opened) -> Facts | None:
        block = "layers.{stage}.blocks.{block}."
        table, mlp = f"{block}attn.relative_position_bias_table", f"{block}mlp.fc1.weight"
        return swin_facts(tensors, tensors["patch_embed.proj.weight"], table, mlp, self.mean, self.std)

    def rename(self, name: str) -> str | None:
        if name.startswith("cls_head.") or name.endswith("relative_position_index"):
            return None
        name = re.sub(r"^layers\.(\d+)\.blocks\.", lambda found: f"features.{2 * int(found[1])}.", name)
        name = re.sub(r"^layers\.(\d+)\.downsample\.", lambda found: f"features.{2 * int(found[1]) + 1}.", name)
        return name.replace(".mlp.fc1.", ".mlp.0.").replace(".mlp.fc2.", ".mlp.3.")
