"""Hooks of a method: once per optimiser step, with the right count, whatever the accumulation."""

import itertools

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from vssl.backbones.base import Backbone
from vssl.backbones.vit import VisionTransformer
from vssl.method import Batch, Method, PairMethod, Progress


def nano() -> VisionTransformer:
    torch.manual_seed(0)
    return VisionTransformer(frames=2, size=8, embed_dim=8, depth=1, heads=1, patch_size=8)


class Counting(Method):
    """Writes down what each hook was told."""

    def __init__(self, encoder: Backbone) -> None:
        super().__init__(encoder)
        self.before: list[Progress] = []
        self.after: list[tuple[Progress, Tensor]] = []

    def losses(self, views: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        self.before.append(self.progress)
        return {"loss": self.encoder(views["clip"])[:, 0].mean(), "half": torch.tensor(0.5)}

    def after_step(self, done: Progress) -> None:
        self.after.append((done, weights_of(self)))


def weights_of(method: Method) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in method.encoder.parameters()])


def fit(method: Method, steps: int, accumulate: int) -> pl.Trainer:
    clips = [{"views": {"clip": torch.rand(2, 3, 2, 8, 8)}} for _ in range(steps * accumulate)]
    method.total_steps = steps
    method.optimiser_factory = lambda method: torch.optim.SGD(method.parameters(), lr=0.1)
    trainer = pl.Trainer(
        max_steps=steps, max_epochs=-1, accumulate_grad_batches=accumulate, accelerator="cpu", logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(method, torch.utils.data.DataLoader(clips, batch_size=None))
    return trainer


@pytest.mark.parametrize("accumulate", [1, 2, 3])
def test_after_step_comes_once_per_optimiser_step_and_sees_the_new_weights(accumulate: int) -> None:
    method = Counting(nano())
    start = weights_of(method)
    fit(method, steps=4, accumulate=accumulate)
    assert [done for done, _ in method.after] == [Progress(step, 4) for step in (1, 2, 3, 4)]
    assert method.before == [Progress(step, 4) for step in (0, 1, 2, 3) for _ in range(accumulate)]
    weights = [start, *(weight for _, weight in method.after)]
    assert not any(torch.equal(first, second) for first, second in itertools.pairwise(weights))


def test_a_step_that_the_gradient_scaler_skips_moves_no_target() -> None:
    class Overflowing(Counting):
        def losses(self, views: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
            terms = super().losses(views, batch)
            return {**terms, "loss": terms["loss"] * (float("inf") if len(self.before) == 2 else 1.0)}

    method = Overflowing(nano())
    clips = [{"views": {"clip": torch.rand(2, 3, 2, 8, 8)}} for _ in range(4)]
    method.total_steps = 4
    method.optimiser_factory = lambda method: torch.optim.SGD(method.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0)
    precision = pl.plugins.precision.MixedPrecision("16-mixed", "cpu", scaler=scaler)
    trainer = pl.Trainer(
        max_steps=4, max_epochs=-1, accelerator="cpu", logger=False, enable_checkpointing=False, plugins=[precision],
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(method, torch.utils.data.DataLoader(clips, batch_size=None))
    assert trainer.global_step == 4
    assert [done.step for done, _ in method.after] == [1, 3, 4]


class Pairs(PairMethod):
    """Counts how often each view is encoded, and by which branch."""

    def __init__(self, encoder: Backbone) -> None:
        super().__init__(encoder)
        self.scale = nn.Parameter(torch.ones(()))
        self.encoded: list[float] = []

    def online(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        self.encoded.append(clip.mean().item())
        return clip.flatten(1) * self.scale, clip.flatten(1) * self.scale * 10

    def pair_loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        assert not target.requires_grad
        return (prediction.mean() - target.mean()).abs()


def test_pairs_without_a_target_network_aim_at_the_detached_projection() -> None:
    method = Pairs(nano())
    views = {"a": torch.full((2, 3, 2, 8, 8), 1.0), "b": torch.full((2, 3, 2, 8, 8), 2.0)}
    loss = method.losses(views, {})["loss"]
    assert loss.item() == pytest.approx(abs(1 - 20) + abs(2 - 10))
    assert method.encoded == [1.0, 2.0]  # each view once


def test_one_direction_encodes_no_view_twice_and_sums_one_term() -> None:
    method = Pairs(nano())
    method.pairs = (("a", "b"),)
    views = {"a": torch.full((2, 3, 2, 8, 8), 1.0), "b": torch.full((2, 3, 2, 8, 8), 2.0)}
    assert method.losses(views, {})["loss"].item() == pytest.approx(abs(1 - 20))
    assert method.encoded == [1.0, 2.0]


def test_a_target_network_is_asked_once_per_aim_and_online_only_where_it_predicts() -> None:
    class Targeted(Pairs):
        def __init__(self, encoder: Backbone) -> None:
            super().__init__(encoder)
            self.aimed: list[float] = []

        def target(self, clip: Tensor) -> Tensor:
            self.aimed.append(clip.mean().item())
            return clip.flatten(1) * 100

    method = Targeted(nano())
    method.pairs = (("a", "b"), ("c", "b"))
    views = {name: torch.full((2, 3, 2, 8, 8), value) for name, value in (("a", 1.0), ("b", 2.0), ("c", 3.0))}
    loss = method.losses(views, {})["loss"]
    assert loss.item() == pytest.approx(abs(1 - 200) + abs(3 - 200))
    assert (method.encoded, method.aimed) == ([1.0, 3.0], [2.0])


def test_param_groups_hold_every_trainable_parameter_once_by_depth() -> None:
    method = Pairs(nano())
    frozen = method.encoder.patch_embed
    assert isinstance(frozen, nn.Module)
    frozen.requires_grad_(False)
    groups = method.param_groups()
    names = [name for group in groups for name in group.params]
    assert sorted(names) == sorted(name for name, p in method.named_parameters() if p.requires_grad)
    assert [group.depth for group in groups] == sorted(group.depth for group in groups)
    assert groups[-1].name == "heads" and set(groups[-1].params) == {"scale"}


def test_refuses_views_that_lack_a_name() -> None:
    reason = Pairs.refuses(nano(), ("clip",), 8)
    assert reason == "Pairs needs the views a, b; this views file gives clip"
