"""Two processes of 4 against one of 8: the same clips, draws and weights; and what happens when one of them dies."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
import torch

from tests.training.starts import STRANGERS, command, start, surroundings
from vssl.config.bind import bind
from vssl.config.compose import compose
from vssl.config.errors import ConfigError, UserError
from vssl.records.record import read_record
from vssl.training.run import LAST, pretrain
from vssl.training.settings import Run

SLOW = pytest.mark.slow
TWO = ["train.strategy=ddp", "run.devices=2"]
FAST = ["optim.base_lr=0.5", "optim.schedule.warmup_fraction=0", "budget.steps=9"]  # an epoch has 6 steps


def run(words: list[str]) -> Path:
    composed = compose(words, config_dirs=[STRANGERS])
    return pretrain(composed, bind(composed.tree))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / LAST, weights_only=True)["state_dict"]


def largest_difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    return max(float((one[name] - other[name]).abs().max()) for name in one if one[name].is_floating_point())


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "method",
    [
        ["videomae"],
        pytest.param(["svt", "method.prototypes=64", "method.hidden_dim=32", "views.local.count=2"], marks=SLOW),
        pytest.param(["plain_moco"], marks=SLOW),
        pytest.param(["plain_simclr"], marks=SLOW),
    ],
    ids=lambda method: method[0],
)
def test_two_ranks_of_4_train_as_one_process_of_8(
    tiny: list[str], monkeypatch: pytest.MonkeyPatch, method: list[str]
) -> None:
    """SVT's centre, negatives of all clips, masks: a sum over ranks in each of them."""
    monkeypatch.syspath_prepend(STRANGERS)
    words = [*tiny, *FAST, f"method={method[0]}", *method[1:], "optim=sgd"]
    one, two = run([*words, "run.name=one"]), run([*words, *TWO, "run.name=two"])
    # Sums of floats in another order; the weights themselves move by far more.
    still = weights(run([*words, "optim.base_lr=0", "run.name=still"]))
    assert largest_difference(weights(one), weights(two)) < 1e-6 < 1e-3 < largest_difference(weights(one), still)
    records = [read_record(folder) for folder in (one, two)]
    assert records[0]["clips"] == records[1]["clips"]  # clips and, to the last bit, the first augmented tensors
    assert [record["environment"]["world_size"] for record in records] == [1, 2]
    for key in ("steps", "samples", "clips", "frames", "flops"):
        # Costs are counted on one rank, which of the products of all clips with all others, a part of 1e-5, sees half.
        rel = 1e-4 if key == "flops" else 0
        assert records[0]["budget"][key] == pytest.approx(records[1]["budget"][key], rel=rel)
    curves = [pd.read_csv(folder / "metrics.csv") for folder in (one, two)]
    digests = [name for name in curves[0] if name.startswith("clips.")]
    assert digests and curves[0][digests].equals(curves[1][digests])
    # The loss of a mask is that of no other: equal to 1e-6, every clip was masked alike.
    assert curves[1]["loss"].tolist() == pytest.approx(curves[0]["loss"].tolist(), rel=1e-5)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_simsiam_on_two_ranks_is_one_process_with_two_forwards_of_4(tiny: list[str]) -> None:
    words = [*tiny, *FAST, "method=simsiam"]
    parts, two = run([*words, "train.accumulate=2", "run.name=parts"]), run([*words, *TWO, "run.name=two"])
    trained = [{k: v for k, v in weights(folder).items() if "running_" not in k} for folder in (parts, two)]
    assert largest_difference(*trained) < 1e-6
    whole = run([*words, "run.name=whole"])
    assert largest_difference(trained[0], weights(whole)) > 1e-4  # BatchNorm over 8 is another method
    assert read_record(parts)["clips"] == read_record(two)["clips"] == read_record(whole)["clips"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_ranks_with_accumulation_workers_and_a_resume(tiny: list[str]) -> None:
    words = ["pretrain", *tiny, *FAST, *TWO, "method=momentum", "train.accumulate=2", "run.workers=1"]
    words += ["data.decoder=pyav", "run.save_steps=1"]
    whole = start([*words, "run.name=whole"])
    assert whole.returncode == 0, whole.stderr
    for moment in (("row", 6), ("batch", 2), ("saving", 1)):
        assert start([*words, "run.name=parts"], moment).returncode == -9
    parts = start([*words, "run.name=parts"])
    assert parts.returncode == 0, parts.stderr
    first, second = weights(Path("runs/whole")), weights(Path("runs/parts"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert read_record(Path("runs/whole"))["clips"] == read_record(Path("runs/parts"))["clips"]
    assert pd.read_csv("runs/parts/metrics.csv")["step"].tolist() == list(range(1, 10))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("fault", "rank", "says"),
    [
        ("killed", 1, "error: rank 1 of 2 was killed by SIGKILL"),
        ("raised", 1, "error: rank 1 of 2 ended with exit code 1: the moon is in the way"),
        ("raised", 0, "error: RuntimeError: the moon is in the way"),
        ("infinite", 1, "error: the loss of faulty is inf at step 4"),
    ],
)
def test_a_rank_that_dies_ends_the_others_with_its_error(tiny: list[str], fault: str, rank: int, says: str) -> None:
    words = ["pretrain", *tiny, *FAST, *TWO, "method=faulty", f"method.fault={fault}", f"method.rank={rank}"]
    words += ["run.name=faulty", "run.save_steps=2"]
    died = start(words)
    assert died.returncode == 1, died.stderr
    assert time.time() - float(Path("fault_at").read_text()) < 60
    assert says in died.stderr and "Traceback" not in died.stderr
    assert read_record(Path("runs/faulty"))["status"] == "failed"
    healed = start(words, HEALED="1")
    assert healed.returncode == 0, healed.stderr
    assert pd.read_csv("runs/faulty/metrics.csv")["step"].tolist() == list(range(1, 10))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)])
