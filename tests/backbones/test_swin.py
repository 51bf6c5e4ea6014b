import itertools
from typing import Any

from vssl import _torchvision  # noqa: F401

# isort: split
import pytest
import torch
from torch import Tensor, nn
from torchvision.models.video import swin3d_b, swin3d_s, swin3d_t
from torchvision.models.video.swin_transformer import ShiftedWindowAttention3d, SwinTransformer3d

from tests.backbones.parity import PLAIN, assert_equal_training, clips, weights
from vssl.backbones.swin import VideoSwin, WindowAttention

SMALL: dict[str, Any] = {"frames": 8, "width": 16, "depths": (2, 2), "heads": (2, 4), "window_size": 4}


def _encoder(**changes: Any) -> VideoSwin:
    torch.manual_seed(0)
    return _shaken(VideoSwin(**{**SMALL, "window_frames": 2, **changes}))


def _shaken(module: Any) -> Any:
    """Away from the small numbers that biases start with, behind which errors could hide."""
    for parameter in module.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return module


@pytest.mark.parametrize(
    ("published", "width", "depths", "heads"),
    [
        (swin3d_t, 96, (2, 2, 6, 2), (3, 6, 12, 24)),
        (swin3d_s, 96, (2, 2, 18, 2), (3, 6, 12, 24)),
        (swin3d_b, 128, (2, 2, 18, 2), (4, 8, 16, 32)),
    ],
)
def test_weights_have_torchvisions_names_and_shapes(
    published: Any, width: int, depths: tuple[int, ...], heads: tuple[int, ...]
) -> None:
    with torch.device("meta"):
        ours, theirs = VideoSwin(16, width, depths, heads), published()
    expected = {name: tensor.shape for name, tensor in theirs.state_dict().items() if not name.startswith("head.")}
    assert {name: tensor.shape for name, tensor in weights(ours).items()} == expected
    assert ours.embed_dim == theirs.head.in_features


def _torchvisions(ours: VideoSwin) -> SwinTransformer3d:
    theirs = SwinTransformer3d(
        list(ours.patch), 16, [2, 2], [2, 4], window_size=list(ours.window), stochastic_depth_prob=0.0
    )
    theirs.head = nn.Identity()
    theirs.load_state_dict(weights(ours))
    return theirs


@pytest.mark.parametrize("clip", [(8, 32), (6, 41, 35), (2, 32)], ids=["windows", "padded", "one slot"])
def test_outputs_and_gradients_equal_torchvision_where_no_map_is_smaller_than_the_window(clip: tuple[int, ...]) -> None:
    """In height and width; in time, torchvision is right also where the window is cut."""
    ours = _encoder(drop_path=0.0, **PLAIN)
    assert_equal_training(ours, _torchvisions(ours), clips(*clip))


def test_biases_differ_from_torchvision_where_a_map_is_smaller_than_the_window() -> None:
    """The documented difference: there, torchvision looks offsets up in a corner of the whole window's index."""
    ours = _encoder(drop_path=0.0, **PLAIN).eval()
    assert not torch.allclose(ours(clips(8, 24)), _torchvisions(ours).eval()(clips(8, 24)), rtol=1e-3)


