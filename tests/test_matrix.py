"""Every method on every backbone family: five optimiser steps along a stored curve, or one sentence why not.

The losses of these steps stand in `golden/curves.json`, so that no number between a video file and an optimiser's step
changes unseen. After a change that is meant, and for a new method or nano backbone:

    .venv/bin/python -m tests.test_matrix      # trains every pair, prints old beside new, writes the file

A training amplifies the last bits, in which processors differ. Sizes and rates here are such that it does so by
little: batches of 8, since with 4 clips that look alike BatchNorm made the fifth loss of some pairs noise, and steps
that move the loss by a thousandth to a hundredth, since a ReLU that opens or closes on a last bit changes a gradient
by as much as a hundredth.
"""

import hashlib
import json
import os
import platform
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

import vssl
from vssl.config.compose import compose
from vssl.config.errors import UserError
from vssl.config.folders import config_root, read_yaml
from vssl.datamodule import VideoDataModule
from vssl.training.build import assemble
from vssl.training.callbacks import StepCallback

ROOT = config_root()
METHODS = sorted(path.stem for path in (ROOT / "method").glob("*.yaml"))
NANO = sorted(path.stem for path in (ROOT / "backbone").glob("*_nano.yaml"))
QUICK = [*NANO, "mean_frame"]
# The smallest of the families that have no nano size.
FULL_SIZE = ["mc3_18", "slow_r50"]
MASKED = {"videomae", "videomae_v2"}  # these encode some tokens without the others
# A fresh network's gradients are hundreds long where BatchNorm tells clips apart that look alike.
SHORT_STEPS = ["train.clip_grad_norm=1", "optim.reference_batch=null"]
SIMSIAM = ["method.dim=64", "method.bottleneck=32", *SHORT_STEPS, "optim.base_lr=1e-4"]
MOCO = ["method.hidden_dim=1024", "optim.reference_batch=512"]
SETTINGS = {
    "byol": ["method.hidden_dim=512"],
    "cvrl": [*SHORT_STEPS, "optim.base_lr=3e-4"],
    "lstcl": MOCO,
    "lstcl_byol": ["method.hidden_dim=512"],
    "lstcl_simsiam": SIMSIAM,
    "moco_v3": MOCO,
    "simclr": ["optim.reference_batch=2048"],
    "simsiam": SIMSIAM,
    "supervised": ["optim.reference_batch=32"],
    "svt": ["method.prototypes=512", "method.hidden_dim=64", "views.local.count=2"],
    "timesformer_nano": ["backbone.patch_size=8", "backbone.depth=2"],
    "vit_nano": ["backbone.patch_size=8"],  # 16 pixels a side would leave four places of a clip of 32
}

GOLDEN = Path(__file__).parent / "golden" / "curves.json"
STEPS = 5
RTOL = 1e-4
ATOL = 1e-5  # for a negative cosine, which begins near 0 and ends at -1; all other losses are above 0.1
WRITE = "run .venv/bin/python -m tests.test_matrix"


def _words(method: str, backbone: str, steps: int = STEPS, batch_size: int = 8) -> list[str]:
    return [
        f"method={method}",
        f"backbone={backbone}",
        "scale=smoke",
        "clip.size=32",
        "data.num_videos=16",
        f"train.batch_size={batch_size}",
        f"budget.steps={steps}",
        *SETTINGS.get(method, []),
        *SETTINGS.get(backbone, []),
        "run.device=cpu",
        "run.threads=1",
        "run.workers=0",
    ]


def _is_refused(method: str, backbone: str) -> bool:
    return method in MASKED and backbone != "vit_nano"


def _check_only(words: list[str]) -> None:
    """What a command does before it reads data."""
    assemble(compose(words)).check()


def _check_refusal(method: str, backbone: str) -> None:
    with pytest.raises(UserError, match="visible tokens") as told:
        _check_only(_words(method, backbone))
    message = str(told.value)
    assert message.startswith(f"method={method} on backbone={backbone}: ") and "backbone=vit_*" in message
    assert "\n" not in message


