"""VideoMAE V2 as released: the names are VideoMAE's; its arguments, its giant, or the hub's prefix tell it apart.

Source: OpenGVLab/VideoMAEv2@29eab1e: models/modeling_pretrain.py, models/modeling_finetune.py.
Unverified: the prefix `model.` of the files on the Hugging Face hub, known from code of others that takes `.model`.
"""

from vssl.checkpoints.files import Opened
from vssl.checkpoints.videomae import VideoMAEOfficial

OWN_ARGS = ("decoder_mask_ratio", "head_drop_rate")
GIANT = 1408


class VideoMAEV2(VideoMAEOfficial):
    """A file of the other sizes without arguments is recognised as VideoMAE's; both give the same encoder."""

    name = "videomae_v2"
    told = "official VideoMAE V2, pretrained, distilled or fine-tuned (OpenGVLab/VideoMAEv2)"
    prefixes = ("_orig_mod.", "module.", "model.", "backbone.", "encoder.")

    def recognises(self, opened: Opened) -> bool:
        if not super().recognises(opened):
            return False
        from_hub = all(name.startswith("model.") for name in opened.content)
        giant = len(self.tensors(opened)["patch_embed.proj.weight"]) == GIANT
        return from_hub or giant or any(key in opened.args for key in OWN_ARGS)
