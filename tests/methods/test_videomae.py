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
from vssl.losses.reconstruction import ErrorKind
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


def _alike(**changes: Any) -> tuple[VideoMAE, VideoMAEForPreTraining]:
    """Ours and transformers' with the same random weights."""
    ours, theirs = _method(**changes), _reference(changes.get("normalise_target", True))
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.2)  # biases of q and v too: zeros would hide a wrong one
    weights = _in_our_names(dict(theirs.named_parameters()))
    assert set(weights) == {name for name, _ in ours.named_parameters()}
    ours.load_state_dict({**weights, "encoder.mean": ours.encoder.mean, "encoder.std": ours.encoder.std})
    return ours, theirs


def _assert_equal_gradients(ours: VideoMAE, theirs: VideoMAEForPreTraining) -> None:
    gradients = _in_our_names({name: p.grad for name, p in theirs.named_parameters()})
    for name, parameter in ours.named_parameters():
        assert parameter.grad is not None
        largest = gradients[name].abs().max()
        assert largest > 0, name
        assert (parameter.grad - gradients[name]).abs().max() <= 1e-5 * largest, name


@pytest.mark.parametrize("normalise_target", [True, False], ids=["normalised", "raw"])
@pytest.mark.parametrize(
    ("mask", "ratio"), [("tube", 0.9), ("random", 0.75), ("random", 0.3), ("frame", 0.5), ("block", 0.4)]
)
def test_loss_and_every_gradient_equal_transformers(mask: MaskKind, ratio: float, normalise_target: bool) -> None:
    ours, theirs = _alike(mask=mask, mask_ratio=ratio, normalise_target=normalise_target)
    views, batch = _batch()
    loss = ours.losses(views, batch)["loss"]
    loss.backward()
    _, hidden = ours.draw_mask(batch["key"], ours.encoder.grid(views["clip"].shape))
    masked = torch.zeros(3, 32, dtype=torch.bool).scatter_(1, hidden, True)
    pixels = ours.encoder.normalise(views["clip"], channel_dim=1).transpose(1, 2)
    reference = theirs(pixels, bool_masked_pos=masked).loss
    reference.backward()

    assert loss.item() == pytest.approx(reference.item(), rel=1e-5)
    _assert_equal_gradients(ours, theirs)


def _tubelets(clip: Tensor, frames: int) -> Tensor:
    """[B, C, T, H, W] -> [B, N, C, frames * 4 * 4], token by token."""
    pieces = [
        clip[:, :, frames * t : frames * (t + 1), PATCH * h : PATCH * (h + 1), PATCH * w : PATCH * (w + 1)].flatten(2)
        for t in range(clip.shape[2] // frames)
        for h in range(SIZE // PATCH)
        for w in range(SIZE // PATCH)
    ]
    return torch.stack(pieces, dim=1)


def _normalised(patches: Tensor) -> Tensor:
    """Of each channel of each patch; the standard deviation is the unbiased one."""
    return (patches - patches.mean(dim=-1, keepdim=True)) / (patches.std(dim=-1, keepdim=True) + 1e-6)


@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.75])
def test_dual_masking_equals_the_parts_of_transformers(ratio: float) -> None:
    """VideoMAE V2: the decoder is asked for a running cell's places, and what the encoder saw does not count."""
    ours, theirs = _alike(mask="tube", mask_ratio=0.6, decoder_mask="running_cell", decoder_mask_ratio=ratio)
    views, batch = _batch()
    loss = ours.losses(views, batch)["loss"]
    loss.backward()

    visible, hidden = ours.draw_mask(batch["key"], (2, 4, 4))
    asked, _ = ours.draw_decoder_mask(batch["key"], hidden, (2, 4, 4))
    masked = torch.zeros(3, 32, dtype=torch.bool).scatter_(1, hidden, True)
    pixels = ours.encoder.normalise(views["clip"], channel_dim=1).transpose(1, 2)
    encoded = theirs.encoder_to_decoder(theirs.videomae(pixels, bool_masked_pos=masked).last_hidden_state)
    table = theirs.position_embeddings[0]
    shown, wanted = encoded + table[visible], theirs.mask_token + table[asked]
    logits = theirs.decoder(torch.cat([shown, wanted], dim=1), asked.shape[1]).logits
    # transformers' pixels have their channel last, ours first
    prediction = logits.view(*asked.shape, -1, 3).transpose(2, 3)
    target = _normalised(_tubelets(views["clip"], TUBELET))
    terms = [
        (prediction[b, place] - target[b, token]).square().mean()
        for b in range(3)
        for place, token in enumerate(asked[b].tolist())
        if token in hidden[b].tolist()
    ]
    reference = torch.stack(terms).mean()
    reference.backward()

    assert asked.shape[1] == 32 * (1 - ratio) and len(terms) < asked.numel()
    assert loss.item() == pytest.approx(reference.item(), rel=1e-5)
    _assert_equal_gradients(ours, theirs)


def test_decoder_masks_belong_to_samples_and_all_four_occur() -> None:
    method = _method(decoder_mask="running_cell")
    key = torch.arange(64) * 104729
    _, hidden = method.draw_mask(key, (2, 4, 4))
    whole, counted = method.draw_decoder_mask(key, hidden, (2, 4, 4))
    halves = [method.draw_decoder_mask(*half, (2, 4, 4))[0] for half in zip(key.chunk(2), hidden.chunk(2), strict=True)]
    assert torch.equal(whole, torch.cat(halves))
    assert len(whole.unique(dim=0)) == 4
    for row, counts, gone in zip(whole.tolist(), counted.tolist(), hidden.tolist(), strict=True):
        assert counts == [token in gone for token in row]


def test_a_dual_masked_decoder_works_on_fewer_tokens() -> None:
    with torch.device("meta"):
        method = VideoMAE(VisionTransformer(16, 224, 64, 1, 1), decoder_mask="running_cell")
    seen: list[int] = []
    method.decoder.blocks[0].register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[1]))
    places = torch.empty(1, 784, dtype=torch.long, device="meta")
    method.decode(torch.empty(1, 160, 64, device="meta"), places[:, :160], places, (8, 14, 14))
    assert seen == [944]  # of 1568 without