class Losses(StepCallback):
    """The loss of every step."""

    def __init__(self) -> None:
        super().__init__()
        self.values: list[float] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        if self.stepped(trainer):
            self.values.append(pl_module.last_terms["loss"].item())


def _train(words: list[str], steps: int = STEPS) -> tuple[list[float], VideoDataModule]:
    """The loss of each step, once everything that is to move has moved and all is finite."""
    run = vssl.build(words)
    losses = Losses()
    run.trainer.callbacks.append(losses)
    before = {name: p.detach().clone() for name, p in run.method.named_parameters() if p.requires_grad}
    run.trainer.fit(run.method, run.datamodule)
    after = dict(run.method.named_parameters())
    assert run.trainer.global_step == len(losses.values) == steps
    assert all(bool(torch.isfinite(term).all()) for term in run.method.last_terms.values())
    assert all(bool(torch.isfinite(p).all()) for p in after.values())
    moved = {name for name, p in before.items() if not torch.equal(p, after[name])}
    assert moved
    assert any(name.startswith("encoder.") for name in moved) == any(name.startswith("encoder.") for name in before)
    return losses.values, run.datamodule


# Every pair that trains in a few seconds, and the name of its curve.
PAIRS = [
    (method, backbone, f"{method}-{backbone}")
    for method in METHODS
    for backbone in QUICK
    if not _is_refused(method, backbone)
]


def _made_with() -> dict[str, str]:
    """What may change curves though nobody changed vssl. Builds of torch for other devices compute alike on CPUs.

    Without SSSE3, which processors have had since 2006, x264 and swscale of the same versions give other pixels.
    """
    codec = ".".join(map(str, av.library_versions["libavcodec"]))
    torch_version = torch.__version__.partition("+")[0]
    return {"torch": torch_version, "av": av.__version__, "libavcodec": codec, "machine": platform.machine()}


def _pixels(datamodule: VideoDataModule) -> str:
    """Hash of the training videos as they are decoded."""
    digest = hashlib.sha256()
    for path in datamodule.samples("train").path.tolist():
        with datamodule.reader.open(path) as video:
            digest.update(video.frames(np.arange(len(video.times))).tobytes())
    return digest.hexdigest()[:16]


def _stored() -> dict[str, Any]:
    return json.loads(GOLDEN.read_text(encoding="utf-8"))


def _compare(name: str, losses: list[float], datamodule: VideoDataModule) -> None:
    stored = _stored()
    assert name in stored["losses"], f"{name} has no curve: {WRITE}"
    made_with = stored["made_with"]
    if other := [f"{part} {version}, here {_made_with()[part]}" for part, version in made_with.items()
                 if version != _made_with()[part]]:  # fmt: skip
        pytest.skip(f"{name} trains, but its curve is of {'; '.join(other)}")
    assert losses == pytest.approx(stored["losses"][name], rel=RTOL, abs=ATOL), (
        f"the loss of {name} has changed from {_shown(stored['losses'][name])} to {_shown(losses)}; the pixels of its "
        f"videos are {'as they were' if _pixels(datamodule) == stored['pixels'] else 'others, too'}. "
        f"If this is meant: {WRITE}, and before and after into CHANGELOG.md"
    )


def _shown(losses: list[float]) -> str:
    return " ".join(f"{loss:.7g}" for loss in losses)