@pytest.mark.parametrize("to_the_group", [False, True])
def test_a_signal_ends_all_ranks(tiny: list[str], number: signal.Signals, code: int, to_the_group: bool) -> None:
    words = ["pretrain", *tiny, *TWO, "budget.steps=100000", "run.name=asked", "run.workers=1", "data.decoder=pyav"]
    process = subprocess.Popen(
        command(words), env=surroundings(), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
    )
    metrics, deadline = Path("runs/asked/metrics.csv"), time.monotonic() + 120
    while not (metrics.exists() and metrics.stat().st_size > 500) and time.monotonic() < deadline:
        time.sleep(0.05)
    (os.killpg if to_the_group else os.kill)(process.pid, number)
    assert process.wait(60) == code
    deadline = time.monotonic() + 20
    while (left := alive_in(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left, "ranks, loader workers or their server live on"
    if number != signal.SIGKILL:
        step = torch.load(Path("runs/asked") / LAST, weights_only=True)["global_step"]
        assert pd.read_csv(metrics)["step"].tolist() == list(range(1, step + 1))


def alive_in(session: int) -> list[str]:
    """Command lines of the living processes of a session."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_text().replace("\0", " ")
            if words and os.getsid(int(folder.name)) == session:
                found.append(words)
        except (OSError, ValueError):
            continue
    return found


def test_a_batch_that_the_ranks_cannot_share_is_refused(tiny: list[str]) -> None:
    with pytest.raises(UserError, match="train.batch_size=9 is not divisible by accumulation x ranks = 2"):
        run([*tiny, "train.batch_size=9", "run.devices=2"])
    assert not Path("runs").exists()


def test_devices_are_counted_before_anything_starts() -> None:
    assert Run().device_count("auto") == 1
    assert Run(devices=3, device="cpu").device_count("auto") == 3
    with pytest.raises(ConfigError, match=r"train\.strategy=ddp finds no GPU.*\n.*run\.devices=2"):
        Run(device="cpu").device_count("ddp")
    assert (Run(devices=2).thread_count(10**6), Run(threads=3).thread_count(2)) == (1, 3)
