"""A process that carries out trials: `python -m vssl.sweeps.worker FOLDER [TRIAL]`.

Without TRIAL it reads tickets from stdin, a line each, answers each with a line, and lives as long as stdin is open.
With TRIAL it carries out that one, waits where another process is at it, and ends with 0, or 1 where it failed. Of the
ranks that a scheduler has started on several nodes rank 0 does that, and the others train with it.
"""

import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType

from vssl.records.locks import POLL_S
from vssl.sweeps.state import LOG, PlanState
from vssl.sweeps.work import Outcome, Ticket, carry_out
from vssl.training.meeting import attend, held, seat

FORCED_END_S = 30.0


def main(words: list[str]) -> int:
    here = seat()
    if here and here.rank > 0:
        return attend(here)
    signal.signal(signal.SIGTERM, _terminate)
    folder = Path(words[0])
    with held(here) if here else nullcontext():
        return _one(folder, words[1]) if len(words) > 1 else _serve(folder)


def _one(folder: Path, trial: str) -> int:
    ticket = Ticket(trial, PlanState(folder).read(trial).attempts)
    while (outcome := _logged(folder, ticket)) == "busy":
        ticket = Ticket(trial, -1)
        time.sleep(POLL_S)
    return 0 if outcome == "done" else 1


def _serve(folder: Path) -> int:
    answers = os.dup(1)
    os.dup2(2, 1)
    tickets: queue.Queue[Ticket] = queue.Queue()
    at_work = threading.Event()
    threading.Thread(target=_listen, args=(tickets, at_work), daemon=True).start()
    while True:
        ticket = tickets.get()
        at_work.set()
        outcome = _logged(folder, ticket)
        at_work.clear()
        os.write(answers, json.dumps({"trial": ticket.trial, "outcome": outcome}).encode() + b"\n")


def _logged(folder: Path, ticket: Ticket) -> Outcome:
    with _told_to(PlanState(folder).folder / ticket.trial / LOG):
        return carry_out(folder, ticket)


@contextmanager
def _told_to(log: Path) -> Iterator[None]:
    """Standard error goes to a file, also that of libraries and of further processes."""
    sys.stderr.flush()
    before = os.dup(2)
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(handle, 2)
    os.close(handle)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(before, 2)
        os.close(before)


def _listen(tickets: "queue.Queue[Ticket]", at_work: threading.Event) -> None:
    for line in sys.stdin:
        tickets.put(Ticket(**json.loads(line)))
    # Whoever gave the tickets is gone. What is at work writes a checkpoint, as after any SIGTERM.
    if not at_work.is_set():
        os._exit(0)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(FORCED_END_S)
    os._exit(1)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
