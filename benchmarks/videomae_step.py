"""A whole training step of VideoMAE: ours, that of transformers, and nothing but its matrix products.

Run:     python benchmarks/videomae_step.py [--batch 4] [--rounds 10] [--threads N] [--precision fp32 bf16]
                                            [--device cpu|cuda] [--smoke]
Prints:  clips/s and peak memory of each; its share of the limit; its ratio to transformers in the same mode.
Step:    forward, loss, backward, fused AdamW, zero_grad, of ViT-S on 16 x 224 x 224 with nine in ten tubes hidden. Both
         models have the same weights, clips and masks, and the program ends if their losses differ. transformers finds
         its clips normalised and its masks drawn; ours does both in the step.
Limit:   the matrix products of our step (linear layers, patch embedding, attention unfused; forward and backward) at
         the same shapes and strides, with nothing between them.
Times:   the competitors take turns in one process, which keeps freed memory as a training of ours does; medians, where
         a ratio is printed those of the ratios in a round.
Memory:  what a process of its own needs above the libraries, from building the model to its third step.
"""

import argparse
import math
import re
import statistics
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from vssl import _torchvision  # noqa: F401  (before anything that imports torchvision)

# isort: split
import torch
from products import Product, record, replay
from rich.console import Console
from rich.table import Table
from timing import matrix_rate, timed
from torch import Tensor, nn
from transformers import VideoMAEConfig, VideoMAEForPreTraining

from methods.videomae import VideoMAE
from vssl.backbones.vit import VisionTransformer
from vssl.training.memory import keep_freed
from vssl.training.settings import cores

FULL = {"frames": 16, "size": 224, "embed_dim": 384, "depth": 12, "heads": 6}
SMOKE = {"frames": 4, "size": 32, "embed_dim": 128, "depth": 2, "heads": 2}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
LIMIT = "matrix products"
WARM_UP = 2

Loss = Callable[[], Tensor]
Step = Callable[[], None]


@dataclass(frozen=True)
class Setting:
    sizes: dict[str, int]
    batch: int
    precision: str
    device: str
    threads: int


