"""Several processes for one training, on this machine or on several: started, watched, and ended together.

Lightning's own launcher starts the command line anew for every rank, which in a bench would repeat all of it. Here a
rank is told of one training alone, over its stdin; when that closes, because rank 0 has ended in whatever way, it ends.
"""

import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from vssl import _torchvision  # noqa: F401  (before Lightning)

# isort: split
import torch.distributed as dist
from lightning_fabric.plugins.environments.lightning import LightningEnvironment

from vssl.config.errors import WorkError
from vssl.training.local_rank import READY, LocalRank
from vssl.training.meeting import RemoteRank, open_meeting

LOOPBACK = "127.0.0.1"
NATURAL_END_S = 10.0  # from a rank's death until the others have stumbled over it by themselves
FORCED_END_S = 30.0  # after which rank 0 is ended: a GPU's collective may wait for ever


class Place(LightningEnvironment):
    """Which rank this process is; the processes exist already, so Lightning starts none."""

    def __init__(
        self, rank: int, port: int, local_rank: int | None = None, node: int = 0, nodes: int = 1, host: str = LOOPBACK
    ) -> None:
        super().__init__()
        self.nodes = nodes
        self._local_rank, self._node = rank if local_rank is None else local_rank, node
        self._host, self._port = host, port

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return self._host

    @property
    def main_port(self) -> int:
        return self._port

    def local_rank(self) -> int:
        return self._local_rank

    def node_rank(self) -> int:
        return self._node


class Ranks:
    """Ranks 1 to `count` - 1 of a training, each a process; the caller is rank 0.

    Those that a scheduler has started on several nodes are used where they are as many, else they are started here.

    Args:
        task: what `vssl.training.run.join` needs, as plain data.
    """

    def __init__(self, count: int, task: Mapping[str, Any]) -> None:
        self.count, self.task = count, task
        self._others: list[LocalRank | RemoteRank] = []
        self._ended = threading.Event()
        self.place: Place | None = None

    def __enter__(self) -> "Ranks":
        """Raises WorkError where a rank does not come up."""
        if self.count == 1:
            return self
        meeting = open_meeting(self.count)
        nodes, host = (meeting.seat.nodes, meeting.seat.host) if meeting else (1, LOOPBACK)
        self.place = Place(0, _free_port(), nodes=nodes, host=host)
        try:
            if meeting:
                self._others += meeting.ranks()
            else:
                for _ in range(1, self.count):
                    self._others.append(LocalRank())
            for rank, other in enumerate(self._others, 1):
                other.start({"rank": rank, "port": self.place.main_port, "task": self.task})
            for rank, other in enumerate(self._others, 1):
                if not other.is_ready():
                    raise self._died(rank)
        except BaseException:
            self._end()
            raise
        threading.Thread(target=self._watch, name="ranks", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        dead: WorkError | None = None
        if error is not None and _is_lost_connection(error):
            dead = self._find_dead(NATURAL_END_S)
        self._end(patience_s=0.0 if error else NATURAL_END_S)
        if dead is not None:
            raise dead from error

    def _find_dead(self, wait_s: float) -> WorkError | None:
        """The error of the first rank that has ended by itself with one."""
        deadline = time.monotonic() + (wait_s if self._others else 0.0)
        while True:
            for rank, other in enumerate(self._others, 1):
                if other.poll():
                    return self._died(rank)
            if time.monotonic() >= deadline:
                return None
            time.sleep(0.05)

    def _died(self, rank: int) -> WorkError:
        other = self._others[rank - 1]
        code = other.poll() or 0
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        said = "" if code < 0 else f": {other.said.removeprefix('error: ')}"
        return WorkError(
            f"rank {rank} of {self.count} {how}{said}", "the same command goes on from the last checkpoint"
        )

    def _watch(self) -> None:
        while not self._ended.wait(0.5):
            if (dead := self._find_dead(0.0)) is not None and not self._ended.wait(FORCED_END_S):
                print(f"error: {dead}", file=sys.stderr, flush=True)
                os._exit(1)

    def _end(self, patience_s: float = 0.0) -> None:
        self._ended.set()
        deadline = time.monotonic() + patience_s
        for other in self._others:
            other.stop(max(0.0, deadline - time.monotonic()))
        self._others = []
        if self.place is not None and dist.is_initialized():
            dist.destroy_process_group()
            for name in ("MASTER_ADDR", "MASTER_PORT"):
                os.environ.pop(name, None)


def _is_lost_connection(error: BaseException) -> bool:
    """What rank 0 sees of another rank's death; gloo's errors have no type of their own."""
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def main() -> int:
    """A rank other than 0: reads its task from stdin, and lives as long as stdin is open."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # rank 0 is asked, and tells the others
    with os.fdopen(os.dup(0), "rb") as stdin:
        message = json.loads(stdin.readline())
    threading.Thread(target=_end_with_rank_0, daemon=True).start()
    answer = os.dup(1)
    os.dup2(2, 1)

    from vssl.training.run import join

    try:
        task = message.pop("task")
        join(task, Place(**message), lambda: os.write(answer, READY))
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    except Exception as error:  # noqa: BLE001  (rank 0 shows the last line)
        import traceback

        traceback.print_exc()
        first = (str(error) or type(error).__name__).splitlines()[0]
        print(f"error: {first}", file=sys.stderr)
        return 1
    return 0


def _end_with_rank_0() -> None:
    while os.read(0, 4096):
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
