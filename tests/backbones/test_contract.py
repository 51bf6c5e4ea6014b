"""What every backbone promises: found by walking configs/backbone/, so that none is forgotten."""

import re
from pathlib import Path
from typing import Any

from vssl import _torchvision  # noqa: F401

# isort: split
import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from vssl.backbones.base import Backbone
from vssl.config.bind import bind, construct
from vssl.config.compose import compose
from vssl.nn.drop_path import DropPath

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs" / "backbone"
NAMES = sorted(path.stem for path in CONFIGS.glob("*.yaml"))
SMALL = [*(name for name in NAMES if name.endswith("_nano")), "mean_frame", "r3d_18", "mc3_18", "r2plus1d_18"]
FRAMES, SIZE = 8, 32
# `| name | parameters |` in the pages of docs/backbones/
COUNTS = {
    name: int(count.replace(",", ""))
    for page in (ROOT / "docs" / "backbones").glob("*.md")
    for name, count in re.findall(r"^\| `(\w+)` \|.*\| ([\d,]+) \|$", page.read_text(encoding="utf-8"), re.MULTILINE)
}


def _build(name: str, *words: str, frames: int = FRAMES, size: int = SIZE) -> Backbone:
    torch.manual_seed(0)
    clip = [f"clip.frames={frames}", f"clip.size={size}"]
    bound = bind(compose([f"backbone={name}", *clip, *words], paths={}).tree)
    return construct(bound["backbone"], Backbone, "backbone")


def _small(name: str, *words: str) -> Backbone:
    """Patches of 8 pixels where the default of 16 would leave four places."""
    patches = ["backbone.patch_size=8"] if name in ("vit_nano", "timesformer_nano") else []
    return _build(name, *patches, *words)


def _clips(frames: int = FRAMES, size: int = SIZE) -> Tensor:
    return torch.rand(2, 3, frames, size, size, generator=torch.Generator().manual_seed(1))


def test_each_family_is_here() -> None:
    assert {"vit_nano", "timesformer_nano", "swin_nano", "swin_spacetime_nano", "r3d_nano"} <= set(SMALL)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "mean_frame"])
def test_the_docs_have_its_parameter_count(name: str) -> None:
    """Counted at 16 frames of 224 x 224; at 8 frames for TimeSformer, as published."""
    with torch.device("meta"):
        encoder = _build(name, frames=8 if name.startswith("timesformer") else 16, size=224)
    assert sum(p.numel() for p in encoder.parameters()) == COUNTS[name]


@pytest.mark.parametrize("name", SMALL)
def test_summaries_tokens_and_maps_agree(name: str) -> None:
    encoder, clip = _small(name).eval(), _clips()
    t, h, w = encoder.grid(clip.shape)
    tokens, feature_map = encoder.tokens(clip), encoder.feature_map(clip)
    assert encoder(clip).shape == (2, encoder.embed_dim)
    assert tokens.shape == (2, t * h * w, encoder.embed_dim) and feature_map.shape == (2, encoder.embed_dim, t, h, w)
    torch.testing.assert_close(feature_map.flatten(2).transpose(1, 2), tokens)
    torch.testing.assert_close(encoder.frame_tokens(clip), tokens.view(2, t, h * w, -1).mean(dim=2))
    assert encoder.kind in ("vit", "swin", "cnn", "pixels")