@pytest.fixture
def cached(shared_cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VSSL_CACHE", str(shared_cache))
    monkeypatch.chdir(tmp_path)


def test_the_families_are_all_here() -> None:
    classes = {read_yaml(path)["_target_"] for path in (ROOT / "backbone").glob("*.yaml")}
    walked = {read_yaml(ROOT / "backbone" / f"{name}.yaml")["_target_"] for name in [*QUICK, *FULL_SIZE]}
    assert walked == classes
    assert {"supervised", "simsiam", "videomae"} <= set(METHODS)


@pytest.mark.parametrize("backbone", QUICK)
@pytest.mark.parametrize("method", METHODS)
def test_a_pair_trains_as_it_did_or_is_refused(method: str, backbone: str, cached: None) -> None:
    if _is_refused(method, backbone):
        _check_refusal(method, backbone)
    else:
        _compare(f"{method}-{backbone}", *_train(_words(method, backbone)))


@pytest.mark.slow
@pytest.mark.parametrize("backbone", FULL_SIZE)
@pytest.mark.parametrize("method", METHODS)
def test_a_pair_with_full_size_convolutions_trains_or_is_refused(method: str, backbone: str, cached: None) -> None:
    if _is_refused(method, backbone):
        _check_refusal(method, backbone)
    else:
        _train(_words(method, backbone, steps=1, batch_size=4), steps=1)


@pytest.mark.parametrize("call", [_check_only, vssl.build], ids=["check", "build"])
def test_a_refusal_comes_before_data_is_touched(call: Any, cache: Path) -> None:
    """The made set would be written into this empty cache."""
    with pytest.raises(UserError, match="visible tokens"):
        call(_words("videomae", "r3d_nano"))
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_every_pair_has_its_curve_and_every_curve_its_pair() -> None:
    assert set(_stored()["losses"]) == {name for _, _, name in PAIRS}, WRITE


def test_curves_are_of_the_pinned_libraries() -> None:
    """Where others are installed, curves are not compared: here they always must be."""
    lines = (Path(__file__).parents[1] / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if "==" in line)
    stored = _stored()["made_with"]
    assert {name: stored[name] for name in ("torch", "av")} == {name: pinned[name] for name in ("torch", "av")}, WRITE


@pytest.mark.parametrize(("method", "backbone", "name"), PAIRS)
def test_a_curve_moves(method: str, backbone: str, name: str) -> None:
    """By more than is forgiven, from each step to the next and from the first to the last."""
    losses = _stored()["losses"][name]
    assert len(losses) == STEPS
    for before, after in [*pairwise(losses), (losses[0], losses[-1])]:
        assert before != pytest.approx(after, rel=RTOL, abs=ATOL)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "backbone", "name"), PAIRS)
def test_a_curve_tells_training_from_none(method: str, backbone: str, name: str, cached: None) -> None:
    """Clips change from step to step as well. Without training, a loss is another by three times what is forgiven."""
    losses, _ = _train([*_words(method, backbone), "optim.base_lr=1e-12"])
    assert losses != pytest.approx(_stored()["losses"][name], rel=3 * RTOL, abs=3 * ATOL)


def write() -> None:
    """Trains every pair, tells what is another curve than the stored one, and stores it.

    Curves that agree within a tenth of what is forgiven stay as they are, whatever the processor's last bits.
    """
    stored = _stored() if GOLDEN.exists() else {"losses": {}}
    losses: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as cache:
        os.environ["VSSL_CACHE"] = cache
        for method, backbone, name in PAIRS:
            old, (new, datamodule) = stored["losses"].get(name), _train(_words(method, backbone))
            same = old is not None and new == pytest.approx(old, rel=RTOL / 10, abs=ATOL / 10)
            losses[name] = old if same else new
            print(f"{name}: {'as it was' if same else f'{_shown(old) if old else None} -> {_shown(new)}'}", flush=True)
        pixels = _pixels(datamodule)
    for name in sorted(stored["losses"].keys() - losses.keys()):
        print(f"{name}: there is no such pair any more")
    curves = ",\n".join(f"  {json.dumps(name)}: {json.dumps(values)}" for name, values in losses.items())
    head = f'"made_with": {json.dumps(_made_with())},\n "pixels": {json.dumps(pixels)}'
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(f'{{{head},\n "losses": {{\n{curves}\n }}}}\n', encoding="utf-8")


if __name__ == "__main__":
    write()
