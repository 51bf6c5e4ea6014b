"""Searches: what is tried, what is stopped, and that the choice is made before the test list is read."""

import copy
import csv
import json
import math
import random
import shlex
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from datamodules.moving_shapes import MovingShapes
from vssl.config.bind import bind
from vssl.config.compose import compose
from vssl.config.errors import ConfigError, UserError
from vssl.datamodule import Split
from vssl.evaluation.online import OnlineProbe, online_probe
from vssl.records.record import find_records, read_record, write_record
from vssl.report.table import comparison
from vssl.sweeps.plan import plan
from vssl.sweeps.ranges import Range, range_of
from vssl.sweeps.run import sweep
from vssl.sweeps.search.course import course_of
from vssl.sweeps.search.points import Point, Points, Told, probed
from vssl.sweeps.state import PlanState
from vssl.sweeps.work import Outcome, Ticket
from vssl.training.build import Study
from vssl.video.lists.samples import Samples

pytest.importorskip("optuna", reason="searches need Optuna: pip install 'vssl[search]'")

RATE = "optim.base_lr=tag(log,interval(1e-5,1e-1))"
BEST_RATE = 3e-3  # of the planted probe
SMALL = ["method=simsiam", "optim=sgd", "backbone=vit_nano", "backbone.patch_size=8", "backbone.depth=1", "scale=smoke",
         "run.workers=0", "eval=knn", "eval.label=motion", "launcher.jobs=0", RATE]  # fmt: skip


def height(rate: float) -> float:
    """The planted objective at the end of a training: 1 at `BEST_RATE`, less by 0.2 a factor of ten."""
    return 1 - 0.2 * abs(math.log10(rate / BEST_RATE))


def search(trials: int, *words: str) -> int:
    return sweep("sweep", None, [*SMALL, f"sweep.trials={trials}", *words], {})


def rates(folder: str) -> list[float]:
    return [point.values["optim.base_lr"] for point in Points(Path("runs/sweep") / folder)]


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("a=interval(1e-4,1e-2)", Range(1e-4, 1e-2)),
        ("a=tag(log, interval(1e-4, 1e-2))", Range(1e-4, 1e-2, log=True)),
        ("a=int(interval(1,8))", Range(1, 8, whole=True, step=1)),
        ("a=range(1,9)", Range(1, 8, whole=True, step=1, listed=True)),
        ("a=range(1,9,3)", Range(1, 7, whole=True, step=3, listed=True)),
        ("a=tag(log,range(1,65))", Range(1, 64, whole=True, step=1, log=True, listed=True)),
        ("a=1,2,3", None),
        ("a='interval(0,1)'", None),
    ],
)
def test_a_range_is_read_from_hydras_words(word: str, found: Range | None) -> None:
    assert range_of(word) == found


def test_a_number_is_rounded_to_what_can_be_typed_and_stays_inside() -> None:
    assert Range(0.0, 1.0).rounded(0.123456) == 0.1235
    assert Range(0.12341, 1.0).rounded(0.123412) == 0.12341
    assert Range(0.0, 0.9, step=0.1).rounded(0.7000000000000001) == 0.7
    assert str(Range(1, 9, whole=True, step=1).rounded(3.0)) == "3"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["optim.base_lr=interval(1e-4,1e-2)"], r"holds no single values(.|\n)*sweep\.search=tpe"),
        (["optim.base_lr=int(interval(1,3))"], "holds no single values"),
        (["optim.base_lr=interval(2,1)", "sweep.search=tpe", "sweep.trials=2"], "nothing lies between 2 and 1"),
        (["backbone.depth=range(3,3)", "sweep.search=tpe", "sweep.trials=2"], "nothing lies from 3"),
        ([RATE.replace("1e-5", "0"), "sweep.search=tpe", "sweep.trials=2"], "log needs ends above 0"),
        ([RATE, "sweep.search=tpe"], r"how many points(.|\n)*sweep\.trials=20"),
        ([RATE, "sweep.search=tpe", "sweep.trials=0"], "trials=0 must be 1 or more"),
        ([RATE, "sweep.search=tpe", "sweep.trials=2", "sweep.subset=2"], "subset draws from a grid"),
        (["seed=0,1", "sweep.trials=2"], "sweep.trials=2 is of a search"),
        ([RATE, "sweep.search=tpa", "sweep.trials=2"], "tpa"),
        (["sweep.search=tpe", "sweep.trials=2"], r"nothing varies(.|\n)*interval\(1e-4,1e-2\)"),
        ([RATE, "sweep.search=tpe", "sweep.trials=2", "sweep.exclude=[{method:videomae}]"], "everything is excluded"),
        (["sweep.axes={optim.base_lr:'0.1'}"], "no list of values"),
        ([RATE, "optim.lr=interval(0,1)", "sweep.search=tpe", "sweep.trials=2"], r"optim\.lr"),
    ],
)
def test_a_search_that_is_wrong_is_refused_in_one_message(words: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        plan("sweep", None, words, {})


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["seed=0,1"], r"seeds are not better(.|\n)*seed=0,1,2"),
        (["run.threads=1,2"], "it changes no trial"),
        (["run.probe_times=0"], r"run\.probe_times is 0"),
        (["run.probe_times=1", "sweep.search=asha"], "stops between measurements"),
    ],
)
@pytest.mark.usefixtures("tiny")
def test_a_search_that_cannot_work_is_refused_before_it_begins(words: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        search(2, "sweep.search=tpe", *words)
    assert not Path("runs").exists()


@pytest.mark.usefixtures("tiny")
def test_without_optuna_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match=r"needs Optuna(.|\n)*pip install 'vssl\[search\]'"):
        search(2, "sweep.search=tpe")