def main(words: list[str]) -> None:
    options = arguments(words)
    settings = [
        Setting(SMOKE if options.smoke else FULL, options.batch, precision, options.device, options.threads)
        for precision in options.precision or DTYPES
    ]
    # Children come first: a process that has started threads or a GPU cannot be forked.
    mine, reference = in_child(losses, settings[0])
    if not math.isclose(mine, reference, rel_tol=1e-4):
        sys.exit(f"the losses differ, so nothing is measured: ours {mine:.6f}, transformers {reference:.6f}")
    notes = []
    if options.device == "cpu" and not options.precision and (slow := in_child(slow_bf16)):
        notes.append(f"bf16 not measured: {slow}; --precision bf16 measures it all the same.")
        settings = [setting for setting in settings if setting.precision != "bf16"]
    names = [name for name in STEPS if not (options.smoke and name in COMPILED)]  # compiling takes a minute or more
    memory = {(s.precision, name): in_child(peak, s, name) for s in settings for name in names if name != LIMIT}

    torch.set_num_threads(options.threads)
    keep_freed()
    table = Table(title=title(settings[0], options.rounds))
    for column in ("step", "precision", "clips/s", "of the limit", "to transformers", "peak MB"):
        table.add_column(column, justify="left" if column in ("step", "precision") else "right")
    for setting in settings:
        times = take_turns(setting, names, options.rounds)
        for name, own in times.items():
            table.add_row(
                name, setting.precision, f"{setting.batch / statistics.median(own):.3g}", ratio(times, LIMIT, name),
                ratio(times, RIVALS[name], name) if name in RIVALS else "",
                f"{memory[setting.precision, name] / 1e6:.0f}" if name != LIMIT else "",
            )  # fmt: skip
    Console().print(table, *notes, sep="\n", highlight=False)


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=4, help="clips in a step")
    parser.add_argument("--rounds", type=int, default=10, help="measured steps of each competitor")
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument(
        "--precision", nargs="+", choices=DTYPES, help="default: both, but bf16 only where it is faster"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--smoke", action="store_true", help="a tiny model, uncompiled: does the program work?")
    return parser.parse_args(words)


def title(setting: Setting, rounds: int) -> str:
    flops = sum(product.flops for product in products(setting)) / setting.batch
    sizes = " x ".join(str(setting.sizes[name]) for name in ("frames", "size", "size"))
    place = torch.cuda.get_device_name() if setting.device == "cuda" else f"{setting.threads} threads"
    return (
        f"VideoMAE, {setting.sizes['depth']} blocks of width {setting.sizes['embed_dim']}, {sizes}, "
        f"{flops / 1e9:.4g} GFLOP of products a clip, batch {setting.batch}; median of {rounds} steps; {place}; "
        f"torch {torch.__version__}"
    )


def slow_bf16() -> str | None:
    """Why bf16 is not worth its time on this processor; None where it is."""
    # Small: without bf16 units a product of this size takes a third of a second already.
    fp32, bf16 = (matrix_rate(512, dtype) / 1e9 for dtype in DTYPES.values())
    return f"a product runs at {bf16:.2g} GFLOP/s in bf16, at {fp32:.3g} in fp32" if bf16 < fp32 else None


def take_turns(setting: Setting, names: list[str], rounds: int) -> dict[str, list[float]]:
    """{name: seconds of its step in each round}."""
    steps = {name: STEPS[name](setting) for name in names}
    for step in steps.values():
        for _ in range(WARM_UP):
            step()
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name, step in steps.items():
            timed(times[name], step)
    return times


def ratio(times: dict[str, list[float]], base: str, name: str) -> str:
    return f"{statistics.median(b / own for b, own in zip(times[base], times[name], strict=True)):.2f}"


def in_child(work: Callable[..., Any], *arguments: Any) -> Any:
    """The result of `work` in a process of its own, which has the libraries and nothing else."""
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        return pool.submit(work, *arguments).result()


def peak(setting: Setting, name: str) -> float:
    """Bytes of this process above those it starts with; of a GPU, what torch has allocated."""
    torch.set_num_threads(setting.threads)
    keep_freed()
    before = memory_of_process("VmRSS")
    step = STEPS[name](setting)
    for _ in range(WARM_UP + 1):
        step()
    return torch.cuda.max_memory_allocated() if setting.device == "cuda" else memory_of_process("VmHWM") - before


def memory_of_process(field: str) -> int:
    """Bytes: VmRSS at the moment, VmHWM at most. getrusage's maximum would be inherited from the parent."""
    found = re.search(rf"{field}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


def losses(setting: Setting) -> tuple[float, float]:
    """Ours and that of transformers, in fp32."""
    with torch.no_grad():
        return ours(setting)[1]().item(), theirs(setting)[1]().item()


def training_step(setting: Setting, model: nn.Module, loss: Loss) -> Step:
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        with torch.autocast(setting.device, torch.bfloat16, enabled=setting.precision == "bf16"):
            value = loss()
        value.backward()
        optimiser.step()
        optimiser.zero_grad()

    return synchronised(setting, step)


def synchronised(setting: Setting, step: Step) -> Step:
    def finished() -> None:
        step()
        if setting.device == "cuda":
            torch.cuda.synchronize()

    return finished


def inputs(setting: Setting) -> tuple[Tensor, Tensor]:
    """Clips in [0, 1] and the keys that their masks are drawn from."""
    frames, size = setting.sizes["frames"], setting.sizes["size"]
    clip = torch.rand(setting.batch, 3, frames, size, size, generator=torch.Generator().manual_seed(0))
    return clip.to(setting.device), torch.arange(setting.batch, device=setting.device)


def method(setting: Setting) -> VideoMAE:
    torch.manual_seed(0)
    return VideoMAE(VisionTransformer(**setting.sizes)).to(setting.device)


def ours(setting: Setting, compiled: bool = False) -> tuple[nn.Module, Loss]:
    model = method(setting)
    clip, key = inputs(setting)
    losses = torch.compile(model.losses) if compiled else model.losses  # as train.compile does it
    return model, lambda: losses({"clip": clip}, {"key": key})["loss"]


def theirs(setting: Setting, compiled: bool = False) -> tuple[nn.Module, Loss]:
    twin = method(setting)
    dim, decoder_dim = twin.encoder.embed_dim, twin.mask_token.shape[-1]
    config = VideoMAEConfig(
        image_size=setting.sizes["size"], num_frames=setting.sizes["frames"], use_mean_pooling=False,
        hidden_size=dim, num_hidden_layers=setting.sizes["depth"], num_attention_heads=setting.sizes["heads"],
        intermediate_size=4 * dim, layer_norm_eps=twin.encoder.norm.eps,
        decoder_hidden_size=decoder_dim, decoder_num_hidden_layers=len(twin.decoder.blocks),
        decoder_num_attention_heads=twin.decoder.blocks[0].attn.heads, decoder_intermediate_size=4 * decoder_dim,
    )  # fmt: skip
    model = VideoMAEForPreTraining(config).to(setting.device)
    model.decoder.norm.eps = twin.decoder.norm.eps  # no setting of theirs
    load(model, dict(twin.named_parameters()))
    clip, key = inputs(setting)
    visible, hidden = twin.draw_mask(key, twin.encoder.grid(clip.shape))
    masked = torch.ones(len(clip), visible.shape[1] + hidden.shape[1], dtype=torch.bool, device=clip.device)
    masked.scatter_(1, visible, False)
    pixels = twin.encoder.normalise(clip, channel_dim=1).transpose(1, 2).contiguous()
    forward = torch.compile(model) if compiled else model
    return model.train(), lambda: forward(pixels, bool_masked_pos=masked).loss


OUR_NAMES = {
    "videomae.embeddings.patch_embeddings.projection": "encoder.patch_embed",
    "videomae.layernorm.": "encoder.norm.",
    "videomae.encoder.layer.": "encoder.blocks.",
    "decoder.decoder_layers.": "decoder.blocks.",
    "attention.attention.query.bias": "attn.q_bias",
    "attention.attention.value.bias": "attn.v_bias",
    "attention.attention.query": "attn.qkv",
    "attention.attention.key": "attn.qkv",
    "attention.attention.value": "attn.qkv",
    "attention.output.dense": "attn.proj",
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
}


@torch.no_grad()
def load(model: VideoMAEForPreTraining, weights: dict[str, nn.Parameter]) -> None:
    """Our weights into the model of transformers."""
    for name, parameter in model.named_parameters():
        our_name = name
        for part, our_part in OUR_NAMES.items():
            our_name = our_name.replace(part, our_part)
        weight: Tensor = weights[our_name]
        for place, part in enumerate(("query", "key", "value")):
            if name.endswith(f".{part}.weight"):
                weight = weight.chunk(3)[place]
        if name.startswith("decoder.head."):  # one row a pixel value; there the channel comes last
            weight = weight.unflatten(0, (3, -1)).transpose(0, 1)
        parameter.copy_(weight.reshape(parameter.shape))


def products(setting: Setting) -> list[Product]:
    _, loss = ours(setting)
    return record(lambda: loss().backward())


STEPS: dict[str, Callable[[Setting], Step]] = {
    LIMIT: lambda s: synchronised(s, replay(products(s), s.device, DTYPES[s.precision])),
    "transformers": lambda s: training_step(s, *theirs(s)),
    "ours": lambda s: training_step(s, *ours(s)),
    "transformers, compiled": lambda s: training_step(s, *theirs(s, compiled=True)),
    "ours, compiled": lambda s: training_step(s, *ours(s, compiled=True)),
}
COMPILED = ("transformers, compiled", "ours, compiled")
RIVALS = {"ours": "transformers", "ours, compiled": "transformers, compiled"}


if __name__ == "__main__":
    main(sys.argv[1:])
