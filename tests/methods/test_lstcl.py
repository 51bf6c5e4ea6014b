import copy
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor

from methods.byol import BYOL
from methods.lstcl import LSTCL, LSTCLBYOL, LongShort, LSTCLSimSiam
from methods.moco_v3 import MoCoV3
from methods.simsiam import SimSiam
from vssl.backbones.vit import VisionTransformer
from vssl.config.bind import bind
from vssl.config.compose import compose
from vssl.method import PairMethod, Progress
from vssl.records.record import read_record
from vssl.training.build import assemble
from vssl.training.run import LAST, pretrain

BOTH = (("short", "long"), ("long", "short"))
FRAMEWORKS: list[tuple[type[LongShort], type[PairMethod], dict[str, Any]]] = [
    (LSTCL, MoCoV3, {"dim": 8, "hidden_dim": 12}),
    (LSTCLBYOL, BYOL, {"dim": 8, "hidden_dim": 12}),
    (LSTCLSimSiam, SimSiam, {"dim": 8, "bottleneck": 3}),
]
each = pytest.mark.parametrize(("cls", "bare", "widths"), FRAMEWORKS)


def _encoder() -> VisionTransformer:
    torch.manual_seed(0)
    return VisionTransformer(frames=2, size=8, embed_dim=8, depth=1, heads=2, patch_size=4)


