"""Two processes on one folder: one has it, the other is told or waits; nothing is made twice, nothing is disturbed."""

import signal
from pathlib import Path

import pytest

from tests.faults.tools import Vssl, assert_same_run, leftovers, wait_for
from vssl.records.record import find_records, read_record
from vssl.training.run import LAST

WORDS = ["method=videomae", "run.workers=0"]
BENCH = ["scale=smoke", "backbone.depth=1", "run.threads=1", "run.workers=0", "eval=knn", "method=videomae,simsiam"]


@pytest.mark.slow
def test_two_trainings_in_one_folder(tiny: list[str], vssl: Vssl) -> None:
    words = [*tiny, *WORDS, "run.name=mine", "budget.steps=120", "run.save_steps=10"]
    first = vssl.start("pretrain", *words)
    wait_for((Path("runs/mine") / LAST).exists, first)
    second = vssl("pretrain", *words)
    assert second.code == 2
    assert f"error: runs/mine is in use by process {first.pid} on " in second.message
    assert "wait for it, or end it first" in second.message
    assert first.poll() is None, "it was over too early to be disturbed"
    assert first.wait().code == 0
    assert vssl("pretrain", *words, "run.out=alone").code == 0
    assert_same_run(Path("runs/mine"), Path("alone/mine"))


@pytest.mark.slow
def test_a_training_takes_over_from_a_killed_one_at_once(tiny: list[str], vssl: Vssl) -> None:
    words = [*tiny, *WORDS, "run.name=mine", "budget.steps=120", "run.save_steps=10"]
    first = vssl.start("pretrain", *words)
    wait_for((Path("runs/mine") / LAST).exists, first)
    first.kill()
    assert ".lock" in leftovers(Path("runs/mine"))
    assert vssl("pretrain", *words).code == 0
    assert vssl("pretrain", *words, "run.out=alone").code == 0
    assert_same_run(Path("runs/mine"), Path("alone/mine"))


@pytest.mark.slow
def test_two_evaluations_of_one_run(tiny: list[str], vssl: Vssl) -> None:
    assert vssl("pretrain", *tiny, *WORDS, "run.name=mine").code == 0
    words = ["evaluate", "runs/mine", "eval=knn,linear", "run.workers=0", "eval.label=[motion,shape]"]
    both = [running.wait() for running in (vssl.start(*words), vssl.start(*words))]
    assert [done.code for done in both] == [0, 0], both
    assert both[0].out == both[1].out and len(both[0].out.split()) == 4
    for place in both[0].out.split():
        assert read_record(Path(place))["status"] == "done"
        # Each was made by one of the two, and the other found it.
        told = place.rpartition("/")[2].rpartition("-")[0].replace("-", " on ")
        assert sum(done.err.count(f"mine: {told}:") for done in both) == 1
    assert leftovers(Path("runs")) == []


@pytest.mark.slow
def test_two_benches_share_the_trials(tiny: list[str], vssl: Vssl) -> None:
    both = [vssl.start("bench", "quick", *BENCH, "budget.steps=40") for _ in range(2)]
    done = [running.wait() for running in both]
    assert [one.code for one in done] == [0, 0], done
    assert done[0].out == done[1].out
    folder = Path("runs/bench/quick")
    trainings = [log for log in logs(folder) if "finished 40 steps" in log]
    assert len(trainings) == 2 and all(log.count("finished 40 steps") == 1 for log in trainings)
    assert {read_record(path)["status"] for path in find_records(folder)} == {"done"}
    assert leftovers(folder) == []


def logs(folder: Path) -> list[str]:
    return [path.read_text() for path in folder.glob("trials/*/log.txt")]


@pytest.mark.slow
def test_a_bench_goes_on_where_another_one_was_killed_while_it_watched(tiny: list[str], vssl: Vssl) -> None:
    folder = Path("runs/bench/quick")
    words = ["bench", "quick", *BENCH, "budget.steps=150", "run.save_steps=5"]
    first = vssl.start(*words)
    wait_for(lambda: list(folder.glob("videomae*/checkpoints/last.ckpt")), first)
    second = vssl.start(*words)
    wait_for(lambda: any("put off: " in log for log in logs(folder)), second)
    assert first.poll() is None
    first.kill()
    done = second.wait()
    assert done.code == 0, done.err
    assert {read_record(path)["status"] for path in find_records(folder)} == {"done"}
    assert leftovers(folder) == []


@pytest.mark.slow
def test_a_trial_that_failed_in_one_bench_is_not_tried_by_the_other(tiny: list[str], vssl: Vssl) -> None:
    folder = Path("runs/bench/quick")
    # A learning rate at which fp32 overflows after a while.
    words = ["bench", "quick", *BENCH[:-1], "method=simsiam", "optim=sgd", "optim.base_lr=1e30", "budget.steps=60"]
    first = vssl.start(*words, "launcher.jobs=0")
    wait_for(lambda: list(folder.glob("trials/*/trial.json")), first)
    first.signal(signal.SIGSTOP)
    second = vssl.start(*words, "launcher.jobs=0")
    wait_for(lambda: "put off: " in second.said, second)
    first.signal(signal.SIGCONT)
    done = [first.wait(), second.wait()]
    assert [one.code for one in done] == [1, 1], done
    assert [one.err.count("error: ") for one in done] == [1, 0], done
    assert done[0].out == done[1].out and "failed" in done[0].out
