"""VideoMAE: encode the few visible tubelets, decode the pixels of the hidden ones. With a decoder mask VideoMAE V2.

Source: Tong et al. 2022, arXiv:2203.12602; MCG-NJU/VideoMAE@14ef8d8: modeling_pretrain.py, engine_for_pretraining.py.
Wang et al. 2023, arXiv:2303.16727; OpenGVLab/VideoMAEv2@29eab1e: the same files, dataset/masking_generator.py.
Deviation: the pixels of a token are in the order (channel, frame, row, column); officially the channel is last.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vssl.backbones.base import Backbone
from vssl.backbones.vit import VisionTransformer
from vssl.losses.reconstruction import ErrorKind, normalise_patches, reconstruction_error, undo_normalisation
from vssl.method import Batch, Method
from vssl.nn.attention import Block, xavier_init_
from vssl.nn.masks import (
    DecoderMaskKind,
    Grid,
    MaskKind,
    draws,
    dropped_count,
    dropped_tokens,
    hidden_count,
    hidden_tokens,
    split_tokens,
)
from vssl.nn.patches import patchify, unpatchify
from vssl.nn.positions import PositionTable
from vssl.video.draws import stream, uniforms

CHANNELS = 3
DENSER = 2  # frames of the denser target for each frame that is encoded

TargetKind = Literal["clip", "centre_frame", "denser_clip"]


class Decoder(nn.Module):
    """Blocks over all tokens, then the pixels of the last ones."""

    def __init__(self, dim: int, depth: int, heads: int, out_dim: int, norm_eps: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(dim, heads, norm_eps=norm_eps) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=norm_eps)
        self.head = nn.Linear(dim, out_dim)
        xavier_init_(self)

    def forward(self, x: Tensor, count: int) -> Tensor:  # [B, N, d] -> [B, count, P]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x[:, -count:]))


class VideoMAE(Method):
    """N tokens, of which M are hidden; D and d widths of encoder and decoder; P pixel values that a token stands for.

    Args:
        mask: "tube" hides the same places in every time slot, "random" any tokens, "frame" whole time slots, "block"
            cuboids.
        mask_ratio: share that is hidden, rounded down to whole places, tokens or time slots.
        target: the clip's own tubelets; of its middle frame the patch at each token's place; or "denser_clip": every
            second frame of the view is encoded, and every frame is to be predicted.
        normalise_target: each channel of each token to mean 0 and deviation 1; otherwise pixels in [0, 1].
        loss: of the predicted pixel values.
        decoder_mask: None asks the decoder for the hidden tokens. "running_cell" asks for the same number of places in
            every 2 x 2, whether the encoder saw them or not; only those that it did not see count.
        decoder_mask_ratio: share of all tokens that the decoder is not asked for, rounded down to quarters.
        decoder_dim: None is half the encoder's width.
        decoder_heads: None is one for every 64 channels.
        norm_eps: epsilon of the decoder's LayerNorms.
    """

    views = ("clip",)
    encoder: VisionTransformer

    def __init__(
        self,
        encoder: VisionTransformer,
        mask: MaskKind = "tube",
        mask_ratio: float = 0.9,
        target: TargetKind = "clip",
        normalise_target: bool = True,
        loss: ErrorKind = "mse",
        decoder_mask: DecoderMaskKind | None = None,
        decoder_mask_ratio: float = 0.5,
        decoder_dim: int | None = None,
        decoder_depth: int = 4,
        decoder_heads: int | None = None,
        norm_eps: float = 1e-6,
    ) -> None:
        super().__init__(encoder)
        self.mask, self.mask_ratio = mask, mask_ratio
        self.target_kind, self.normalise_target, self.loss_kind = target, normalise_target, loss
        self.decoder_mask, self.decoder_mask_ratio = decoder_mask, decoder_mask_ratio
        built_for = encoder.grid((encoder.frames, encoder.size, encoder.size))
        hidden_count(mask, mask_ratio, built_for)  # refuses a ratio that hides nothing or everything
        if decoder_mask is not None:
            dropped_count(decoder_mask, decoder_mask_ratio, built_for)
        dim = decoder_dim or encoder.embed_dim // 2
        tubelet, height, width = encoder.patch
        depth = {"clip": tubelet, "centre_frame": 1, "denser_clip": DENSER * tubelet}[target]
        self.target_patch = (depth, height, width)
        self.pixels = math.prod(self.target_patch)  # of one channel of a token
        # Outside encoder and decoder the official code keeps PyTorch's initialisation: here, in encoder_to_decoder.
        self.encoder_to_decoder = nn.Linear(encoder.embed_dim, dim, bias=False)
        self.mask_token = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1, dim), std=0.02, a=-0.02, b=0.02))
        self.decoder = Decoder(dim, decoder_depth, decoder_heads or max(dim // 64, 1), CHANNELS * self.pixels, norm_eps)
        self.positions = PositionTable("sinusoid", built_for, dim)

    def losses(self, views: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        clip = views["clip"]
        shown = self.shown(clip)
        grid = self.encoder.grid(shown.shape)
        visible, hidden = self.draw_mask(batch["key"], grid)
        asked, counted = hidden, None
        if self.decoder_mask is not None:
            asked, counted = self.draw_decoder_mask(batch["key"], hidden, grid)
        encoded = self.encoder.tokens(shown, visible)
        prediction = self.decode(encoded, visible, asked, grid)
        loss = reconstruction_error(prediction, self.target(clip, asked, grid), self.loss_kind, counted)
        return {"loss": loss, "features": encoded.mean(dim=1)}

    def shown(self, clip: Tensor) -> Tensor:
        """The frames that the encoder may see, [B, C, T, H, W]."""
        return clip[:, :, ::DENSER] if self.target_kind == "denser_clip" else clip

    # Not compiled: int64 products that wrap are undefined in C++, and inductor's loop over 14 x 14 places, optimised on
    # the promise that none does, wrote past its end.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def draw_mask(self, key: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
        """Places of visible and hidden tokens, [B, N - M] and [B, M]; each sample's from its own key [B]."""
        noise = uniforms(key, stream(0, "mask"), draws(self.mask, grid))
        hidden = hidden_tokens(noise, self.mask, self.mask_ratio, grid)
        return split_tokens(hidden, hidden_count(self.mask, self.mask_ratio, grid))

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def draw_decoder_mask(self, key: Tensor, hidden: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
        """Places [B, A] that the decoder is asked for, and which of them are among the hidden ones, bool [B, A]."""
        assert self.decoder_mask is not None, "there is a decoder mask"
        noise = uniforms(key, stream(0, "decoder mask"), 1)
        dropped = dropped_tokens(noise, self.decoder_mask, self.decoder_mask_ratio, grid)
        asked, _ = split_tokens(dropped, dropped_count(self.decoder_mask, self.decoder_mask_ratio, grid))
        unseen = torch.zeros_like(dropped).scatter_(1, hidden, True)
        return asked, unseen.gather(1, asked)

    def decode(self, encoded: Tensor, visible: Tensor, asked: Tensor, grid: Grid) -> Tensor:
        """[B, N - M, D], their places, and the A places that are asked for -> predictions for those, [B, A, P]."""
        # Visible tokens first: attention knows places only from the position table, so nothing is put back into order.
        table = self.positions(grid)
        shown = self.encoder_to_decoder(encoded) + F.embedding(visible, table)
        wanted = self.mask_token + F.embedding(asked, table)
        return self.decoder(torch.cat([shown, wanted], dim=1), asked.shape[1])

    @torch.no_grad()
    def target(self, clip: Tensor, places: Tensor, grid: Grid) -> Tensor:
        """[B, C, T, H, W] in [0, 1] and places [B, A] of tokens -> [B, A, P]."""
        if self.target_kind == "centre_frame":
            middle = clip.shape[2] // 2
            clip, places = clip[:, :, middle : middle + 1], places % (grid[1] * grid[2])
        pixels = patchify(clip, self.target_patch, places)
        return normalise_patches(pixels, CHANNELS) if self.normalise_target else pixels

    def hides(self, views: dict[str, Tensor], batch: Batch) -> dict[str, dict[str, Tensor]]:
        clip = views["clip"]
        shown = self.shown(clip)
        grid = self.encoder.grid(shown.shape)
        visible, hidden = self.draw_mask(batch["key"], grid)
        unseen = _all_but(visible, grid)
        if shown.shape[2] < clip.shape[2]:  # frames in between are for the target alone
            unseen = unseen.repeat_interleave(clip.shape[2] // grid[0], dim=1)
            unseen[:, [frame for frame in range(clip.shape[2]) if frame % DENSER]] = True
        masks = {"encoder sees": unseen}
        if self.decoder_mask is not None:
            masks["decoder predicts"] = _all_but(self.draw_decoder_mask(batch["key"], hidden, grid)[0], grid)
        return {"clip": masks}

    def reconstructs(self, views: dict[str, Tensor], batch: Batch) -> dict[str, dict[str, Tensor]]:
        """All hidden tokens are asked for, also those that a decoder mask leaves out in training. Normalised ones get
        mean and deviation of their own patch back, as in the paper's figures. `target="centre_frame"` makes no clip."""
        if self.target_kind == "centre_frame":
            return {}
        clip = views["clip"]
        shown = self.shown(clip)
        grid = self.encoder.grid(shown.shape)
        visible, hidden = self.draw_mask(batch["key"], grid)
        prediction = self.decode(self.encoder.tokens(shown, visible), visible, hidden, grid).float()
        made = {"reconstruction": prediction}
        if self.normalise_target:
            pixels = patchify(clip, self.target_patch, hidden)
            made = {
                "reconstruction: each hidden patch with its own mean and deviation": prediction,
                "patch means alone: what a prediction of zero would give": torch.zeros_like(prediction),
            }
            made = {told: undo_normalisation(row, pixels, CHANNELS) for told, row in made.items()}
        seen = torch.full_like(clip, math.nan)
        seen[:, :, :: clip.shape[2] // shown.shape[2]] = shown
        tokens, place = patchify(seen, self.target_patch), hidden[..., None].expand_as(prediction)
        filled = {told: tokens.scatter(1, place, row) for told, row in made.items()}
        return {"clip": {told: unpatchify(row, self.target_patch, grid) for told, row in filled.items()}}

    def no_decay(self) -> set[str]:
        return super().no_decay() | {"mask_token"}

    def chance(self, batch_size: int) -> float | None:
        """What a prediction of zero costs where no patch is of one colour; unknown for raw pixels and other errors."""
        is_known = self.normalise_target and self.loss_kind == "mse"
        return (self.pixels - 1) / self.pixels if is_known else None

    @classmethod
    def refuses(cls, encoder: Backbone, views: tuple[str, ...], batch_size: int) -> str | None:
        if not isinstance(encoder, VisionTransformer):
            name = type(encoder).__name__
            return f"VideoMAE encodes the visible tokens alone, which {name} cannot: choose one of backbone=vit_*"
        return super().refuses(encoder, views, batch_size)


def _all_but(places: Tensor, grid: Grid) -> Tensor:
    """bool [B, t, h, w], False at the places [B, K]."""
    mask = torch.ones(len(places), math.prod(grid), dtype=torch.bool, device=places.device)
    return mask.scatter_(1, places, False).view(len(places), *grid)
