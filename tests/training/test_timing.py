"""Budgets in seconds: timed once, kept, and without a trace in what is trained."""

from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from safetensors.torch import load_file

from vssl.config.bind import bind
from vssl.config.compose import compose
from vssl.records.record import read_record
from vssl.training import energy, timing
from vssl.training.energy import Energy
from vssl.training.run import BACKBONE, LAST, pretrain


def run(words: list[str]) -> Path:
    composed = compose([*words, "run.probe_times=0"])
    return pretrain(composed, bind(composed.tree))


@pytest.fixture
def quick(tiny: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A step is timed for a moment, and said to take a fifth of a second."""
    monkeypatch.setattr(timing, "LONG_ENOUGH_S", 0.0)
    monkeypatch.setattr(timing.statistics, "median", lambda seconds: 0.2 if len(seconds) == timing.AT_LEAST else None)
    return [*tiny, "method=simsiam"]


def test_a_second_start_ends_at_the_step_that_the_first_was_told(
    quick: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*quick, "budget.seconds=1.1", "run.name=timed"]
    folder = run(words)
    budget = read_record(folder)["budget"]
    assert budget["steps"] == 5 and budget["planned"] == {"seconds": 1.1}
    weights = load_file(folder / BACKBONE)
    for left in (BACKBONE, LAST):
        (folder / left).unlink()
    monkeypatch.setattr(timing.statistics, "median", lambda seconds: pytest.fail("timed again"))
    assert read_record(run(words))["budget"]["steps"] == 5
    assert all(torch.equal(tensor, weights[name]) for name, tensor in load_file(folder / BACKBONE).items())


def test_timing_leaves_no_trace(quick: list[str]) -> None:
    timed, told = run([*quick, "budget.seconds=1.1"]), run([*quick, "budget.steps=5"])
    ours, theirs = load_file(timed / BACKBONE), load_file(told / BACKBONE)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert read_record(timed)["clips"] == read_record(told)["clips"]


def test_the_clock_stops_when_it_has_seen_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([0.0, 9.0, 10.0, 12.0, 14.0, 16.0, 17.0])
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(moments))
    clock, trainer = timing.Clock(), SimpleNamespace(global_step=0, should_stop=False)
    module = SimpleNamespace(device=torch.device("cpu"))
    clock.on_train_start(trainer, module)  # type: ignore[arg-type]
    for _ in range(5):
        assert not trainer.should_stop
        trainer.global_step += 1
        clock.on_train_batch_end(trainer, module)  # type: ignore[arg-type]
        clock.on_train_batch_end(trainer, module)  # type: ignore[arg-type]  (a further micro-batch of the same step)
    assert trainer.should_stop and clock.seconds == [1.0, 2.0, 2.0]


@pytest.mark.parametrize("methods", [("videomae", "simsiam")])
def test_two_methods_spend_the_same_budget_to_within_a_step(tiny: list[str], methods: tuple[str, str]) -> None:
    allowed = 4e9
    for method in methods:
        budget = read_record(run([*tiny, f"method={method}", f"budget.flops={allowed}"]))["budget"]
        assert budget["steps"] > 1 and 0 <= allowed - budget["flops"] < budget["flops"] / budget["steps"]


class Library:
    """Stands for NVIDIA's: two GPUs, of which torch sees the second one first."""

    NVMLError = OSError
    used: ClassVar = {"GPU-b": 3_000, "GPU-a": 50_000}  # millijoules

    def nvmlInit(self) -> None: ...

    def nvmlDeviceGetHandleByUUID(self, name: str) -> str:
        return name

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:
        return self.used[handle]


def test_energy_is_that_of_the_gpus_that_train(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pynvml", Library())
    monkeypatch.setattr(energy.torch.cuda, "get_device_properties", lambda place: SimpleNamespace(uuid="ba"[place]))
    assert Energy(1).joules() == 3.0 and Energy(2).joules() == 53.0 and Energy(0).joules() is None


def test_energy_is_unknown_where_the_library_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pynvml", None)
    assert Energy(1).joules() is None
