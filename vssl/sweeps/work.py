"""One trial from its claim to its evaluations, in the process that carries it out."""

import signal
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from vssl.config.compose import Composed
from vssl.evaluation.online import online_probe
from vssl.evaluation.run import evaluate
from vssl.records.locks import Busy
from vssl.records.run_config import CONFIG
from vssl.sweeps.search.course import course_of
from vssl.sweeps.state import PlanState, TrialState, Work
from vssl.training.run import pretrain

Outcome = Literal["done", "failed", "busy"]


@dataclass(frozen=True)
class Ticket:
    """A trial to be tried, and how often it had been tried when that was decided.

    Where its state counts more attempts, another process has tried it meanwhile: what came of that holds.
    """

    trial: str
    attempts: int


def carry_out(folder: Path, ticket: Ticket, console: Console | None = None) -> Outcome:
    """Pretrain and evaluate one trial of the sweep in `folder`; a failure is written down and is no exception.

    Returns:
        "busy" where another process works on it, or on the pretraining that it shares.
    """
    state = PlanState(folder)
    console = console or Console(stderr=True)
    try:
        with state.claim(ticket.trial):
            known = state.read(ticket.trial)
            if known.attempts > ticket.attempts and known.status in ("done", "failed"):
                return "done" if known.status == "done" else "failed"
            return _carry_out(state, ticket.trial, console)
    except Busy as busy:
        console.print(f"put off: {str(busy).splitlines()[0]}", highlight=False, soft_wrap=True)
        return "busy"


def _carry_out(state: PlanState, trial: str, console: Console) -> Outcome:
    before = state.read(trial)
    begun = state.begin(trial)
    try:
        work = state.work(trial)
        shown, part = _made(state, trial, work, console)
    except Busy:
        state.write(trial, replace(before, status="waiting"))
        raise
    except Exception as error:  # noqa: BLE001  (a fault in one trial must not cost the others their turn)
        console.print(f"error: {error}", style="red", highlight=False, soft_wrap=True)
        state.end(trial, "failed", _last_line(error), begun.shown)
        return "failed"
    state.end(trial, "done", shown=tuple(str(folder.relative_to(state.sweep)) for folder in shown), part=part)
    return "done"


def _made(state: PlanState, trial: str, work: Work, console: Console) -> tuple[list[Path], str | None]:
    """The folders that the table shows, the run and its evaluations; and what of the trial was done, if not all."""
    bound = placed(work.bound, state.sweep, _trunk(state, work))
    if work.encoder is not None:
        return evaluate(bound, work.choices, work.encoder, state.sweep, console=console, leave_out=True), None

    def known(folder: Path) -> None:
        state.write(trial, replace(state.read(trial), run=folder.name))

    course = course_of(state.sweep, trial)
    probe = partial(online_probe, stops=course.stops if course else None)
    try:
        run = pretrain(Composed(bound, work.choices), bound, console, probe, known)
    except SystemExit as end:
        if course is None or course.ended_by is None or end.code != 128 + signal.SIGINT:
            raise
        course.close()
        return [], course.part
    if course is not None:
        return [run], course.part
    return [run, *evaluate(bound, work.choices, str(run), state.sweep, console=console, leave_out=True)], None


def _trunk(state: PlanState, work: Work) -> str | None:
    """The run that this one may begin with, if it has come to its end and is still there."""
    trunk = state.read(work.trunk) if work.trunk else TrialState()
    if trunk.status != "done" or trunk.run is None or not (state.sweep / trunk.run / CONFIG).is_file():
        return None
    return str(state.sweep / trunk.run)


def placed(bound: dict[str, Any], folder: Path, trunk: str | None = None) -> dict[str, Any]:
    """The configuration with its runs in the sweep's folder."""
    own = {"out": str(folder), "name": None, **({"branch_of": trunk} if trunk else {})}
    return {**bound, "run": {**bound["run"], **own}}


def _last_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
