import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from vssl.backbones.base import Backbone
from vssl.backbones.mean_frame import MeanFrame
from vssl.backbones.vit import VisionTransformer
from vssl.config.errors import UserError, WorkError
from vssl.evaluation import attentive_fit
from vssl.evaluation.attentive import Attentive, _of_crops, heads_for
from vssl.evaluation.attentive_fit import Recipe, State, fit_probes, rates
from vssl.evaluation.attentive_head import AttentiveHead
from vssl.evaluation.heads import Point
from vssl.evaluation.protocol import Task
from vssl.nn.attention import Block

Parameters = dict[str, Tensor]


def norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    mean = x.sum() / len(x)
    variance = ((x - mean) ** 2).sum() / len(x)
    return (x - mean) / (variance + 1e-5) ** 0.5 * weight + bias


def written_out(p: Parameters, tokens: Tensor, heads: int) -> Tensor:
    """One video, [N, D] -> [K]: y = cross(q, LN(x)); q = q + y; q = q + MLP(LN(q)); W q + b."""
    x = [norm(token, p["norm1.weight"], p["norm1.bias"]) for token in tokens]
    dim = tokens.shape[1]
    width = dim // heads
    start = p["query"][0, 0]
    query = p["cross.q.weight"] @ start + p["cross.q.bias"]
    key_weight, value_weight = p["cross.kv.weight"][:dim], p["cross.kv.weight"][dim:]
    key_bias, value_bias = p["cross.kv.bias"][:dim], p["cross.kv.bias"][dim:]
    parts = []
    for head in range(heads):
        own = slice(head * width, (head + 1) * width)
        scores = [query[own] @ (key_weight @ token + key_bias)[own] / math.sqrt(width) for token in x]
        total = sum(score.exp() for score in scores)
        parts.append(
            sum(s.exp() / total * (value_weight @ t + value_bias)[own] for s, t in zip(scores, x, strict=True))
        )
    attended = torch.cat(parts)
    if "cross.proj.weight" in p:
        attended = p["cross.proj.weight"] @ attended + p["cross.proj.bias"]
    q = start + attended
    hidden = p["mlp.fc1.weight"] @ norm(q, p["norm2.weight"], p["norm2.bias"]) + p["mlp.fc1.bias"]
    gelu = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
    q = q + p["mlp.fc2.weight"] @ gelu + p["mlp.fc2.bias"]
    return p["linear.weight"] @ q + p["linear.bias"]


def shaken(head: nn.Module) -> nn.Module:
    """Away from the start, where biases are 0 and norms do nothing."""
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return head


@pytest.mark.parametrize("output", ["none", "linear"])
def test_the_probe_equals_its_equation_in_loss_and_gradients(output: Any) -> None:
    torch.manual_seed(0)
    head = shaken(AttentiveHead(dim=6, heads=2, classes=3, mlp_ratio=2, output=output).double())
    tokens, label = torch.randn(4, 5, 6, dtype=torch.float64), torch.tensor([0, 2, 1, 1])
    loss = F.cross_entropy(head(tokens), label)
    loss.backward()  # type: ignore[no-untyped-call]
    copies = {name: p.detach().clone().requires_grad_() for name, p in head.named_parameters()}
    total = torch.zeros((), dtype=torch.float64)
    for video, right in zip(tokens, label.tolist(), strict=True):
        logits = written_out(copies, video, heads=2)
        total = total - (logits[right].exp() / logits.exp().sum()).log() / 4
    assert loss.item() == pytest.approx(total.item(), rel=1e-12)
    total.backward()  # type: ignore[no-untyped-call]
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None and copies[name].grad is not None
        torch.testing.assert_close(parameter.grad, copies[name].grad, rtol=1e-9, atol=1e-12, msg=name)


