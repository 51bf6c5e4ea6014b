"""VideoMAE against transformers' VideoMAEForPreTraining, and the promises of its masks, target and initialisation."""

import math
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn
from transformers import VideoMAEConfig, VideoMAEForPreTraining

from methods.videomae import VideoMAE
from vssl.backbones.mean_frame import MeanFrame
from vssl.backbones.vit import VisionTransformer
from vssl.nn.masks import MaskKind

FRAMES, SIZE, PATCH, TUBELET = 4, 16, 4, 2
DIM, DECODER_DIM = 32, 16
# One for blocks and the decoder's last norm, where transformers keeps PyTorch's default.
EPS = 1e-5


def _method(**changes: Any) -> VideoMAE:
    torch.manual_seed(0)
    encoder = VisionTransformer(FRAMES, SIZE, DIM, depth=3, heads=4, patch_size=PATCH, norm_eps=EPS)
    settings = {"decoder_dim": DECODER_DIM, "decoder_depth": 2, "decoder_heads": 2, "norm_eps": EPS}
    return VideoMAE(encoder, **{**settings, **changes})


def _batch(batch: int = 3) -> tuple[dict[str, Tensor], Any]:
    clip = torch.rand(batch, 3, FRAMES, SIZE, SIZE, generator=torch.Generator().manual_seed(2))
    return {"clip": clip}, {"key": torch.arange(batch) * 7919 - 3}


def _reference(normalise_target: bool) -> VideoMAEForPreTraining:
    config = VideoMAEConfig(
        image_size=SIZE, patch_size=PATCH, num_frames=FRAMES, tubelet_size=TUBELET, hidden_size=DIM,
        num_hidden_layers=3, num_attention_heads=4, intermediate_size=4 * DIM, layer_norm_eps=EPS,
        decoder_hidden_size=DECODER_DIM, decoder_num_hidden_layers=2, decoder_num_attention_heads=2,
        decoder_intermediate_size=4 * DECODER_DIM, norm_pix_loss=normalise_target, use_mean_pooling=False,
    )  # fmt: skip
    return VideoMAEForPreTraining(config)


def _channel_first(x: Tensor) -> Tensor:
    """The head's rows from the official pixel order, channel last, to ours."""
    return x.reshape(TUBELET * PATCH * PATCH, 3, *x.shape[1:]).transpose(0, 1).reshape(x.shape)