@pytest.mark.parametrize("name", SMALL)
def test_clips_of_a_batch_do_not_see_each_other(name: str) -> None:
    encoder, clip = _small(name).eval(), _clips()
    torch.testing.assert_close(encoder(clip)[1:], encoder(clip[1:]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_pixels_are_normalised_inside(name: str) -> None:
    encoder, clip = _small(name).eval(), _clips()
    plain = _small(name).eval()
    plain.load_state_dict(encoder.state_dict())
    plain.mean.zero_()
    plain.std.fill_(1.0)
    by_hand = (clip - encoder.mean.view(3, 1, 1, 1)) / encoder.std.view(3, 1, 1, 1)
    torch.testing.assert_close(encoder(clip), plain(by_hand), rtol=1e-4, atol=1e-5)
    assert {"mean", "std"} <= set(encoder.state_dict())


@pytest.mark.parametrize("name", SMALL)
def test_layers_hold_every_parameter_once(name: str) -> None:
    encoder = _small(name)
    parameters = dict(encoder.named_parameters())
    layers = encoder.layers()
    assert sorted(n for layer in layers for n in layer) == sorted(parameters)
    assert all(parameters[n] is p for layer in layers for n, p in layer.items())
    assert encoder.no_decay() <= {n for n, p in parameters.items() if p.ndim > 1}


@pytest.mark.parametrize("name", SMALL)
def test_layers_stand_in_the_order_of_the_computation(name: str) -> None:
    """The last module of each layer runs after the last one of the layer before."""
    encoder = _small(name).eval()
    owner = {n: index for index, layer in enumerate(encoder.layers()) for n in layer}
    ran: list[int] = []
    for path, module in encoder.named_modules():
        own = [owner[f"{path}.{n}"] for n, _ in module.named_parameters(recurse=False) if f"{path}.{n}" in owner]
        if own and not list(module.children()):
            module.register_forward_hook(lambda *_, index=own[0]: ran.append(index))
    encoder(_clips())
    last = {index: place for place, index in enumerate(ran)}
    assert [last[index] for index in sorted(last)] == sorted(last.values())
    assert set(last) == set(owner.values())


CHECKPOINTED = [name for name in SMALL if name != "mean_frame"]


def _train_alike(plain: nn.Module, lean: nn.Module) -> None:
    """One backward pass of each: equal gradients, equal running statistics, which moved once."""
    for encoder in (plain, lean):
        torch.manual_seed(3)  # of stochastic depth
        encoder.train()(_clips()).square().sum().backward()
    for (path, p), (_, q) in zip(plain.named_parameters(), lean.named_parameters(), strict=True):
        assert p.grad is not None and q.grad is not None
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-5, atol=1e-6, msg=path)
    for (path, a), (_, b) in zip(plain.named_buffers(), lean.named_buffers(), strict=True):
        torch.testing.assert_close(a, b, msg=path)
    norms = [m for m in lean.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert all(norm.momentum == 0.1 and int(norm.num_batches_tracked) == 1 for norm in norms)


@pytest.mark.parametrize("name", CHECKPOINTED)
def test_recomputing_changes_no_gradient_and_no_running_statistic(name: str) -> None:
    plain, lean = _small(name), _small(name, "backbone.checkpoint=true")
    assert lean.checkpoint and not plain.checkpoint
    _train_alike(plain, lean)


def test_recomputing_goes_with_norms_that_ranks_share() -> None:
    """By one process, which such a norm takes for an ordinary one; it insists on counting its batches."""
    nets = [_small("r3d_nano", f"backbone.checkpoint={lean}") for lean in ("false", "true")]
    _train_alike(*(nn.SyncBatchNorm.convert_sync_batchnorm(net) for net in nets))


@pytest.mark.parametrize("name", [*CHECKPOINTED, "slow_r50"])
def test_stochastic_depth_rises_with_depth_and_disturbs_training_alone(name: str) -> None:
    plain, disturbed = (_small(name, f"backbone.drop_path={rate}") for rate in (0, 0.6))
    for parameter in plain.parameters():  # away from norms that start at 0 and so hide their branch
        parameter.data += 0.1 * torch.randn_like(parameter)
    disturbed.load_state_dict(plain.state_dict())
    rates = [m.rate for m in disturbed.modules() if isinstance(m, DropPath)]
    rates += [m.p for m in disturbed.modules() if isinstance(m, StochasticDepth)]
    assert rates == pytest.approx([0.6 * i / (len(rates) - 1) for i in range(len(rates))]) and len(rates) > 3
    assert disturbed.drop_path == 0.6
    clip = _clips()
    torch.testing.assert_close(disturbed.eval()(clip), plain.eval()(clip))
    assert not torch.allclose(disturbed.train()(clip), plain.train()(clip), rtol=1e-2)


@pytest.mark.parametrize("name", CHECKPOINTED)
def test_recomputing_keeps_fewer_activations(name: str) -> None:
    kept: dict[bool, int] = {}
    for lean in (False, True):
        encoder = _small(name, f"backbone.checkpoint={str(lean).lower()}").train()
        own = {p.data_ptr() for p in encoder.parameters()}
        sizes: dict[int, int] = {}

        def pack(x: Tensor, sizes: dict[int, int] = sizes, own: set[int] = own) -> Tensor:
            if x.data_ptr() not in own:
                sizes[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            output = encoder(_clips())
        kept[lean] = sum(sizes.values())
        del output
    assert kept[True] < 0.7 * kept[False]


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(("frames", "size"), [(4, 32), (8, 24), (8, 48)])
def test_clips_of_other_sizes_are_taken(name: str, frames: int, size: int) -> None:
    """What methods with small local views, and evaluations at another size, need."""
    encoder, clip = _small(name).eval(), _clips(frames, size)
    assert encoder.feature_map(clip).shape[2:] == encoder.grid(clip.shape)
    assert encoder(clip).shape == (2, encoder.embed_dim)


@pytest.mark.parametrize("name", [name for name in SMALL if name != "vit_nano"])
def test_only_the_tubelet_vit_leaves_tokens_out(name: str) -> None:
    with pytest.raises(ValueError, match=r"no token can be left out|none can be left out"):
        _small(name).tokens(_clips(), torch.zeros(2, 1, dtype=torch.int64))


@pytest.mark.parametrize("name", SMALL)
def test_it_works_under_autocast(name: str) -> None:
    encoder, clip = _small(name).eval(), _clips()
    expected: Any = encoder(clip)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = encoder(clip)
    scale = expected.abs().max()
    assert (found.float() - expected).abs().max() < 0.1 * scale
