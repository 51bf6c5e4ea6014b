"""Ray: a task a trial, on a cluster that is there or on one that is started on this machine for the sweep."""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vssl.config.errors import ConfigError, UserError, WorkError
from vssl.sweeps.launchers.base import Launcher, own_paths
from vssl.sweeps.launchers.ray_task import END_S, work
from vssl.sweeps.queue import Queue
from vssl.sweeps.work import Ticket
from vssl.training.settings import cores

LOOK_EVERY_S = 1.0
CONNECT_S = 5.0
ANSWER_S = 60.0  # from a cluster at whose address something listens


class Ray(Launcher):
    """Tasks of a Ray cluster, whose nodes see this folder at the same path and have vssl installed.

    Args:
        address: of the cluster's head, `HOST:6379` from one of its nodes, `ray://HOST:10001` from outside, `auto` for
            one that runs on this machine; None starts one here, which ends with the sweep.
        cpus: cores that a trial is counted with; Ray shares out by this number and holds no trial to it.
        gpus: GPUs of a trial; None: as many as it trains on (`run.devices`) where the cluster has any.
        jobs: trials at the same time, at most; None: as many as cores and GPUs allow.
    """

    def __init__(
        self, address: str | None = None, cpus: float = 1, gpus: float | None = None, jobs: int | None = None
    ) -> None:
        if cpus <= 0 or (gpus is not None and gpus < 0):
            raise ValueError(f"cpus={cpus} must be above 0, gpus={gpus} 0 or more")
        if jobs is not None and jobs < 1:
            raise ValueError(f"jobs={jobs} must be 1 or more")
        self.address, self.cpus, self.gpus, self.jobs = address, cpus, gpus, jobs
        self.wanted: dict[str, float] = {}

    def check(self, needed: int) -> None:
        """Connects, or starts a cluster, so that one that is not there is found before anything has begun."""
        ray = _ray()
        self._connect(ray)
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        has_gpus = any(node.get("GPU") for node in nodes)
        gpus = (needed if has_gpus else 0) if self.gpus is None else self.gpus
        self.wanted = {"CPU": self.cpus, "GPU": gpus}
        if 0 < gpus < needed:
            raise ConfigError(f"launcher.gpus={gpus:g}: a trial trains on {needed} devices (run.devices)")
        if not any(all(node.get(key, 0) >= count for key, count in self.wanted.items()) for node in nodes):
            told = f"no node has {self.cpus:g} core(s) and {gpus:g} GPU(s) for a trial"
            if self.address is None:
                raise ConfigError(f"launcher.cpus={self.cpus:g} launcher.gpus={gpus:g}: {told}")
            _say(f"{told}; trials wait until there is one")

    def _connect(self, ray: Any) -> None:
        if ray.is_initialized():
            return
        if self.address not in (None, "auto"):
            _reach(self.address)
        paths = own_paths()
        environment = {"env_vars": {"PYTHONPATH": os.pathsep.join(paths)}} if paths else None
        wanted = {"log_to_driver": False, "logging_level": "ERROR", "runtime_env": environment}
        if self.address is None:
            wanted |= {"num_cpus": cores(), "include_dashboard": False}
        try:
            _in_time(lambda: ray.init(self.address or "local", **wanted), ANSWER_S if self.address else None)
        except (OSError, RuntimeError, ValueError) as error:
            told = (str(error).strip() or type(error).__name__).splitlines()[0]
            if self.address is None:
                raise WorkError(f"Ray did not start on this machine: {told}", "launcher=local needs no Ray") from error
            raise _absent(self.address, told) from error
        # Ray's core has put a handler of its own, which aborts.
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))

    def run(self, folder: Path, queue: Queue, watch: Callable[[], None]) -> None:
        ray = _ray()
        task = ray.remote(num_cpus=self.wanted["CPU"], num_gpus=self.wanted["GPU"], max_retries=0)(work)
        out: dict[Any, Ticket] = {}
        try:
            while queue:
                while (self.jobs is None or len(out) < self.jobs) and (ticket := queue.take()) is not None:
                    out[task.remote(str(folder.absolute()), str(Path.cwd()), asdict(ticket))] = ticket
                if out:
                    for ended in ray.wait(list(out), num_returns=len(out), timeout=0)[0]:
                        _report(ray, queue, out.pop(ended).trial, ended)
                watch()
                time.sleep(LOOK_EVERY_S)  # not in `ray.wait`, which makes 1 of the exit code that a signal asks for
        finally:
            for one in out:
                ray.cancel(one)
            if out:  # those at work write a checkpoint
                ray.wait(list(out), num_returns=len(out), timeout=END_S)
            ray.shutdown()


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a sweep tells nobody of itself
    try:
        import ray
    except ImportError as error:
        raise UserError("launcher=ray needs ray, which is not installed", "pip install 'vssl[ray]'") from error
    return ray


def _report(ray: Any, queue: Queue, trial: str, ended: Any) -> None:
    try:
        outcome = ray.get(ended)
    except ray.exceptions.RayError as error:  # a node that is gone, or one without vssl
        lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        queue.died(trial, f"Ray: {lines[-1].strip()}")
        return
    if outcome in ("done", "failed", "busy"):
        queue.ended(trial, outcome)
    else:
        queue.died(trial, outcome)


def _in_time(connect: Callable[[], object], within_s: float | None) -> None:
    """In a thread, since Ray may try for many minutes.

    Raises:
        TimeoutError: `connect` has not come back; it is left to itself.
    """
    raised: list[Exception] = []

    def work() -> None:
        try:
            connect()
        except Exception as error:  # noqa: BLE001  (raised again where it was called)
            raised.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(within_s)
    if thread.is_alive():
        raise TimeoutError(f"what listens there gave no answer of Ray's within {within_s:.0f} s")
    if raised:
        raise raised[0]


def _reach(address: str) -> None:
    """Raises UserError where nothing listens at the address, at once."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(f"launcher.address={address} is no HOST:PORT, ray://HOST:PORT or auto")
    try:
        socket.create_connection((host, int(port)), CONNECT_S).close()
    except OSError as error:
        raise _absent(address, error.strerror or str(error)) from error


def _absent(address: str, why: str) -> UserError:
    return UserError(
        f"launcher.address={address}: no Ray cluster answers there: {why}",
        "ray status shows the address of one, which may ask for a token (RAY_AUTH_MODE=token); without "
        "launcher.address one is started on this machine",
    )


def _say(text: str) -> None:
    print(f"ray: {text}", file=sys.stderr, flush=True)
