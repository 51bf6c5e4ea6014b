"""What transformers on patches of equal size share: blocks in a row, and a grid of whole patches."""

from collections.abc import Sequence
from typing import Literal, cast

from torch import Tensor, nn

from vssl.backbones.base import Backbone
from vssl.nn.attention import Attention


class PatchTransformer(Backbone):
    """Base of backbones that give `patch`, `blocks` and `norm`, and an embedding of any other names.

    Attributes:
        patch: frames, rows and columns that a token stands for.
        pool: whether the summary is the mean over tokens or an extra token.
    """

    kind = "vit"
    patch: tuple[int, int, int]
    pool: Literal["mean", "cls"]
    blocks: nn.ModuleList
    norm: nn.Module

    def through_blocks(self, x: Tensor) -> Tensor:
        """Embedded tokens -> tokens after the final norm."""
        for block in self.blocks:
            x = self.run(block, x)
        return self.norm(x)

    def last_attention(self, clip: Tensor) -> Tensor:
        """Weights of `attn` of the last block in a forward pass, heads averaged: [rows, queries, keys]; written out in
        full, which the forward pass itself avoids."""
        last, taken = cast(Attention, self.blocks[-1].attn), []
        hook = last.register_forward_pre_hook(lambda _, given: taken.append(given[0]))
        try:
            self(clip)
        finally:
            hook.remove()
        (x,) = taken
        return last.weights(x).mean(dim=1)

    def take_norm(self) -> nn.Module | None:
        if self.pool == "cls":
            return None
        norm, self.norm = self.norm, nn.Identity()
        return norm

    def grid(self, clip_shape: Sequence[int]) -> tuple[int, int, int]:
        *_, frames, height, width = clip_shape
        depth, side, _ = self.patch
        if min(frames, height, width) < 1 or frames % depth or height % side or width % side:
            raise ValueError(
                f"a clip of {frames} frames of {height} x {width} pixels does not fit this backbone, each of whose "
                f"tokens stands for {depth} x {side} x {side} of them"
            )
        return frames // depth, height // side, width // side

    def layers(self) -> list[dict[str, nn.Parameter]]:
        """The embedding, then a group for each block; the final norm goes with the last block."""
        blocks = [{f"blocks.{i}.{n}": p for n, p in block.named_parameters()} for i, block in enumerate(self.blocks)]
        blocks[-1].update({f"norm.{n}": p for n, p in self.norm.named_parameters()})
        taken = {name for block in blocks for name in block}
        return [{n: p for n, p in self.named_parameters() if n not in taken}, *blocks]


def check_sizes(frames: int, size: int, patch: tuple[int, int, int], depth: int) -> None:
    """Raises ValueError where clips of `frames` and `size` are no whole patches, or where there is no block."""
    extents = (("clip.size", size, "patch_size", patch[1]), ("clip.frames", frames, "tubelet_size", patch[0]))
    for extent_name, extent, step_name, step in extents:
        if step < 1 or extent < step or extent % step:
            raise ValueError(f"{extent_name} is {extent} and {step_name} {step}; {step_name} must divide {extent_name}")
    if depth < 1:
        raise ValueError(f"depth is {depth}; it must be at least 1")