def _block(theirs: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    attention = f"{prefix}.attention.attention"
    return {
        "norm1.weight": theirs[f"{prefix}.layernorm_before.weight"],
        "norm1.bias": theirs[f"{prefix}.layernorm_before.bias"],
        "norm2.weight": theirs[f"{prefix}.layernorm_after.weight"],
        "norm2.bias": theirs[f"{prefix}.layernorm_after.bias"],
        "attn.qkv.weight": torch.cat([theirs[f"{attention}.{part}.weight"] for part in ("query", "key", "value")]),
        "attn.q_bias": theirs[f"{attention}.query.bias"],
        "attn.v_bias": theirs[f"{attention}.value.bias"],
        "attn.proj.weight": theirs[f"{prefix}.attention.output.dense.weight"],
        "attn.proj.bias": theirs[f"{prefix}.attention.output.dense.bias"],
        "mlp.fc1.weight": theirs[f"{prefix}.intermediate.dense.weight"],
        "mlp.fc1.bias": theirs[f"{prefix}.intermediate.dense.bias"],
        "mlp.fc2.weight": theirs[f"{prefix}.output.dense.weight"],
        "mlp.fc2.bias": theirs[f"{prefix}.output.dense.bias"],
    }


def _in_our_names(theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """transformers' tensors (weights or gradients) under our names and in our layout."""
    ours = {
        "mask_token": theirs["mask_token"],
        "encoder_to_decoder.weight": theirs["encoder_to_decoder.weight"],
        "encoder.patch_embed.weight": theirs["videomae.embeddings.patch_embeddings.projection.weight"].flatten(1),
        "encoder.patch_embed.bias": theirs["videomae.embeddings.patch_embeddings.projection.bias"],
        "encoder.norm.weight": theirs["videomae.layernorm.weight"],
        "encoder.norm.bias": theirs["videomae.layernorm.bias"],
        "decoder.norm.weight": theirs["decoder.norm.weight"],
        "decoder.norm.bias": theirs["decoder.norm.bias"],
        "decoder.head.weight": _channel_first(theirs["decoder.head.weight"]),
        "decoder.head.bias": _channel_first(theirs["decoder.head.bias"]),
    }
    for i in range(3):
        block = _block(theirs, f"videomae.encoder.layer.{i}")
        ours |= {f"encoder.blocks.{i}.{name}": tensor for name, tensor in block.items()}
    for i in range(2):
        block = _block(theirs, f"decoder.decoder_layers.{i}")
        ours |= {f"decoder.blocks.{i}.{name}": tensor for name, tensor in block.items()}
    return ours


@pytest.mark.parametrize("normalise_target", [True, False], ids=["normalised", "raw"])
@pytest.mark.parametrize(("mask", "ratio"), [("tube", 0.9), ("random", 0.75), ("random", 0.3), ("frame", 0.5)])
def test_loss_and_every_gradient_equal_transformers(mask: MaskKind, ratio: float, normalise_target: bool) -> None:
    ours = _method(mask=mask, mask_ratio=ratio, normalise_target=normalise_target)
    theirs = _reference(normalise_target)
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.2)  # biases of q and v too: zeros would hide a wrong one
    weights = _in_our_names(dict(theirs.named_parameters()))
    assert set(weights) == {name for name, _ in ours.named_parameters()}
    ours.load_state_dict({**weights, "encoder.mean": ours.encoder.mean, "encoder.std": ours.encoder.std})

    views, batch = _batch()
    loss = ours.losses(views, batch)["loss"]
    loss.backward()
    _, hidden = ours.draw_mask(batch["key"], ours.encoder.grid(views["clip"].shape))
    masked = torch.zeros(3, 32, dtype=torch.bool).scatter_(1, hidden, True)
    pixels = ours.encoder.normalise(views["clip"], channel_dim=1).transpose(1, 2)
    reference = theirs(pixels, bool_masked_pos=masked).loss
    reference.backward()

    assert loss.item() == pytest.approx(reference.item(), rel=1e-5)
    gradients = _in_our_names({name: p.grad for name, p in theirs.named_parameters()})
    for name, parameter in ours.named_parameters():
        assert parameter.grad is not None
        largest = gradients[name].abs().max()
        assert largest > 0, name
        assert (parameter.grad - gradients[name]).abs().max() <= 1e-5 * largest, name


@pytest.mark.parametrize("mask", get_args(MaskKind))
def test_masks_belong_to_samples_and_not_to_batches(mask: MaskKind) -> None:
    method = _method(mask=mask, mask_ratio=0.5)
    key = torch.arange(8) * 104729
    whole = method.draw_mask(key, (2, 4, 4))
    halves = [method.draw_mask(half, (2, 4, 4)) for half in key.chunk(2)]
    for place, part in enumerate(whole):
        assert torch.equal(part, torch.cat([half[place] for half in halves]))
    assert len(whole[1].unique(dim=0)) > 1  # not one mask for all


def test_gradients_of_one_batch_equal_the_mean_of_its_halves() -> None:
    method = _method()
    views, batch = _batch(8)
    method.losses(views, batch)["loss"].backward()
    whole = {name: p.grad.clone() for name, p in method.named_parameters() if p.grad is not None}
    method.zero_grad()
    for half in (slice(0, 4), slice(4, 8)):
        part = method.losses({"clip": views["clip"][half]}, {"key": batch["key"][half]})["loss"] / 2
        part.backward()
    for name, parameter in method.named_parameters():
        torch.testing.assert_close(parameter.grad, whole[name], rtol=1e-3, atol=1e-6)


def test_the_encoder_never_sees_a_hidden_token() -> None:
    method = _method(mask="random", mask_ratio=0.75)
    seen: list[int] = []
    for block in method.encoder.blocks:
        block.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[1]))
    method.losses(*_batch())
    assert seen == [8, 8, 8]


def test_the_target_is_the_pixels_of_the_hidden_tokens() -> None:
    method = _method(normalise_target=False)
    clip = _batch()[0]["clip"]
    target = method.target(clip, torch.tensor([[6, 31]] * 3))
    first = clip[1, :, 0:2, 4:8, 8:12].flatten()  # token 6: time slot 0, row 1, column 2 of 4
    assert torch.equal(target[1, 0], first)
    assert torch.equal(target[1, 1], clip[1, :, 2:4, 12:16, 12:16].flatten())


