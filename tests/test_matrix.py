"""Every method on every backbone family: one optimiser step, or one sentence why not, before data is touched."""

from pathlib import Path
from typing import Any

import pytest
import torch

import vssl
from vssl.config.compose import compose
from vssl.config.errors import UserError
from vssl.config.folders import config_root, read_yaml
from vssl.training.build import assemble

ROOT = config_root()
METHODS = sorted(path.stem for path in (ROOT / "method").glob("*.yaml"))
NANO = sorted(path.stem for path in (ROOT / "backbone").glob("*_nano.yaml"))
# The smallest of the families that have no nano size; all of them hold full-size convolutions but the first.
OTHERS = ["mean_frame", "mc3_18", "slow_r50"]
MASKED = {"videomae", "videomae_v2"}  # these encode some tokens without the others
SMALLER = {"svt": ["method.prototypes=512", "method.hidden_dim=64"]}  # heads that would take longer than the encoder
PATCHES = ("vit_nano", "timesformer_nano")  # 16 pixels a side would leave four places of a clip of 32


def _words(method: str, backbone: str) -> list[str]:
    small = ["scale=smoke", "clip.size=32", "train.batch_size=4", "budget.steps=1", "data.num_videos=8"]
    patches = ["backbone.patch_size=8"] if backbone in PATCHES else []
    return [
        f"method={method}",
        f"backbone={backbone}",
        *patches,
        *small,
        *SMALLER.get(method, []),
        "run.threads=1",
        "run.workers=0",
    ]


def _check_only(words: list[str]) -> None:
    """What a command does before it reads data."""
    assemble(compose(words)).check()


def _takes_a_step(words: list[str]) -> bool:
    run = vssl.build(words)
    before = {name: p.detach().clone() for name, p in run.method.named_parameters() if p.requires_grad}
    run.trainer.fit(run.method, run.datamodule)
    after = dict(run.method.named_parameters())
    assert run.trainer.global_step == 1
    assert all(bool(torch.isfinite(term).all()) for term in run.method.last_terms.values())
    assert all(bool(torch.isfinite(p).all()) for p in after.values())
    moved = {name for name, p in before.items() if not torch.equal(p, after[name])}
    trained = [name for name in moved if name.startswith("encoder.")]
    has_encoder = any(name.startswith("encoder.") for name in before)
    return bool(moved) and bool(trained) == has_encoder


def test_the_families_are_all_here() -> None:
    classes = {read_yaml(path)["_target_"] for path in (ROOT / "backbone").glob("*.yaml")}
    walked = {read_yaml(ROOT / "backbone" / f"{name}.yaml")["_target_"] for name in [*NANO, *OTHERS]}
    assert walked == classes
    assert {"supervised", "simsiam", "videomae"} <= set(METHODS)


def _check(method: str, backbone: str) -> None:
    words = _words(method, backbone)
    if method in MASKED and backbone != "vit_nano":
        with pytest.raises(UserError, match="visible tokens") as told:
            _check_only(words)
        message = str(told.value)
        assert message.startswith(f"method={method} on backbone={backbone}: ") and "backbone=vit_*" in message
        assert "\n" not in message
    else:
        assert _takes_a_step(words)


@pytest.fixture
def cached(shared_cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VSSL_CACHE", str(shared_cache))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("backbone", [*NANO, "mean_frame"])
@pytest.mark.parametrize("method", METHODS)
def test_a_pair_trains_or_is_refused(method: str, backbone: str, cached: None) -> None:
    _check(method, backbone)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["mc3_18", "slow_r50"])
@pytest.mark.parametrize("method", METHODS)
def test_a_pair_with_full_size_convolutions_trains_or_is_refused(method: str, backbone: str, cached: None) -> None:
    _check(method, backbone)


@pytest.mark.parametrize("call", [_check_only, vssl.build], ids=["check", "build"])
def test_a_refusal_comes_before_data_is_touched(call: Any, cache: Path) -> None:
    """The made set would be written into this empty cache."""
    with pytest.raises(UserError, match="visible tokens"):
        call(_words("videomae", "r3d_nano"))
    assert not [path for path in cache.rglob("*") if path.is_file()]