@pytest.mark.parametrize("normalise_target", [True, False], ids=["normalised", "raw"])
def test_the_target_of_the_centre_frame_is_its_patch_at_the_tokens_place(normalise_target: bool) -> None:
    method = _method(target="centre_frame", normalise_target=normalise_target)
    clip, places = _batch()[0]["clip"], torch.tensor([[6, 31, 22]] * 3)
    patches = _tubelets(clip[:, :, 2:3], frames=1)
    expected = (_normalised(patches) if normalise_target else patches)[:, [6, 15, 6]].flatten(2)
    torch.testing.assert_close(method.target(clip, places, (2, 4, 4)), expected, rtol=1e-4, atol=1e-5)
    assert method.decoder.head.out_features == 3 * PATCH * PATCH


@pytest.mark.parametrize("normalise_target", [True, False], ids=["normalised", "raw"])
def test_the_denser_target_has_the_frames_between_those_encoded(normalise_target: bool) -> None:
    method = _method(target="denser_clip", normalise_target=normalise_target, mask="random", mask_ratio=0.5)
    clip = torch.rand(3, 3, 2 * FRAMES, SIZE, SIZE, generator=torch.Generator().manual_seed(2))
    key = torch.arange(3) * 7919
    visible, hidden = method.draw_mask(key, (2, 4, 4))
    sample = torch.arange(3)[:, None]
    patches = _tubelets(clip, frames=2 * TUBELET)
    target = (_normalised(patches) if normalise_target else patches)[sample, hidden].flatten(2)
    encoded = method.encoder.tokens(clip[:, :, [0, 2, 4, 6]], visible)
    expected = (method.decode(encoded, visible, hidden, (2, 4, 4)) - target).square().mean()
    assert method.losses({"clip": clip}, {"key": key})["loss"].item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("kind", get_args(ErrorKind))
def test_the_loss_is_the_one_that_was_chosen(kind: ErrorKind) -> None:
    method = _method(loss=kind, mask="random", mask_ratio=0.5)
    views, batch = _batch()
    visible, hidden = method.draw_mask(batch["key"], (2, 4, 4))
    prediction = method.decode(method.encoder.tokens(views["clip"], visible), visible, hidden, (2, 4, 4))
    far = (prediction - method.target(views["clip"], hidden, (2, 4, 4))).abs()
    error = {"mse": far**2, "l1": far, "smooth_l1": torch.where(far < 1, far**2 / 2, far - 0.5)}[kind].mean()
    assert method.losses(views, batch)["loss"].item() == pytest.approx(error.item(), rel=1e-5)
    assert (method.chance(3) is None) == (kind != "mse")


def test_a_decoder_mask_that_cannot_run_is_refused() -> None:
    odd = VisionTransformer(FRAMES, 12, DIM, depth=1, heads=4, patch_size=PATCH)
    with pytest.raises(ValueError, match="the grid has 3 x 3 places"):
        VideoMAE(odd, decoder_mask="running_cell")


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
    target = method.target(clip, torch.tensor([[6, 31]] * 3), (2, 4, 4))
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


@pytest.mark.parametrize("settings", [{}, {"decoder_mask": "running_cell"}], ids=["v1", "v2"])
def test_masks_are_drawn_outside_of_the_compiled_graph(settings: dict[str, Any]) -> None:
    graphs: list[torch.fx.GraphModule] = []

    def keep(graph: torch.fx.GraphModule, _: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    method = _method(**settings)
    loss = torch.compile(method.losses, backend=keep)(*_batch())["loss"]
    assert torch.equal(loss, method.losses(*_batch())["loss"])
    assert graphs and not any(">>" in graph.code for graph in graphs)
