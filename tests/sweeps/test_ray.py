"""Ray: what is refused before anything starts, and sweeps on real clusters where Ray is installed (slow)."""

import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from vssl.config.errors import ConfigError, UserError, WorkError
from vssl.sweeps.launchers import ray as launcher
from vssl.sweeps.launchers.ray import Ray
from vssl.sweeps.state import PlanState

STEPS = 300
WORDS = [
    "method=simsiam", "backbone=vit_nano", "backbone.patch_size=8", "backbone.depth=1", "scale=smoke", "eval=knn",
    "eval.label=motion", "run.threads=1", "run.workers=0", f"budget.steps={STEPS}", "run.save_steps=100000",
    "seed=0,1", "launcher=ray",
]  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the nodes of a cluster have that stands in for Ray's."""
    found: list[dict[str, Any]] = []
    module = SimpleNamespace(
        is_initialized=lambda: False,
        init=lambda *words, **named: None,
        nodes=lambda: [{"Alive": True, "Resources": one} for one in found],
    )
    monkeypatch.setitem(sys.modules, "ray", module)
    return found


def test_a_trial_gets_the_gpus_that_it_trains_on_where_there_are_any(
    nodes: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    nodes.append({"CPU": 4.0})
    made = Ray()
    made.check(2)
    assert made.wanted == {"CPU": 1, "GPU": 0}
    with pytest.raises(ConfigError, match=r"cpus=8 .*no node has 8 core\(s\) and 0 GPU\(s\)"):
        Ray(cpus=8).check(1)
    nodes.append({"CPU": 4.0, "GPU": 2.0})
    made.check(2)
    assert made.wanted == {"CPU": 1, "GPU": 2}
    with pytest.raises(ConfigError, match=r"launcher\.gpus=1: a trial trains on 2 devices"):
        Ray(gpus=1).check(2)
    Ray(address="auto", gpus=4).check(2)  # a cluster may grow
    assert "no node has 1 core(s) and 4 GPU(s) for a trial; trials wait" in capsys.readouterr().err


def test_a_cluster_that_is_not_there_is_one_message(
    nodes: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"launcher\.address=127.0.0.1:\d+: no Ray cluster answers there: .*refused"):
        Ray(address=f"127.0.0.1:{free_port()}").check(1)
    with pytest.raises(ConfigError, match="launcher.address=here is no HOST:PORT"):
        Ray(address="here").check(1)
    monkeypatch.setattr(launcher, "ANSWER_S", 0.05)
    hanging = threading.Event()
    monkeypatch.setattr(sys.modules["ray"], "init", lambda *words, **named: hanging.wait())
    with socket.create_server(("127.0.0.1", 0)) as stranger, pytest.raises(UserError, match="gave no answer of Ray's"):
        Ray(address=f"127.0.0.1:{stranger.getsockname()[1]}").check(1)
    hanging.set()


@pytest.mark.usefixtures("nodes")
def test_a_ray_that_does_not_start_or_is_not_installed_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*words: Any, **named: Any) -> None:
        raise RuntimeError("the raylet died\nat once")

    monkeypatch.setattr(sys.modules["ray"], "init", fail)
    with pytest.raises(WorkError, match="Ray did not start on this machine: the raylet died\n"):
        Ray().check(1)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"needs ray, which is not installed\n.*pip install 'vssl\[ray\]'"):
        Ray().check(1)


def started(*words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "vssl", "sweep", *WORDS, *words],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("_real")
def test_a_cluster_is_started_here_and_a_trial_that_failed_is_told() -> None:
    planner = started("sweep.name=here", "sweep.retries=0", "optim.base_lr=0.05,1e9", "budget.steps=40")
    _, told = planner.communicate()
    assert planner.returncode == 1, told
    state = PlanState(Path("runs/sweep/here"))
    ends = sorted((state.work(one).values["optim.base_lr"], state.read(one).status) for one in state.ids())
    assert ends == [("0.05", "done")] * 2 + [("1e9", "failed")] * 2


@pytest.fixture
def _real(tiny: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray itself, whose clusters are known by a token of this test's own, and not by one that Ray keeps at home."""
    pytest.importorskip("ray", reason="ray is not installed: pip install 'vssl[ray]'")
    for name, value in {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")


@pytest.fixture
def head(_real: None) -> Iterator[str]:
    """A cluster of its own that stays: the address of its head."""
    port, own = free_port(), tempfile.mkdtemp(prefix="ray")  # its sockets' names must be short
    cluster = subprocess.Popen(
        [Path(sys.executable).parent / "ray", "start", "--head", "--block", "--node-ip-address=127.0.0.1",
         f"--port={port}", f"--ray-client-server-port={free_port()}", "--num-cpus=2", "--include-dashboard=false",
         f"--temp-dir={own}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until_it_listens(cluster, port)
        yield f"127.0.0.1:{port}"
    finally:
        cluster.terminate()
        cluster.wait(60)
        shutil.rmtree(own, ignore_errors=True)


def until_it_listens(cluster: "subprocess.Popen[bytes]", port: int) -> None:
    while cluster.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise AssertionError(f"ray start ended with {cluster.returncode}")


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_planner_that_is_interrupted_leaves_checkpoints_and_the_cluster(head: str, number: signal.Signals) -> None:
    folder = Path("runs/sweep/there")
    address = f"launcher.address={head}"
    planner = started("sweep.name=there", address)
    while not all_at_work(folder):
        assert planner.poll() is None, planner.communicate()[1]
        time.sleep(0.05)
    planner.send_signal(number)
    _, told = planner.communicate(timeout=120)
    assert planner.returncode == 128 + number, told
    state = PlanState(folder)
    assert {state.seen(one).status for one in state.ids()} == {"interrupted"}
    assert len(list(folder.glob("*/checkpoints/last.ckpt"))) == 2
    planner = started("sweep.name=there", address)
    _, told = planner.communicate()
    assert planner.returncode == 0, told
    for known in map(state.read, state.ids()):
        assert (known.status, known.attempts) == ("done", 1)
        assert known.run is not None
        assert pd.read_csv(folder / known.run / "metrics.csv")["step"].tolist() == list(range(1, STEPS + 1))


def all_at_work(folder: Path) -> bool:
    curves = list(folder.glob("*/metrics.csv"))
    return len(curves) == 2 and all(len(file.read_text().splitlines()) > 3 for file in curves)