def test_the_output_layer_is_there_only_where_it_is_applied() -> None:
    names = {
        output: {n for n, _ in AttentiveHead(8, 2, 3, output=output).named_parameters()}
        for output in ("none", "linear")
    }
    assert names["linear"] - names["none"] == {"cross.proj.weight", "cross.proj.bias"}


def test_four_blocks_attend_to_the_tokens_before_the_query_does() -> None:
    torch.manual_seed(0)
    head = shaken(AttentiveHead(dim=8, heads=2, classes=3, blocks=4)).eval()
    tokens = torch.randn(2, 5, 8)
    blocks = [part for part in head.modules() if isinstance(part, Block)]
    assert len(blocks) == 3
    x = tokens
    for block in blocks:
        x = block(x)
    own = {name: parameter for name, parameter in head.named_parameters() if not name.startswith("blocks.")}
    for video, logits in zip(x, head(tokens), strict=True):
        torch.testing.assert_close(written_out(own, video, heads=2), logits, rtol=1e-4, atol=1e-5)


def test_what_the_query_looks_at_is_what_it_reads() -> None:
    torch.manual_seed(0)
    head = shaken(AttentiveHead(dim=8, heads=2, classes=3)).eval()
    tokens = torch.randn(2, 5, 8)
    attention = head.attention(tokens)
    torch.testing.assert_close(attention.sum(dim=2), torch.ones(2, 2))
    x = head.norm1(tokens)
    values = head.cross.kv(x)[..., 8:].unflatten(2, (2, 4))  # [B, N, heads, 4]
    expected = torch.einsum("bhn,bnhd->bhd", attention, values).flatten(1)
    torch.testing.assert_close(head.cross(head.query.expand(2, -1, -1), x).squeeze(1), expected)


@pytest.mark.parametrize(("dim", "heads"), [(96, 2), (192, 3), (768, 12), (1024, 16), (7, 1), (40, 1)])
def test_heads_are_about_64_wide(dim: int, heads: int) -> None:
    assert heads_for(dim) == heads


# Training


def made(videos: int = 24, classes: int = 3) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    label = np.arange(videos) % classes
    return (rng.normal(size=(videos, 4, 8)) + label[:, None, None]).astype(np.float32), label


def fit(grid: list[Point], path: Path, key: str = "k", epochs: int = 4) -> list[Parameters]:
    tokens, label = made()
    recipe = Recipe(epochs=epochs, batch_size=10, final_decay=1e-6, clip_grad=1.0)
    probes = fit_probes(
        lambda: AttentiveHead(8, 2, 3), tokens, label, grid, recipe, State(path, key), device="cpu", seed=0
    )  # fmt: skip
    return [{name: tensor.clone() for name, tensor in probe.state_dict().items()} for probe in probes]


def equal(a: list[Parameters], b: list[Parameters]) -> bool:
    return all(torch.equal(x[name], y[name]) for x, y in zip(a, b, strict=True) for name in x)


GRID = [Point(1e-3, 0.01), Point(1e-2, 0.0), Point(1e-2, 0.5)]


def test_side_by_side_is_one_by_one(tmp_path: Path) -> None:
    together = fit(GRID, tmp_path / "a")
    alone = [fit([point], tmp_path / "b")[0] for point in GRID]
    assert equal(together, alone)
    assert not equal(together[1:2], together[2:])  # the decay does something


class Killed(BaseException):
    """As a signal would end it."""


@pytest.mark.parametrize("saves", [1, 3])
def test_a_killed_training_ends_as_if_it_had_not_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saves: int
) -> None:
    whole = fit(GRID, tmp_path / "whole")
    monkeypatch.setattr(attentive_fit, "SAVE_EVERY_S", 0.0)
    save, step, steps = attentive_fit._save, attentive_fit._step, []

    def dying(*args: Any) -> None:
        save(*args)
        if args[1] == saves:
            raise Killed

    monkeypatch.setattr(attentive_fit, "_save", dying)
    with pytest.raises(Killed):
        fit(GRID, tmp_path / "state")
    monkeypatch.setattr(attentive_fit, "_save", save)
    monkeypatch.setattr(attentive_fit, "_step", lambda *args: (steps.append(1), step(*args)))
    assert equal(fit(GRID, tmp_path / "state"), whole)
    assert len(steps) == (4 - saves) * 3 * len(GRID)  # 24 videos in batches of at most 10
    steps.clear()
    assert equal(fit(GRID, tmp_path / "state", key="of another list"), whole)
    assert len(steps) == 4 * 3 * len(GRID)  # a state of something else is not taken