def _by_loops(attn: WindowAttention, x: Tensor) -> Tensor:
    """Each query against each key of its window, written out. [t, h, w, D] -> [t, h, w, D]."""
    extent = x.shape[:3]
    window = [min(size, w) for size, w in zip(extent, attn.window_size, strict=True)]
    shift = [0 if n <= w else s for n, w, s in zip(extent, attn.window_size, attn.shift_size, strict=True)]
    padded = [-(-n // w) * w for n, w in zip(extent, window, strict=True)]
    heads, dim = attn.num_heads, x.shape[-1]
    whole = torch.zeros(*padded, dim, dtype=x.dtype)
    whole[: extent[0], : extent[1], : extent[2]] = x
    q, k, v = attn.qkv(whole).unflatten(-1, (3, heads, dim // heads)).unbind(3)
    axes = range(3)
    rows: list[Tensor] = []
    places = list(itertools.product(*(range(n) for n in padded)))

    def moved(place: tuple[int, ...]) -> list[int]:  # after the cyclic shift
        return [(place[a] - shift[a]) % padded[a] for a in axes]

    def region(place: list[int], a: int) -> int:  # what was neighbours before the shift
        if not shift[a] or place[a] < padded[a] - window[a]:
            return 0
        return 1 if place[a] < padded[a] - shift[a] else 2

    for query in itertools.product(*(range(n) for n in extent)):
        here = moved(query)
        scores, values = [], []
        for key in places:
            there = moved(key)
            if any(here[a] // window[a] != there[a] // window[a] or region(here, a) != region(there, a) for a in axes):
                continue
            offset = [here[a] - there[a] + attn.window_size[a] - 1 for a in axes]
            across, down = 2 * attn.window_size[2] - 1, 2 * attn.window_size[1] - 1
            bias = attn.relative_position_bias_table[(offset[0] * down + offset[1]) * across + offset[2]]
            scores.append((q[query] * k[key]).sum(-1) * (dim // heads) ** -0.5 + bias)
            values.append(v[key])
        share = torch.stack(scores).softmax(dim=0)  # [keys, heads]
        rows.append((share[..., None] * torch.stack(values)).sum(dim=0).flatten())
    return attn.proj(torch.stack(rows)).view(*extent, dim)


@pytest.mark.parametrize(
    "extent", [(2, 4, 4), (1, 2, 4), (3, 3, 3), (2, 5, 2), (1, 1, 1), (4, 3, 5)], ids=lambda e: "x".join(map(str, e))
)
@pytest.mark.parametrize("shifted", [False, True])
def test_attention_equals_loops_also_where_the_map_is_smaller_than_the_window(
    extent: tuple[int, int, int], shifted: bool
) -> None:
    torch.manual_seed(0)
    window = [2, 4, 4]
    attn = _shaken(WindowAttention(4, window, [w // 2 if shifted else 0 for w in window], 2)).double()
    x = torch.randn(1, *extent, 4, dtype=torch.float64)
    weight = torch.randn((*extent, 4), dtype=torch.float64)
    results = []
    for output in (attn(x)[0], _by_loops(attn, x[0])):
        gradients = torch.autograd.grad((output * weight).sum(), list(attn.parameters()))
        results.append((output, *gradients))
    for mine, expected in zip(*results, strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-10, atol=1e-10)


def test_torchvisions_own_attention_fails_the_loops_in_a_cut_window() -> None:
    torch.manual_seed(0)
    attn = _shaken(ShiftedWindowAttention3d(4, [2, 4, 4], [0, 0, 0], 2)).double()
    x = torch.randn(1, 2, 3, 3, 4, dtype=torch.float64)
    assert not torch.allclose(attn(x)[0], _by_loops(attn, x[0]), rtol=1e-3)


def _slots_reached(encoder: VideoSwin, block: int) -> list[bool]:
    """Which time slots the first slot's tokens depend on in one block of the first stage."""
    x = torch.randn(1, 4, 8, 8, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(encoder.features[0][block].attn(x)[:, 0].square().sum(), x)
    return [
        bool(gradient[:, t].abs().max() > 1e-9) for t in range(4)
    ]  # a masked score is 100 lower, not minus infinity


def test_spacetime_windows_span_all_time_slots_and_never_shift_in_time() -> None:
    spacetime, windowed = _encoder(window_frames=None), _encoder()
    assert spacetime.window == (4, 4, 4) and windowed.window == (2, 4, 4)
    assert [_slots_reached(spacetime, block) for block in (0, 1)] == [[True] * 4] * 2
    assert _slots_reached(windowed, 0) == [True, True, False, False]
    assert _slots_reached(windowed, 1) == [True, False, False, False]  # shifted by one slot
    assert spacetime.grid((3, 6, 32, 32)) == (3, 4, 4)
    with pytest.raises(ValueError, match="10 frames of 32 x 32 .* whose windows span 4 time slots of 2 frames"):
        spacetime(clips(10, 32))
    assert windowed.grid((3, 10, 32, 32)) == (5, 4, 4)


def test_spacetime_windows_attend_as_longer_ones_do() -> None:
    """Up to 16 frames, `swin_spacetime_*` and `swin_*` are one network; only their bias tables differ in length."""
    spacetime, longer = _encoder(window_frames=None).eval(), _encoder(window_frames=8).eval()
    weights = spacetime.state_dict()
    for name, tensor in longer.state_dict().items():
        if name.endswith("relative_position_bias_table"):
            offsets = tensor.view(15, 49, -1)
            offsets[4:11] = weights[name].view(7, 49, -1)
            weights[name] = tensor
        if name.endswith("relative_position_index"):
            weights[name] = tensor
    longer.load_state_dict(weights)
    torch.testing.assert_close(longer(clips(8, 32)), spacetime(clips(8, 32)), rtol=1e-5, atol=1e-5)


def test_layers_run_from_the_embedding_to_the_last_block() -> None:
    encoder = _encoder()
    layers = encoder.layers()
    assert len(layers) == 5 and "patch_embed.norm.bias" in layers[0]
    assert "features.1.reduction.weight" in layers[3] and "features.2.0.attn.qkv.weight" in layers[3]
    assert "norm.weight" in layers[4]
    assert len(encoder.no_decay()) == 4 and encoder.no_decay() <= {name for layer in layers for name in layer}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"heads": (2,)}, r"depths is \(2, 2\) and heads \(2,\)"),
        ({"depths": (1,), "heads": (1,)}, "at least two blocks are needed"),
        ({"heads": (2, 5)}, "stage 1 is 32 wide and has 5 heads"),
        ({"window_size": 0}, "window_size is 0; it must be at least 1"),
        ({"drop_path": 1.0}, "drop_path is 1.0; it must be at least 0 and below 1"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        VideoSwin(**{**SMALL, **changes})