def test_a_range_in_a_grid_and_in_a_file() -> None:
    depths = [
        trial.bound["backbone"]["depth"] for trial in plan("sweep", None, ["backbone.depth=range(1,4)"], {}).trials
    ]
    assert depths == [1, 2, 3]
    texts = "sweep.axes={optim.base_lr:'tag(log,interval(1e-4,1e-2))',backbone.depth:'1,2'}"
    found = plan("sweep", None, [texts, "sweep.search=tpe", "sweep.trials=2"], {})
    assert found.space is not None and found.title == "backbone.depth-optim.base_lr-tpe"
    assert {axis.key: axis.told() for axis in found.space.axes} == {
        "optim.base_lr": "0.0001 to 0.01, log", "backbone.depth": "1, 2",
    }  # fmt: skip
    ends = {(trial.values["optim.base_lr"], trial.values["backbone.depth"]) for trial in found.trials}
    assert ends == {("0.0001", "1"), ("0.01", "1"), ("0.0001", "2")}
    narrowed = plan("sweep", None, [texts, "optim.base_lr=1e-3", "sweep.search=tpe", "sweep.trials=2"], {})
    assert narrowed.space is not None and [axis.key for axis in narrowed.space.axes] == ["backbone.depth"]


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_successive_halving_stops_what_its_rule_says(factor: int) -> None:
    """Li et al. 2018, arXiv:1810.05934, Alg. 2, without promotions later on; Optuna lets the best of few pass."""
    from vssl.sweeps.search.advice import stops

    draw = random.Random(factor)
    rungs = [factor**power for power in range(5) if factor**power <= 12]
    curves: list[list[float]] = []
    verdicts = set()
    for _ in range(20):
        curve: list[float] = []
        for measured in range(1, 13):
            curve.append(round(draw.random(), 2))
            there = sorted([other[measured - 1] for other in curves if len(other) >= measured] + curve[-1:])
            expected = measured in rungs and curve[-1] < there[-max(1, len(there) // factor)]
            assert stops(curves, curve, factor) == expected
            verdicts.add(expected)
            if expected:
                break
        curves.append(curve)
    assert verdicts == {True, False}


@pytest.fixture
def planted(tiny: list[str], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Trials that take no time: their curve rises to `height` of their rate in ten measurements. One may be killed.

    Beside each run lies what the test list says of it, the reverse of the probe: a choice by that is another choice.
    """
    told: dict[str, Any] = {"begun": [], "kill_at": None, "fails": lambda rate: False}

    def carry_out(folder: Path, ticket: Ticket, *_: Any) -> Outcome:
        state = PlanState(folder)
        bound = state.work(ticket.trial).bound
        rate = bound["optim"]["base_lr"]
        told["begun"].append(rate)
        state.begin(ticket.trial)
        if told["fails"](rate):
            state.end(ticket.trial, "failed", "the loss is nan")
            return "failed"
        course, run = course_of(folder, ticket.trial), Path(folder) / f"run-{ticket.trial}"
        state.write(ticket.trial, type(state.read(ticket.trial))("running", 1, run.name))
        run.mkdir(exist_ok=True)
        rows = ["step,probe_knn"]
        for step in range(1, 11):
            value = height(rate) * (0.5 + step / 20)
            if course and step < 10 and course.stops(step, value):
                rows.append(f"{step},{value}")
                (run / "metrics.csv").write_text("\n".join([*rows, ""]))
                state.end(ticket.trial, "done", part=course.part)
                return "done"
            rows += [f"{step},{value}"]
            (run / "metrics.csv").write_text("\n".join([*rows, ""]))
            if told["kill_at"] == (len(told["begun"]), step):
                raise KeyboardInterrupt
        names = dict.fromkeys(("name", "method", "backbone", "data"), "x")
        identity = {**names, "hashes": dict.fromkeys(("data", "views", "backbone", "method", "train"), ticket.trial)}
        write_record(run, {"kind": "pretrain", "status": "done", "seed": 0, "identity": identity, "budget": {}})
        leak = {"encoder": {}, "data": {}, "protocol": "knn", "label": "motion"}
        top1 = {"top1": {"value": 1 - height(rate)}}
        (run / "eval/knn-motion-0").mkdir(parents=True, exist_ok=True)
        write_record(
            run / "eval/knn-motion-0",
            {"kind": "evaluate", "status": "done", "seed": 0, "identity": leak, "protocol": {}, "results": top1},
        )
        (run / "checkpoints").mkdir(exist_ok=True)
        (run / "checkpoints/backbone.safetensors").touch()
        state.end(ticket.trial, "done", shown=(run.name,), part=course.part if course else None)
        return "done"

    # Hydra takes its time; what is tried here needs each configuration once.
    composed = lru_cache(lambda words, paths, dirs: compose(words, paths=dict(paths), config_dirs=dirs))
    for module in ("plan", "variants"):
        monkeypatch.setattr(
            f"vssl.sweeps.{module}.compose",
            lambda words, paths, config_dirs: copy.deepcopy(
                composed(tuple(words), tuple(paths.items()), tuple(config_dirs))
            ),
        )
    monkeypatch.setattr("vssl.sweeps.run.check_all", lambda todo: 1)
    monkeypatch.setattr("vssl.sweeps.launchers.local.carry_out", carry_out)
    monkeypatch.setattr("vssl.sweeps.run._show", lambda todo, state, notes: told.update(todo=todo, notes=notes))
    return told


@pytest.mark.parametrize("kind", ["tpe", "asha"])
def test_two_searches_try_the_same_points_and_another_seed_tries_others(planted: dict[str, Any], kind: str) -> None:
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        assert search(4, f"sweep.search={kind}", f"sweep.name={name}", f"sweep.search_seed={seed}") == 0
    assert rates("one") == rates("two") and len(set(rates("one"))) == 4
    assert not set(rates("one")) & set(rates("three"))
    fates = [[one.fate for one in Points(Path("runs/sweep") / name).told()] for name in ("one", "two")]
    assert fates[0] == fates[1] and ("stopped" in fates[0]) == (kind == "asha")


@pytest.mark.parametrize("kind", ["tpe", "asha"])
@pytest.mark.parametrize("kill_at", [(3, 9), *(pytest.param(at, marks=pytest.mark.slow) for at in ((1, 1), (5, 10)))])
def test_a_planner_that_is_killed_goes_on_with_the_same_points(
    planted: dict[str, Any], kind: str, kill_at: tuple[int, int]
) -> None:
    words = (f"sweep.search={kind}", "sweep.name=storm", "optim.momentum=0.8,0.9")
    planted["kill_at"] = kill_at
    try:
        search(5, *words)
        interrupted = False
    except KeyboardInterrupt:
        interrupted = True
    planted["kill_at"] = None
    assert search(5, *words) == 0
    begun = planted["begun"].copy()
    assert search(5, *words) == 0
    assert planted["begun"] == begun, "nothing is left to do"
    search(5, f"sweep.search={kind}", "sweep.name=calm", "optim.momentum=0.8,0.9")
    storm, calm = (
        [(one.point, one.fate, one.probes) for one in Points(Path("runs/sweep") / name).told()]
        for name in ("storm", "calm")
    )
    assert storm == calm
    # Each point once, the killed one twice, and what was chosen once more: to be evaluated.
    assert len(begun) == 5 + 1 + interrupted


@pytest.mark.slow
def test_tpe_comes_nearer_than_the_points_that_it_began_with(planted: dict[str, Any]) -> None:
    assert search(24, "sweep.search=tpe") == 0
    found = [abs(math.log10(rate / BEST_RATE)) for rate in rates("optim.base_lr-tpe")]
    assert np.median(found[15:]) < np.median(found[:10]) / 2
    (best,) = Points(Path("runs/sweep/optim.base_lr-tpe")).chosen
    told = {one.point.trial: one for one in Points(Path("runs/sweep/optim.base_lr-tpe")).told()}
    assert told[best].value == max(one.value or 0 for one in told.values())


def test_a_point_that_failed_counts_as_the_worst() -> None:
    """Beyond the best points its surroundings are suggested less often than if nothing were known of them."""
    from vssl.sweeps.search.advice import suggested
    from vssl.sweeps.settings import Sweep

    space = plan("sweep", None, [*SMALL, "sweep.search=tpe", "sweep.trials=9"], {}).space
    assert space is not None
    rates = [10 ** (-5 + 4 * place / 19) for place in range(20)]
    points = [Point(number, {"optim.base_lr": rate}, str(number)) for number, rate in enumerate(rates)]
    known = [Told(point, "trained", (point.number / 20,)) for point in points if rates[point.number] < 1e-3]
    failed = [Told(point, "failed", ()) for point in points[len(known) :]]

    def beyond(told: list[Told]) -> int:
        settings = Sweep(search="tpe", trials=99)
        return sum(suggested(settings, space.axes, told, number, 0)["optim.base_lr"] > 2e-3 for number in range(40))

    assert beyond([*known, *failed]) < beyond(known) / 2


def test_a_point_that_failed_is_shown_and_tried_again(planted: dict[str, Any]) -> None:
    planted["fails"] = lambda rate: rate > 1e-3
    assert search(6, "sweep.search=tpe") == 1
    tried = rates("optim.base_lr-tpe")
    failed = sum(rate > 1e-3 for rate in tried)
    assert failed and sum("the loss is nan" in note for note in planted["notes"]) == failed
    assert f"6 points, {6 - failed} trained to the end, {failed} failed" in planted["notes"][0]
    planted["begun"].clear()
    planted["fails"] = lambda rate: False
    assert search(6, "sweep.search=tpe") == 0
    assert sum(rate > 1e-3 for rate in planted["begun"]) >= failed and rates("optim.base_lr-tpe") == tried


def test_axes_that_hold_few_points_end_the_search_when_all_are_tried(planted: dict[str, Any]) -> None:
    words = [word for word in SMALL if word != RATE]
    small = [*words, "optim.base_lr=1e-3,1e-2,1e-1", "optim.momentum=0.5,0.9", "sweep.search=tpe", "sweep.trials=20",
             "sweep.exclude=[{optim.base_lr:1e-1,optim.momentum:0.5}]", "sweep.finalists=2"]  # fmt: skip
    assert sweep("sweep", None, small, {}) == 0
    assert len(list(Points(Path("runs/sweep/optim.base_lr-optim.momentum-tpe")))) == 5
    assert any("hold no more points: 5 of 20" in note for note in planted["notes"])
    assert [trial.bound["optim"]["base_lr"] for trial in planted["todo"].trials] == [1e-3, 1e-3]


def test_a_search_may_grow_and_another_one_is_refused_its_folder(planted: dict[str, Any]) -> None:
    assert search(3, "sweep.search=tpe", "sweep.name=mine") == 0
    before = rates("mine")
    assert search(5, "sweep.search=tpe", "sweep.name=mine") == 0
    assert rates("mine")[:3] == before and len(rates("mine")) == 5
    for other, told in (
        (["sweep.search=asha"], "another reduction_factor and search"),
        (["sweep.search=tpe", "train.batch_size=4"], "another configuration"),
        (["sweep.search=tpe", "sweep.exclude=[{optim.momentum:0}]"], "another exclude"),
    ):
        with pytest.raises(ConfigError, match=told):
            search(5, "sweep.name=mine", *other)
    with pytest.raises(ConfigError, match="holds a search"):
        sweep("sweep", None, [*(word for word in SMALL if word != RATE), "seed=0,1", "sweep.name=mine"], {})


def test_tpe_waits_for_the_points_it_would_learn_from_and_two_planners_share_them(planted: dict[str, Any]) -> None:
    from vssl.sweeps.search.search import Search, SearchQueue

    todo = plan("sweep", None, [*SMALL, "sweep.search=tpe", "sweep.trials=5", "sweep.at_once=2"], {})
    state = PlanState(todo.folder)
    one, other = Search(todo, state), Search(todo, state)
    first = SearchQueue(one, [])
    taken = [first.take(), first.take()]
    assert None not in taken and first.take() is None and first
    second = SearchQueue(other, [])
    shared = [second.take(), second.take()]  # they are busy, which whoever carries them out finds out
    assert shared == taken and second.take() is None
    first.ended(taken[0].trial, "done")  # type: ignore[union-attr]
    assert first.take() is not None
    assert [point.number for point in Points(todo.folder)] == [0, 1, 2]


def shuffled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test list with its labels shuffled."""
    genuine = MovingShapes.samples

    def samples(self: MovingShapes, split: Split) -> Samples:
        found = genuine(self, split)
        if split == "test":
            order = np.random.default_rng(1).permutation(len(found))
            found = Samples(**{**found.__dict__, "labels": {name: of[order] for name, of in found.labels.items()}})
        return found

    monkeypatch.setattr(MovingShapes, "samples", samples)


@pytest.mark.usefixtures("tiny")
def test_the_choice_knows_nothing_of_the_test_list(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trainings of which one is stopped; then the same with other test labels, to the same curves and choice."""
    from vssl.sweeps import work

    def probe(study: Study, stops: Callable[[int, float], bool] | None = None) -> OnlineProbe:
        made = online_probe(study, stops)
        rate, measured = study.bound["optim"]["base_lr"], made._measured

        def tilted(*given: Any) -> dict[str, float]:  # so steeply that a training is stopped
            found = measured(*given)
            return {**found, "probe_knn": found["probe_knn"] + 10 * height(rate) * given[2]}

        monkeypatch.setattr(made, "_measured", tilted)
        return made

    chosen_before: list[bool] = []

    def evaluate(bound: Mapping[str, Any], choices: Any, encoder: str, out: Path, **more: Any) -> list[Path]:
        chosen_before.append((out / "search/chosen.json").exists())
        return genuine(bound, choices, encoder, out, **more)

    genuine = work.evaluate
    monkeypatch.setattr(work, "evaluate", evaluate)
    monkeypatch.setattr(work, "online_probe", probe)
    words = ("sweep.search=asha", "sweep.reduction_factor=2", "run.probe_times=4", "budget.steps=4", "run.save_steps=9")
    assert search(3, *words, "sweep.name=honest") == 0
    shown = capsys.readouterr()
    shuffled(monkeypatch)
    assert search(3, *words, "sweep.name=shuffled") == 0
    assert chosen_before == [True, True]
    true, false = (Path("runs/sweep") / name for name in ("honest", "shuffled"))
    assert (true / "search/chosen.json").read_bytes() == (false / "search/chosen.json").read_bytes()
    assert asked(true) != asked(false), "the shuffled labels were read"

    told = Points(true).told()
    assert [(one.point, one.probes) for one in told] == [(one.point, one.probes) for one in Points(false).told()]
    fates = [one.fate for one in told]
    assert fates.count("stopped") >= 1 and fates.count("trained") >= 1
    state = PlanState(true)
    for one in told:
        known = state.read(one.point.trial)
        assert known.run is not None and known.status == "done"
        run = true / known.run
        assert (run / "checkpoints/last.ckpt").exists()
        assert len(probed(run)) == len(list(csv.DictReader((run / "metrics.csv").open()))) == len(one.probes)
        assert (known.told == "stopped") == (one.fate == "stopped") == (read_record(run)["status"] == "stopped")
    stopped = fates.count("stopped")
    assert f"{stopped} stopped early" in " ".join(shown.out.split()) and "nfinished" not in shown.out
    assert shown.err.count("stopped by asha at step") == stopped
    assert sum("stopped by asha at step" in trouble for trouble in comparison(true).troubles) == stopped
    check_command((true / "table.md").read_text(), state, Points(true).chosen[0])


def asked(folder: Path) -> list[int]:
    """The labels that the chosen point was evaluated by."""
    (found,) = (path.parent for path in find_records(folder) if read_record(path)["kind"] == "evaluate")
    return list(pd.read_parquet(found / "predictions.parquet")["label"])


def check_command(table: str, state: PlanState, trial: str) -> None:
    """The line under the table makes the very configuration that was chosen."""
    line = next(part for part in table.split("`") if part.startswith("vssl pretrain "))
    alone = bind(compose(shlex.split(line)[2:]).tree)
    bound = json.loads(json.dumps(alone))
    assert {key: bound[key] for key in bound if key not in ("sweep", "launcher")} == state.work(trial).bound
