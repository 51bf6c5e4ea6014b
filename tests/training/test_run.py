"""A run from its first file to its record, and what a second start of it does."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from safetensors.torch import load_file

from tests.training.starts import STRANGERS
from vssl.config.bind import bind
from vssl.config.compose import compose
from vssl.config.errors import UserError, WorkError
from vssl.method import Progress
from vssl.records.record import read_record
from vssl.records.run_config import differences
from vssl.training.callbacks import Checkpoints
from vssl.training.run import BACKBONE, LAST, pretrain


def run(words: list[str]) -> Path:
    composed = compose(words)
    return pretrain(composed, bind(composed.tree))


def begun(words: list[str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that a signal has stopped at its first checkpoint."""
    save = Checkpoints.save

    def stop(self: Checkpoints, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        save(self, trainer, module)
        raise SystemExit(143)

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoints, "save", stop)
        with pytest.raises(SystemExit):
            run(words)
    return Path("runs/mine")


def test_what_a_run_leaves_behind(tiny: list[str]) -> None:
    folder = run([*tiny, "method=simsiam", "optim=adamw"])
    record = read_record(folder)
    assert folder.parent == Path("runs") and folder.name.startswith("simsiam-vit_nano-moving_shapes-s0-")
    assert record["status"] == "done"
    budget = record["budget"]
    assert (budget["steps"], budget["samples"], budget["clips"]) == (4, 32, 64)  # a pair of views is one sample
    assert budget["frames"] == 64 * 8 and budget["flops"] > 0 and budget["seconds"] > 0
    assert [place["name"] for place in record["clips"]["positions"]] == ["a", "b"]
    curve = pd.read_csv(folder / "metrics.csv")
    assert curve["step"].tolist() == [1, 2, 3, 4] and curve["samples"].tolist() == [8, 16, 24, 32]
    assert curve["clips.a"].iloc[-1] == record["clips"]["positions"][0]["digest"][:16]
    assert set(load_file(folder / BACKBONE)) >= {"mean", "patch_embed.weight", "norm.weight"}
    assert not list(folder.rglob("*.tmp*"))