def test_a_damaged_state_is_told_and_not_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "state").write_bytes(b"PK\x03\x04 half of a file")
    assert equal(fit(GRID, tmp_path / "state"), fit(GRID, tmp_path / "other"))
    assert "damaged, the probe is trained from the start" in caplog.text


def test_rate_and_decay_fall_along_a_cosine() -> None:
    recipe = Recipe(epochs=1, batch_size=1, final_decay=0.02, clip_grad=None)
    assert rates(Point(2.0, 0.1), recipe, 0.0) == (2.0, pytest.approx(0.1))
    assert rates(Point(2.0, 0.1), recipe, 0.5) == (pytest.approx(1.0), pytest.approx(0.06))
    assert rates(Point(2.0, 0.1), recipe, 1.0) == (pytest.approx(0.0), pytest.approx(0.02))
    assert rates(Point(2.0, 0.0), recipe, 1.0)[1] == 0.0  # never rises
    assert rates(Point(2.0, 0.1), replace(recipe, final_decay=None), 0.7)[1] == pytest.approx(0.1)


# The protocol


@pytest.fixture
def encoder() -> Backbone:
    torch.manual_seed(0)
    return VisionTransformer(frames=2, size=8, embed_dim=16, depth=1, heads=2, patch_size=4).eval()


QUICK = Attentive(lrs=(3e-3, 1e-2), weight_decays=(0.01,), epochs=20, batch_size=16)


def test_test_labels_change_the_metrics_and_nothing_else(world: Any, encoder: Backbone, tmp_path: Path) -> None:
    task = world.blobs(videos=(60, 20, 100), noise=30.0)
    shuffled = np.random.default_rng(0).permutation(task.test.labels["motion"])
    blind = replace(task, test=replace(task.test, labels={"motion": shuffled}))
    honest, chance = QUICK.run(encoder, task, tmp_path), QUICK.run(encoder, blind, tmp_path)
    assert honest.metrics["top1"]["value"] > 0.9
    assert chance.metrics["top1"]["low"] < 0.25 < chance.metrics["top1"]["high"]
    assert honest.chosen == chance.chosen
    assert np.array_equal(np.stack(honest.predictions["scores"]), np.stack(chance.predictions["scores"]))


def test_the_test_list_is_read_last_and_no_state_stays(world: Any, encoder: Backbone, tmp_path: Path) -> None:
    task = world.blobs(videos=(24, 8, 8))
    results = QUICK.run(encoder, task, tmp_path)
    assert world.reader.opened == [*task.train.id, *task.select.id, *task.test.id]
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [results.artefacts["probe"]]
    assert set(load_file(tmp_path / results.artefacts["probe"])) > {"query", "linear.weight"}
    assert QUICK.stamp(task)["pooling"] == "all tokens after the encoder's final norm"


