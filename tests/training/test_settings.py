"""What a run may be told, and what it is refused with the right key."""

from pathlib import Path

import pytest
import torch

from vssl.config.compose import compose
from vssl.config.errors import ConfigError
from vssl.training.build import assemble, build
from vssl.training.optimisers import LARS, SGD, AdamW
from vssl.training.settings import OWNED, Run, Train, TrainerOptions


@pytest.mark.parametrize(("given", "right"), sorted(OWNED.items()))
def test_what_other_keys_decide_is_refused_with_that_key(given: str, right: str) -> None:
    with pytest.raises(ConfigError, match=rf"trainer\.{given} is decided elsewhere: use {right}"):
        TrainerOptions(**{given: 1})


def test_owned_arguments_are_lightnings() -> None:
    import inspect

    import pytorch_lightning as pl

    assert set(OWNED) <= set(inspect.signature(pl.Trainer.__init__).parameters)


def test_other_arguments_pass_and_unknown_ones_get_the_nearest_name() -> None:
    assert TrainerOptions(profiler="simple").options == {"profiler": "simple"}
    with pytest.raises(ConfigError, match="no such argument; did you mean 'profiler'"):
        TrainerOptions(profilr="simple")


def test_a_batch_is_divided_evenly() -> None:
    with pytest.raises(ValueError, match="batch_size=8 and accumulate=3"):
        Train(batch_size=8, accumulate=3)


@pytest.mark.parametrize("given", [{"workers": -1}, {"threads": 0}, {"devices": 0}, {"save_steps": 0}, {"name": "a/b"}])
def test_ranges(given: dict[str, object]) -> None:
    (key,) = given
    with pytest.raises(ValueError, match=f"{key}="):
        Run(**given)  # type: ignore[arg-type]


def test_a_prepared_set_needs_no_workers_unless_told() -> None:
    assert Run().worker_count("prepared") == 0
    assert Run().worker_count("pyav") >= 1
    assert Run(workers=3).worker_count("prepared") == 3


def test_gradients_that_the_optimiser_unscales_itself_are_not_clipped(cache: Path) -> None:
    """Lightning says so after the first batch; here nothing was read, and nothing written."""
    words = ["backbone=vit_nano", "backbone.patch_size=8", "scale=smoke", "train.clip_grad_norm=1"]
    study = assemble(compose([*words, "optim=adamw", "train.precision=16-mixed"]))
    with pytest.raises(
        ConfigError, match=r"train\.clip_grad_norm: with train\.precision=16-mixed AdamW unscales"
    ) as told:
        study.check()
    assert "train.precision=bf16-mixed" in str(told.value)
    assert not cache.exists()
    for works in (["optim=adamw", "train.precision=bf16-mixed"], ["optim=sgd", "train.precision=16-mixed"]):
        assemble(compose([*words, *works])).check()


@pytest.mark.parametrize("precision", ["bf16-mixed", "32-true"])
def test_gradients_are_clipped_together_in_every_other_precision(tiny: list[str], precision: str) -> None:
    """Lightning's own clipping refuses a fused optimiser in bfloat16 as well."""
    words = [*tiny, "optim=adamw", f"train.precision={precision}", "train.clip_grad_norm=1e-3", "budget.steps=1"]
    run = build(words)
    run.trainer.fit(run.method, run.datamodule)
    left = [p.grad.norm() for p in run.method.parameters() if p.grad is not None]
    assert float(torch.stack(left).norm()) == pytest.approx(1e-3, rel=1e-2)


def test_what_is_called_fused_is_what_lightning_finds_fused() -> None:
    from lightning_fabric.plugins.precision.amp import _optimizer_handles_unscaling

    for cls in (AdamW, SGD, LARS):
        settings = cls(base_lr=0.1)
        group = {"params": [torch.nn.Parameter(torch.ones(2))], "lr_scale": 1.0, "decayed": True, "adapt": True}
        built = settings.create([{**group, "clip_tensor_norm": None}], 0.1)
        assert _optimizer_handles_unscaling(built) == settings.fused, cls.__name__