def test_a_curve_keeps_its_columns_whoever_watches_the_rest_of_it(
    tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = begun([*tiny, "run.name=mine", "run.save_steps=2"], monkeypatch) / "metrics.csv"
    lines = path.read_text().splitlines()
    watched = [lines[0] + ",probe_knn", *(f"{line},0.5" for line in lines[1:])]
    path.write_text("\n".join(watched) + "\n")
    run([*tiny, "run.name=mine"])
    curve = pd.read_csv(path)
    assert curve["step"].tolist() == [1, 2, 3, 4]
    assert curve["probe_knn"].fillna(0).tolist() == [0.5, 0.5, 0, 0]


@pytest.mark.parametrize("damage", ["missing", "no header", "garbage"])
def test_a_damaged_curve_costs_the_curve_not_the_training(
    tiny: list[str], monkeypatch: pytest.MonkeyPatch, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    words = [*tiny, "run.name=mine", "run.save_steps=2"]
    path = begun(words, monkeypatch) / "metrics.csv"
    lines = path.read_text().splitlines(keepends=True)
    if damage == "missing":
        path.unlink()
    else:
        path.write_text("".join(lines[1:] if damage == "no header" else [lines[0], "\x00\xff;;\n", lines[2]]))
    run(words)
    kept = {"missing": [3, 4], "no header": [3, 4], "garbage": [2, 3, 4]}[damage]
    assert pd.read_csv(path)["step"].tolist() == kept
    assert "the curve has gaps" in caplog.text
    assert path.with_suffix(".damaged.csv").exists() == (damage != "missing")


def test_a_finished_run_is_left_as_it_is(tiny: list[str]) -> None:
    folder = run(tiny)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert run(tiny) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before


def test_another_configuration_in_the_folder_is_refused_by_its_keys(tiny: list[str]) -> None:
    run([*tiny, "run.name=mine"])
    with pytest.raises(UserError, match=r"method\.mask_ratio: there 0\.9, now 0\.5") as caught:
        run([*tiny, "run.name=mine", "method.mask_ratio=0.5"])
    assert caught.value.exit_code == 2


def test_where_it_runs_may_change_between_two_starts(tiny: list[str]) -> None:
    folder = run([*tiny, "run.name=mine"])
    assert run([*tiny, "run.name=mine", "run.save_steps=7", "eval=knn"]) == folder


def test_an_unfinished_run_goes_on_to_the_same_weights(tiny: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    words = [*tiny, "budget.steps=7", "run.save_steps=1", "backbone.drop_path=0.3", "train.accumulate=2"]
    whole = run([*words, "run.name=whole"])

    save = Checkpoints.save

    def die_after(self: Checkpoints, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        save(self, trainer, module)
        if torch.load(self.path, weights_only=True)["global_step"] in (2, 5, 6):  # two epochs of 6 steps
            raise SystemExit(143)

    monkeypatch.setattr(Checkpoints, "save", die_after)
    for _ in range(3):
        with pytest.raises(SystemExit):
            run([*words, "run.name=parts"])
        monkeypatch.setattr(Checkpoints, "save", die_after)
    monkeypatch.setattr(Checkpoints, "save", save)
    parts = run([*words, "run.name=parts"])

    first, second = load_file(whole / BACKBONE), load_file(parts / BACKBONE)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert read_record(whole)["clips"] == read_record(parts)["clips"]
    columns = ["step", "loss", "lr", "clips.clip"]
    assert pd.read_csv(whole / "metrics.csv")[columns].equals(pd.read_csv(parts / "metrics.csv")[columns])


def test_a_failed_run_says_so_in_its_record(tiny: list[str]) -> None:
    with pytest.raises(Exception, match=r"the loss of videomae is (nan|inf)"):
        run([*tiny, "optim.base_lr=1e30", "optim.schedule.warmup_fraction=0", "run.name=burst", "budget.steps=40"])
    record = read_record(Path("runs/burst"))
    assert record["status"] == "failed" and "the loss of videomae is" in record["error"]


def test_a_loss_that_is_not_finite_names_step_method_and_last_good_checkpoint(
    tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(STRANGERS)
    words = [*tiny, "method=faulty", "method.fault=infinite", "method.at=3", "run.save_steps=2", "run.name=mine"]
    composed = compose(words, config_dirs=[STRANGERS])
    good = r"the last good checkpoint is runs/mine/checkpoints/last\.ckpt, of step 2"
    with pytest.raises(WorkError, match=rf"the loss of faulty is inf at step 4\n  hint: {good}; a lower optim"):
        pretrain(composed, bind(composed.tree))
    state = torch.load(Path("runs/mine") / LAST, weights_only=True)
    assert state["global_step"] == 2
    assert all(torch.isfinite(weights).all() for weights in state["state_dict"].values())


def test_weights_that_are_not_finite_take_no_good_checkpoints_place(
    tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from methods.simsiam import SimSiam

    def spoil(self: SimSiam, done: Progress) -> None:
        if done.step == 4:  # after the loss of this step was finite
            with torch.no_grad():
                next(self.encoder.parameters()).fill_(float("nan"))

    monkeypatch.setattr(SimSiam, "after_step", spoil)
    with pytest.raises(WorkError, match=r"weights of simsiam are not finite after step 4\n.*last\.ckpt, of step 2"):
        run([*tiny, "method=simsiam", "run.save_steps=2", "run.name=mine"])
    assert torch.load(Path("runs/mine") / LAST, weights_only=True)["global_step"] == 2


def test_checkpoints_load_without_running_code(tiny: list[str]) -> None:
    state = torch.load(run(tiny) / LAST, weights_only=True)
    assert state["global_step"] == 4


def test_what_yaml_makes_of_tuples_is_no_difference() -> None:
    """LSTCL's pairs of views are tuples of tuples: its runs could not be resumed."""
    assert differences({"pairs": [["a", "b"]], "s": [0.1]}, {"pairs": (("a", "b"),), "s": (0.1,)}) == []
    assert differences({"pairs": [["a", "b"]]}, {"pairs": (("a", "c"),)}) == [("pairs", [["a", "b"]], (("a", "c"),))]
    assert differences([1, 2], (1,)) != []


def test_differences_name_every_leaf() -> None:
    there = {"a": {"b": 1, "c": [1, 2]}, "d": 0.1}
    now = {"a": {"b": 2, "c": (1, 2)}, "d": 0.1, "e": None}
    assert differences(there, now) == [("a.b", 1, 2)]


def test_fast_dev_run_ends_early_and_does_not_claim_otherwise(tiny: list[str]) -> None:
    folder = run([*tiny, "trainer.fast_dev_run=true"])
    record = read_record(folder)
    assert (record["status"], record["clips"]) == ("running", None)
    assert pd.read_csv(folder / "metrics.csv")["step"].tolist() == [1]
    assert not (folder / BACKBONE).exists()


@pytest.mark.slow
def test_compiled_training_compiles_and_gives_the_same_losses(tiny: list[str]) -> None:
    from torch._dynamo.utils import counters

    eager = run([*tiny, "run.name=eager"])
    counters.clear()
    compiled = run([*tiny, "run.name=compiled", "train.compile=true"])
    assert counters["stats"]["unique_graphs"] > 0
    first, second = (pd.read_csv(folder / "metrics.csv") for folder in (eager, compiled))
    assert second["loss"].tolist() == pytest.approx(first["loss"].tolist(), rel=1e-4)
    assert second["clips.clip"].tolist() == first["clips.clip"].tolist()


def test_compiling_without_a_compiler_is_one_message(tiny: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import cpp_builder, exc

    def none_found() -> str:
        raise exc.InvalidCxxCompiler

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", none_found)
    with pytest.raises(UserError, match=r"train\.compile=true needs a C\+\+ compiler"):
        run([*tiny, "train.compile=true"])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_training_with_a_checkpoint_and_its_own_exit_code(
    tiny: list[str], number: signal.Signals, code: int
) -> None:
    words = [*tiny, "run.name=asked", "budget.steps=100000"]
    process = subprocess.Popen([sys.executable, "-m", "vssl", "pretrain", *words], stderr=subprocess.DEVNULL)
    metrics, deadline = Path("runs/asked/metrics.csv"), time.monotonic() + 120
    while not (metrics.exists() and metrics.stat().st_size > 500) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(60) == code
    step = torch.load(Path("runs/asked") / LAST, weights_only=True)["global_step"]
    assert pd.read_csv(metrics)["step"].tolist() == list(range(1, step + 1))
