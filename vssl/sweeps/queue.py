"""Which trials still have to be tried, and when."""

import time
from collections.abc import Collection, Sequence

from vssl.config.errors import UserError
from vssl.records.locks import POLL_S
from vssl.sweeps.state import PlanState
from vssl.sweeps.work import Outcome, Ticket


class Queue:
    """Trials in order; those that failed come back as often as they may, those that are busy after a while.

    Of trials that share a training one is out at a time: another would only wait for it, with a device of its own. One
    that may begin with the checkpoint of another waits for that.

    Args:
        retries: how often a trial that failed here is tried again.
    """

    def __init__(self, state: PlanState, trials: Sequence[str], retries: int) -> None:
        self.state, self.retries = state, retries
        self._waiting = [(0.0, trial) for trial in trials]
        self._out: set[str] = set()
        self._shared: dict[str, tuple[str, str | None]] = {}
        self._at_work: set[str] = set()
        self._tries: dict[str, int] = {}
        self._attempts = {trial: state.read(trial).attempts for trial in trials}
        self.failed: set[str] = set()

    def __bool__(self) -> bool:
        """Whether anything is still to be done, or being done."""
        return bool(self._waiting or self._out)

    def take(self) -> Ticket | None:
        """The next trial; None where none is due now."""
        now = time.monotonic()
        there = self._out.union(trial for _, trial in self._waiting)
        due = next((one for one in self._waiting if one[0] <= now and not self._must_wait(one[1], there)), None)
        if due is None:
            return None
        self._waiting.remove(due)
        self._out.add(due[1])
        self._at_work.add(self._training(due[1]))
        return Ticket(due[1], self._attempts[due[1]])

    def _must_wait(self, trial: str, there: Collection[str]) -> bool:
        training, trunk = self._needed(trial)
        return training in self._at_work or trunk in there

    def _training(self, trial: str) -> str:
        return self._needed(trial)[0]

    def _needed(self, trial: str) -> tuple[str, str | None]:
        """What trials that train once together have in common, of any other its own id; and its trunk."""
        if trial not in self._shared:
            try:
                work = self.state.work(trial)
                self._shared[trial] = work.pretraining or trial, work.trunk
            except UserError:  # carrying it out will tell
                self._shared[trial] = trial, None
        return self._shared[trial]

    def ended(self, trial: str, outcome: Outcome) -> None:
        """What became of a trial that was taken."""
        self._out.discard(trial)
        self._at_work.discard(self._training(trial))
        if outcome == "busy":
            self._attempts[trial] = -1  # whatever becomes of it there holds here
            self._waiting.append((time.monotonic() + POLL_S, trial))
            return
        if outcome == "done":
            self.failed.discard(trial)
            return
        self._tries[trial] = self._tries.get(trial, 0) + 1
        self._attempts[trial] = self.state.read(trial).attempts
        if self._tries[trial] <= self.retries:
            self._waiting.append((0.0, trial))
        else:
            self.failed.add(trial)

    def died(self, trial: str, how: str) -> None:
        """The process that was at it is gone, or never came to it."""
        if self.state.read(trial).status != "done":
            self.state.end(trial, "failed", how)
        self.ended(trial, "failed")