@pytest.mark.parametrize(
    ("dim", "depth", "heads", "decoder", "parameters"),
    [
        (384, 12, 6, {}, 24_029_376),
        (768, 12, 12, {}, 94_210_944),
        (1024, 24, 16, {"decoder_depth": 12}, 342_996_992),
        (1024, 24, 16, {}, 317_782_016),
        (1280, 32, 16, {"decoder_depth": 12, "decoder_heads": 8}, 692_487_296),
        (1280, 32, 16, {"decoder_dim": 512, "decoder_heads": 8}, 645_659_392),
    ],
)
def test_published_sizes_have_the_published_parameter_counts(
    dim: int, depth: int, heads: int, decoder: dict[str, int], parameters: int
) -> None:
    with torch.device("meta"):
        method = VideoMAE(VisionTransformer(16, 224, dim, depth, heads), **decoder)
    assert sum(p.numel() for p in method.parameters()) == parameters


def test_the_default_decoder_is_half_as_wide_with_64_channels_a_head() -> None:
    with torch.device("meta"):
        decoder = VideoMAE(VisionTransformer(16, 224, 768, 1, 12)).decoder
    assert len(decoder.blocks) == 4 and decoder.norm.normalized_shape == (384,) and decoder.blocks[0].attn.heads == 6
    assert decoder.head.out_features == 1536


def test_initialisation_follows_the_recipe() -> None:
    method = _method(decoder_dim=512, decoder_heads=8)
    assert 0.01 < method.mask_token.abs().max().item() <= 0.02
    assert method.encoder_to_decoder.bias is None
    assert method.encoder_to_decoder.weight.abs().max().item() == pytest.approx(1 / math.sqrt(DIM), rel=1e-2)
    head = method.decoder.head
    assert head.weight.abs().max().item() == pytest.approx(math.sqrt(6 / (512 + 96)), rel=1e-2) and not head.bias.any()


def test_a_zero_prediction_costs_chance() -> None:
    method = _method()
    nn.init.zeros_(method.decoder.head.weight)
    assert method.chance(3) == 31 / 32  # 2 x 4 x 4 pixels a channel
    assert method.losses(*_batch())["loss"].item() == pytest.approx(31 / 32, abs=1e-4)
    assert _method(normalise_target=False).chance(3) is None


def test_mask_token_is_never_decayed_and_belongs_to_the_deepest_group() -> None:
    method = _method()
    assert method.no_decay() == {"mask_token"}
    *_, heads = method.param_groups()
    assert "mask_token" in heads.params and "encoder_to_decoder.weight" in heads.params
    assert sum(len(group.params) for group in method.param_groups()) == len(list(method.parameters()))


def test_one_batch_can_be_learned_by_heart() -> None:
    torch.manual_seed(0)
    method = _method(mask="random", mask_ratio=0.5)
    ramps = torch.rand(2, 3, 1, 1, 1) + torch.linspace(0, 1, SIZE) * torch.linspace(0.5, 1, FRAMES).view(FRAMES, 1, 1)
    clip = ramps.expand(2, 3, FRAMES, SIZE, SIZE).contiguous()
    optimiser = torch.optim.AdamW(method.parameters(), lr=3e-3)
    for _ in range(60):
        optimiser.zero_grad()
        loss = method.losses({"clip": clip}, {"key": torch.tensor([1, 2])})["loss"]
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.2


def test_features_for_the_monitor_are_one_row_a_clip() -> None:
    assert _method().losses(*_batch())["features"].shape == (3, DIM)


def test_half_precision_keeps_the_loss_in_float32() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        loss = _method().losses(*_batch())["loss"]
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(_method().losses(*_batch())["loss"].item(), rel=2e-2)


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(ValueError, match=r"mask=tube with mask_ratio=0\.01 hides 0 of 16 places of a frame"):
        _method(mask_ratio=0.01)
    encoder = _method().encoder
    assert VideoMAE.refuses(encoder, ("clip",), 1) is None
    assert VideoMAE.refuses(encoder, ("a", "b"), 1) == "VideoMAE needs the views clip; this views file gives a, b"
    refusal = VideoMAE.refuses(MeanFrame(size=16), ("clip",), 8)
    assert refusal is not None and "which MeanFrame cannot" in refusal


def test_masks_are_drawn_outside_of_the_compiled_graph() -> None:
    graphs: list[torch.fx.GraphModule] = []

    def keep(graph: torch.fx.GraphModule, _: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    method = _method()
    loss = torch.compile(method.losses, backend=keep)(*_batch())["loss"]
    assert torch.equal(loss, method.losses(*_batch())["loss"])
    assert graphs and not any(">>" in graph.code for graph in graphs)
