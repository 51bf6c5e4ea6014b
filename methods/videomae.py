"""VideoMAE: encode the few visible tubelets, decode the pixels of the hidden ones.

Source: Tong et al. 2022, arXiv:2203.12602; MCG-NJU/VideoMAE@14ef8d8: modeling_pretrain.py, engine_for_pretraining.py.
Deviation: the pixels of a token are in the order (channel, frame, row, column); officially the channel is last.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vssl.backbones.base import Backbone
from vssl.backbones.vit import VisionTransformer
from vssl.losses.reconstruction import mean_squared_error, normalise_patches
from vssl.method import Batch, Method
from vssl.nn.attention import Block, xavier_init_
from vssl.nn.masks import MaskKind, hidden_count, hidden_tokens, split_tokens, units
from vssl.nn.patches import patchify
from vssl.nn.positions import sinusoid_table
from vssl.video.draws import stream, uniforms

CHANNELS = 3


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
    """N tokens, of which M are hidden; D and d widths of encoder and decoder; P pixel values of a tubelet.

    Args:
        mask: "tube" hides the same places in every time slot, "random" any tokens, "frame" whole time slots.
        mask_ratio: share that is hidden, rounded down to whole places, tokens or time slots.
        normalise_target: each channel of each tubelet to mean 0 and deviation 1; otherwise pixels in [0, 1].
        decoder_dim: None is half the encoder's width.
        decoder_heads: None is one for every 64 channels.
        norm_eps: epsilon of the decoder's LayerNorms.
    """

    views = ("clip",)
    encoder: VisionTransformer
    positions: Tensor

    def __init__(
        self,
        encoder: VisionTransformer,
        mask: MaskKind = "tube",
        mask_ratio: float = 0.9,
        normalise_target: bool = True,
        decoder_dim: int | None = None,
        decoder_depth: int = 4,
        decoder_heads: int | None = None,
        norm_eps: float = 1e-6,
    ) -> None:
        super().__init__(encoder)
        self.mask, self.mask_ratio, self.normalise_target = mask, mask_ratio, normalise_target
        built_for = encoder.grid((encoder.frames, encoder.size, encoder.size))
        hidden_count(mask, mask_ratio, built_for)  # refuses a ratio that hides nothing or everything
        dim = decoder_dim or encoder.embed_dim // 2
        self.pixels = math.prod(encoder.patch)  # of one channel of a tubelet
        # Outside encoder and decoder the official code keeps PyTorch's initialisation: here, in encoder_to_decoder.
        self.encoder_to_decoder = nn.Linear(encoder.embed_dim, dim, bias=False)
        self.mask_token = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1, dim), std=0.02, a=-0.02, b=0.02))
        self.decoder = Decoder(dim, decoder_depth, decoder_heads or max(dim // 64, 1), CHANNELS * self.pixels, norm_eps)
        self.register_buffer("positions", sinusoid_table(len(encoder.positions), dim), persistent=False)

    def losses(self, views: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        clip = views["clip"]
        visible, hidden = self.draw_mask(batch["key"], self.encoder.grid(clip.shape))
        encoded = self.encoder.tokens(clip, visible)
        loss = mean_squared_error(self.decode(encoded, visible, hidden), self.target(clip, hidden))
        return {"loss": loss, "features": encoded.mean(dim=1)}

    # Not compiled: int64 products that wrap are undefined in C++, and inductor's loop over 14 x 14 places, optimised on
    # the promise that none does, wrote past its end.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def draw_mask(self, key: Tensor, grid: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
        """Places of visible and hidden tokens, [B, N - M] and [B, M]; each sample's from its own key [B]."""
        noise = uniforms(key, stream(0, "mask"), units(self.mask, grid))
        hidden = hidden_tokens(noise, self.mask, self.mask_ratio, grid)
        return split_tokens(hidden, hidden_count(self.mask, self.mask_ratio, grid))

    def decode(self, encoded: Tensor, visible: Tensor, hidden: Tensor) -> Tensor:
        """[B, N - M, D] and places -> the pixels of the hidden tokens, [B, M, P]."""
        # Visible tokens first: attention knows places only from the position table, so nothing is put back into order.
        shown = self.encoder_to_decoder(encoded) + F.embedding(visible, self.positions)
        asked = self.mask_token + F.embedding(hidden, self.positions)
        return self.decoder(torch.cat([shown, asked], dim=1), hidden.shape[1])

    @torch.no_grad()
    def target(self, clip: Tensor, hidden: Tensor) -> Tensor:
        """[B, C, T, H, W] in [0, 1] and places [B, M] -> [B, M, P]."""
        pixels = patchify(clip, self.encoder.patch, hidden)
        return normalise_patches(pixels, CHANNELS) if self.normalise_target else pixels

    def no_decay(self) -> set[str]:
        return super().no_decay() | {"mask_token"}

    def chance(self, batch_size: int) -> float | None:
        """What a prediction of zero costs where no tubelet is of one colour; unknown for raw pixels."""
        return (self.pixels - 1) / self.pixels if self.normalise_target else None

    @classmethod
    def refuses(cls, encoder: Backbone, views: tuple[str, ...], batch_size: int) -> str | None:
        if not isinstance(encoder, VisionTransformer):
            name = type(encoder).__name__
            return f"VideoMAE encodes the visible tokens alone, which {name} cannot: choose one of backbone=vit_*"
        return super().refuses(encoder, views, batch_size)
