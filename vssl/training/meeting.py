"""Ranks on several nodes: a scheduler starts them all, and they meet at rank 0, which tells them what to train.

srun says who is who (SLURM_PROCID, SLURM_NTASKS, SLURM_LOCALID, SLURM_NODEID, SLURM_JOB_NUM_NODES), the job's script
where rank 0 listens (VSSL_MEET=HOST:PORT) and by what the others are known (VSSL_MEET_KEY). A rank carries a training
out in a process of its own, as ranks on one machine are, and waits for the next; it ends when rank 0 does, however.
"""

import hmac
import json
import os
import queue
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from vssl.config.errors import UserError, WorkError
from vssl.training.local_rank import LocalRank

MEET_S = 600.0  # nodes of a job come up one after the other
LOST = 1


@dataclass(frozen=True)
class Seat:
    """Which of the processes that the scheduler has started this is."""

    rank: int
    world: int
    local_rank: int
    node: int
    nodes: int
    host: str
    port: int
    key: str


def seat(environment: Mapping[str, str] = os.environ) -> Seat | None:
    """None outside of a job of several ranks. Raises UserError where the environment is not whole."""
    where = environment.get("VSSL_MEET")
    if not where or int(environment.get("SLURM_NTASKS", "1")) < 2:
        return None
    host, _, port = where.rpartition(":")
    names = ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_JOB_NUM_NODES")
    try:
        rank, world, local_rank, node, count = (int(environment[name]) for name in names)
        return Seat(rank, world, local_rank, node, count, host, int(port), environment["VSSL_MEET_KEY"])
    except (KeyError, ValueError) as error:
        raise UserError(
            f"VSSL_MEET={where}: {error} is missing or no number", "srun and the job's script set these"
        ) from None


def nodes() -> int:
    """Machines that the processes of this job are on."""
    here = seat()
    return here.nodes if here else 1


class Connection:
    """Lines of JSON to and from one other process."""

    def __init__(self, link: socket.socket) -> None:
        link.settimeout(None)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._link, self._lines = link, link.makefile("rb")

    def tell(self, message: Mapping[str, Any]) -> None:
        with suppress(OSError):  # it is gone: the end of its lines tells
            self._link.sendall(json.dumps(message).encode() + b"\n")

    def hear(self) -> dict[str, Any] | None:
        """The next message; None where the other is gone."""
        try:
            line = self._lines.readline()
        except OSError:
            return None
        return json.loads(line) if line.endswith(b"\n") else None

    def close(self) -> None:
        with suppress(OSError):
            self._link.shutdown(socket.SHUT_RDWR)
        self._lines.close()
        self._link.close()


class RemoteRank:
    """Another rank, seen from rank 0."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.code: int | None = None
        self.said = ""
        self._ready: queue.Queue[bool] = queue.Queue()
        self._ended = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def start(self, message: Mapping[str, Any]) -> None:
        self.code, self.said = None, ""
        self._ended.clear()
        self.connection.tell(message)

    def is_ready(self) -> bool:
        """Waits until the rank has nothing left to do but train; False where it has ended."""
        return self._ready.get()

    def _listen(self) -> None:
        while (message := self.connection.hear()) is not None:
            if "code" in message:
                self._end(message["code"], message["said"])
            else:
                self._ready.put(True)
        self._end(LOST, "its connection was lost")

    def _end(self, code: int, said: str) -> None:
        self.code, self.said = code, said
        self._ready.put(False)
        self._ended.set()

    def poll(self) -> int | None:
        return self.code

    def stop(self, patience_s: float) -> None:
        if not self._ended.wait(patience_s):
            self.connection.tell({"end": True})
            self._ended.wait(10.0)
        while not self._ready.empty():
            self._ready.get()


class Meeting:
    """Rank 0's side: where the others come to."""

    def __init__(self, here: Seat) -> None:
        self.seat = here
        try:
            self._door = socket.create_server(("", here.port))
        except OSError as error:
            raise WorkError(f"port {here.port}, where ranks meet, cannot be used: {error.strerror}") from error
        self._ranks: dict[int, RemoteRank] = {}

    def ranks(self) -> list[RemoteRank]:
        """All but rank 0, in their order; waits for those that are not there yet. Raises WorkError after `MEET_S`."""
        deadline = time.monotonic() + MEET_S
        while len(self._ranks) < self.seat.world - 1:
            self._door.settimeout(max(0.0, deadline - time.monotonic()) or 1e-3)
            try:
                link, _ = self._door.accept()
            except TimeoutError:
                missing = sorted({*range(1, self.seat.world)} - {*self._ranks})
                raise WorkError(f"ranks {missing} of {self.seat.world} did not come within {MEET_S:.0f} s") from None
            link.settimeout(10.0)
            self._let_in(link)
        return [self._ranks[rank] for rank in sorted(self._ranks)]

    def _let_in(self, link: socket.socket) -> None:
        try:
            hello = json.loads(link.makefile("rb").readline(4096))
            if not hmac.compare_digest(str(hello["key"]), self.seat.key):
                raise ValueError("a stranger")
            self._ranks[int(hello["rank"])] = RemoteRank(Connection(link))
        except (OSError, ValueError, KeyError, TypeError):
            link.close()

    def close(self) -> None:
        self._door.close()
        for rank in self._ranks.values():
            rank.connection.close()


_open: list[Meeting] = []


@contextmanager
def held(here: Seat) -> Iterator[None]:
    """The other ranks may come while the block runs, and end with it."""
    _open.append(Meeting(here))
    try:
        yield
    finally:
        _open.pop().close()


def open_meeting(count: int) -> Meeting | None:
    """The one that a training of `count` processes is to use; None: it starts its own on this machine."""
    return _open[-1] if _open and _open[-1].seat.world == count else None


def attend(here: Seat) -> int:
    """A rank other than 0: carries out trainings that rank 0 tells of, until that is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # rank 0 is asked, and tells the others
    own = {"rank": here.rank, "local_rank": here.local_rank, "node": here.node, "nodes": here.nodes, "host": here.host}
    connection = Connection(_reached(here))
    connection.tell({"rank": here.rank, "key": here.key})
    process: LocalRank | None = None
    while (message := connection.hear()) is not None:
        if "end" not in message:
            process = LocalRank()
            process.start({**message, **own})
            threading.Thread(target=_watch, args=(process, connection), daemon=True).start()
        elif process is not None:
            process.kill()
    if process is not None:
        process.kill()
    return 0


def _watch(process: LocalRank, connection: Connection) -> None:
    """Tells rank 0 when the process of a training is ready, and how it ended."""
    if process.is_ready():
        connection.tell({"ready": True})
    connection.tell({"code": process.wait(), "said": process.said})
    process.stop(0.0)


def _reached(here: Seat) -> socket.socket:
    deadline = time.monotonic() + MEET_S
    while True:
        try:
            return socket.create_connection((here.host, here.port), 10.0)
        except OSError as error:
            if time.monotonic() > deadline:
                raise WorkError(f"rank 0 is not at {here.host}:{here.port}: {error.strerror or error}") from error
            time.sleep(0.5)
