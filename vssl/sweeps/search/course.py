"""What a search wants of a trial while it lasts: to be trained, not evaluated, and perhaps ended early."""

from pathlib import Path

from vssl.records.record import read_record, write_record
from vssl.sweeps.search.points import Points, probed


class Course:
    """A trial of a search, for the process that carries it out.

    Args:
        search: by its name.
        reduction_factor: of successive halving; None: every training comes to its end.
    """

    def __init__(self, points: Points, trial: str, search: str, reduction_factor: int | None) -> None:
        self.points, self.trial, self.search, self.reduction_factor = points, trial, search, reduction_factor
        self.ended_by: str | None = None  # who stopped it at which step

    @property
    def part(self) -> str:
        """For the trial's state: what of it was done."""
        return f"stopped by {self.ended_by}" if self.ended_by else "trained"

    def stops(self, step: int, value: float) -> bool:
        """Whether the training ends here, `value` measured after `step`: decided by the curves of all points."""
        if self.reduction_factor is None:
            return False
        from vssl.sweeps.search.advice import stops

        others = [one.probes for one in self.points.told() if one.point.trial != self.trial]
        run = self.points.state.read(self.trial).run
        before = probed(self.points.state.sweep / run, before=step) if run else []
        if stops(others, [*before, value], self.reduction_factor):
            self.ended_by = f"{self.search} at step {step}"
        return self.ended_by is not None

    def close(self) -> None:
        """Says in the record of a run that was stopped that nobody will go on with it."""
        run = self.points.state.read(self.trial).run
        if run and self.ended_by:
            folder = self.points.state.sweep / run
            write_record(folder, {**read_record(folder), "status": "stopped", "stopped_by": self.ended_by})


def course_of(sweep: Path, trial: str) -> Course | None:
    """None where no search is about the trial, or it has chosen the trial: then it is one like any other."""
    points = Points(sweep)
    what = points.what
    if what is None or trial in points.chosen or all(point.trial != trial for point in points):
        return None
    return Course(points, trial, what["search"], what["reduction_factor"])