def _clips(batch: int = 5) -> tuple[Tensor, Tensor]:
    one, other = torch.rand(2, batch, 3, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    return one, other


def _step(method: PairMethod, views: dict[str, Tensor], done: int) -> Tensor:
    method.zero_grad()
    loss = method.losses(views, {})["loss"]
    loss.backward()
    with torch.no_grad():
        for parameter in method.parameters():
            if parameter.grad is not None:
                parameter -= 0.1 * parameter.grad
    method.after_step(Progress(done, 4))
    return loss.detach()


@each
def test_symmetric_on_equal_views_it_is_the_bare_framework_to_the_bit(
    cls: type[LongShort], bare: type[PairMethod], widths: dict[str, Any]
) -> None:
    encoder, (a, b) = _encoder(), _clips()
    framework = bare(copy.deepcopy(encoder), **widths)
    method = cls(encoder, pairs=BOTH, **widths)
    method.load_state_dict(framework.state_dict())
    for done in (1, 2, 3):
        theirs, ours = _step(framework, {"a": a, "b": b}, done), _step(method, {"short": a, "long": b}, done)
        assert torch.equal(ours, theirs)
    for name, value in framework.state_dict().items():
        assert torch.equal(method.state_dict()[name], value), name
    assert method.chance(5) == framework.chance(5)
    assert [group.name for group in method.param_groups()] == [group.name for group in framework.param_groups()]
    assert method.no_decay() == framework.no_decay()


@each
def test_one_direction_is_that_direction_of_the_framework(
    cls: type[LongShort], bare: type[PairMethod], widths: dict[str, Any]
) -> None:
    encoder, (short, long) = _encoder(), _clips()
    framework = bare(copy.deepcopy(encoder), **widths)
    whole = 1.0 if bare is SimSiam else 0.5  # a mean over directions, or a sum
    for pairs, source, aim in (
        ((("short", "long"),), short, long),
        ((("long", "short"),), long, short),
    ):
        method = cls(copy.deepcopy(encoder), pairs=pairs, **widths)
        method.load_state_dict(framework.state_dict())
        framework.pairs = (("a", "b"),)
        expected = framework.losses({"a": source, "b": aim}, {})["loss"].item() * (2 if bare is SimSiam else 1)
        assert method.losses({"short": short, "long": long}, {})["loss"].item() == pytest.approx(expected, rel=1e-6)
        symmetric = framework.chance(5)
        assert symmetric is not None and method.chance(5) == pytest.approx(symmetric * whole)


@each
def test_short_predicts_long_unless_told_otherwise(
    cls: type[LongShort], bare: type[PairMethod], widths: dict[str, Any]
) -> None:
    short, long = _clips()
    method = cls(_encoder(), **widths)
    assert method.pairs == (("short", "long"),)
    seen: list[str] = []
    method.encoder.register_forward_pre_hook(
        lambda module, inputs: seen.append("short" if torch.equal(inputs[0], short) else "long")
    )
    method.losses({"short": short, "long": long}, {})
    assert seen == (["short", "long"] if bare is SimSiam else ["short"])  # SimSiam has no target network
    assert cls.refuses(method.encoder, ("a", "b"), 8) == (
        f"{cls.__name__} needs the views short, long; this views file gives a, b"
    )


@pytest.mark.parametrize("pairs", [(), (("short", "short"),), (("a", "b"),), (("short", "long"), ("long", "clip"))])
def test_pairs_of_other_views_are_refused(pairs: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(ValueError, match="pairs is .* allowed are pairs of short, long in either order"):
        LSTCLSimSiam(_encoder(), pairs=pairs)


@pytest.mark.parametrize("choice", ["lstcl", "lstcl_byol", "lstcl_simsiam"])
def test_configuration_chooses_framework_direction_and_relation(choice: str) -> None:
    words = [
        f"method={choice}", "method.pairs=[[long,short]]", "method.dim=16", "backbone=vit_nano",
        "backbone.patch_size=8", "scale=smoke", "views.relation._target_=vssl.video.relations.nested.Nested",
    ]  # fmt: skip
    study = assemble(compose(words))
    assert isinstance(study.method, LongShort)
    assert study.method.pairs == (("long", "short"),)
    assert type(study.views.relation).__name__ == "Nested"
    assert bind(compose(words[:1]).tree)["method"]["pairs"] == (("short", "long"),)


def test_the_count_of_clamped_strides_goes_on_after_a_resume(tiny: list[str]) -> None:
    study = assemble(compose([*tiny, "method=lstcl_simsiam"]))
    study.check()
    data = study.datamodule
    data.on_before_batch_transfer(next(iter(data.train_dataloader())), 0)
    assert data.clamped == 8  # every video of the made set is shorter than the long view
    state = data.state_dict()
    study.attach()
    assert data.clamped == 0
    data.load_state_dict(state)
    assert data.clamped == 8


def _trained(words: list[str]) -> tuple[list[float], dict[str, Tensor]]:
    """Losses of all steps, and the weights at the end."""
    composed = compose(words)
    folder = pretrain(composed, bind(composed.tree))
    losses = pd.read_csv(folder / "metrics.csv")["loss"].tolist()
    return losses, torch.load(folder / LAST, weights_only=True)["state_dict"]


def test_views_of_equal_stride_train_the_bare_framework_to_the_bit(tiny: list[str]) -> None:
    words = [*tiny, "method.hidden_dim=32"]
    losses, weights = _trained([*words, "method=moco_v3"])
    symmetric = ["method=lstcl", "method.pairs=[[short,long],[long,short]]", "views.long.stride=2"]
    found_losses, found = _trained([*words, *symmetric])
    assert found_losses == losses and len(losses) == 4
    assert found.keys() == weights.keys() and all(torch.equal(found[name], tensor) for name, tensor in weights.items())
    assert _trained([*words, *symmetric, "views.long.stride=3"])[0] != losses


def test_a_view_that_is_long_by_its_frames_is_taken(tiny: list[str]) -> None:
    study = assemble(compose([*tiny, "method=lstcl_simsiam", "views.long.stride=2", "views.long.frames=12"]))
    study.check()
    batch = study.datamodule.first_batch()
    assert [batch["views"][name].shape[2] for name in ("short", "long")] == [8, 12]
    gaps = [batch["time"][name].diff(dim=1) for name in ("short", "long")]
    torch.testing.assert_close(gaps[1], gaps[0][:, :1].expand(8, 11))
    assert study.method.losses(batch["views"], batch)["loss"].isfinite()


def test_the_short_view_is_the_clip_of_one_view_methods_and_clamped_strides_are_recorded(tiny: list[str]) -> None:
    def run(words: list[str]) -> dict[str, Any]:
        composed = compose([*tiny, *words])
        record: dict[str, Any] = read_record(pretrain(composed, bind(composed.tree)))["clips"]
        return record

    one, pair = run(["method=videomae"]), run(["method=lstcl_simsiam", "optim=adamw"])
    for proof in ("settings", "digest", "tensors"):
        assert one["positions"][0][proof] == pair["positions"][0][proof], proof
    assert one["clamped"] == 0
    assert pair["clamped"] == pair["samples"] > 0  # every video of the made set is shorter than the long view
    assert pair["padded"] == 0
    assert run(["method=lstcl_simsiam", "optim=adamw", "views.long.stride=2"])["clamped"] == 0