def test_tokens_of_all_clips_are_looked_over_together_and_crops_are_averaged(
    world: Any, encoder: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, seen = world.blobs(videos=(12, 4, 4)), []
    forward = AttentiveHead.forward
    monkeypatch.setattr(AttentiveHead, "forward", lambda head, x: (seen.append(x.shape), forward(head, x))[1])
    protocol = Attentive(lrs=(1e-3,), weight_decays=(0.0,), epochs=1, batch_size=16, clips=2, crops=3)
    results = protocol.run(encoder, task, tmp_path)
    assert [tuple(shape[1:]) for shape in seen] == [(2 * 4, 16)] * len(seen)
    assert [shape[0] for shape in seen] == [16, 4 * 3]
    views = np.stack([np.stack(one) for one in results.predictions["view_scores"]])
    assert views.shape == (4, 3, 4)
    np.testing.assert_allclose(views.mean(axis=1), np.stack(results.predictions["scores"]), rtol=1e-5)
    assert protocol.stamp(task)["clip"]["views"] == "2 x 3"


def test_clips_stand_side_by_side_in_their_crop() -> None:
    views = np.arange(6)[None, :, None, None] * 10 + np.arange(2)[None, None, :, None]  # 3 clips x 2 crops, 2 tokens
    assert _of_crops(views, 2)[0, :, :, 0].tolist() == [[0, 1, 20, 21, 40, 41], [10, 11, 30, 31, 50, 51]]


class Summary(Backbone):
    kind, embed_dim = "stranger", 4

    def forward(self, clip: Tensor) -> Tensor:
        return clip.mean(dim=(2, 3, 4))


@pytest.mark.parametrize("encoder", [MeanFrame(size=8), Summary()], ids=["mean_frame", "stranger"])
def test_an_encoder_without_tokens_is_refused(world: Any, encoder: Backbone, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=rf"{type(encoder).__name__} gives one summary a clip; .*\n.*eval=linear"
    ) as caught:
        Attentive().check_encoder(encoder, world.blobs(videos=(24, 8, 8)))
    assert caught.value.exit_code == 2


def test_tokens_that_are_too_large_are_refused_with_their_size(world: Any, encoder: Backbone, tmp_path: Path) -> None:
    task = world.blobs(videos=(24, 8, 8))
    size = 32 * 2 * 4 * 16 * 4 / 1e9  # videos x clips x tokens x width x bytes
    protocol = Attentive(clips=2, features_gb=size / 2)
    with pytest.raises(
        UserError, match=r"tokens of 64 clips take 1.64e-05 GB, above features_gb=.*\n.*features_gb=1; else fewer"
    ):
        protocol.check_encoder(encoder, task)
    assert world.reader.opened == []
    Attentive(clips=2, features_gb=1, lrs=(1e-3,), weight_decays=(0.0,), epochs=1).run(encoder, task, tmp_path)


def test_heads_that_do_not_divide_the_width_are_refused(world: Any, encoder: Backbone) -> None:
    task: Task = world.blobs(videos=(24, 8, 8))
    with pytest.raises(UserError, match=r"heads=5 does not divide .* 16\n.*heads=4 does"):
        Attentive(heads=5).check_encoder(encoder, task)
    Attentive(heads=4).check_encoder(encoder, task)


def test_what_cannot_be_chosen_is_refused(world: Any) -> None:
    task: Task = world.blobs(videos=(8, 0, 4))
    with pytest.raises(UserError, match="no select video to choose among 6 settings"):
        Attentive().check(task)
    Attentive(lrs=(1e-3,), weight_decays=(0.01,)).check(task)


def test_rates_that_overflow_are_told(world: Any, encoder: Backbone, tmp_path: Path) -> None:
    task = world.blobs(videos=(24, 8, 8))
    with pytest.raises(WorkError, match=r"overflowed at every rate\n.*eval.attentive.lrs"):
        Attentive(lrs=(1e30, 1e31), epochs=2).run(encoder, task, tmp_path)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"blocks": 0}, "blocks=0"), ({"heads": 0}, "heads=0"), ({"lrs": ()}, "lrs="), ({"epochs": 0}, "epochs=0"),
        ({"weight_decays": (-1.0,)}, "weight_decays="), ({"final_decay": -1.0}, "final_decay=-1.0"),
        ({"clip_grad": 0.0}, "clip_grad=0.0"), ({"features_gb": 0.0}, "features_gb=0.0"),
    ],
)  # fmt: skip
def test_settings_out_of_range(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Attentive(**settings)
