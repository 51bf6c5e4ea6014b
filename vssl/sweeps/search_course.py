"""What a search wants of a trial while it lasts: to be trained, not evaluated, and perhaps ended early."""

from pathlib import Path

from vssl.sweeps.search_points import Points, probed
from vssl.sweeps.state import Part


class Course:
    """A trial of a search, for the process that carries it out.

    Args:
        reduction_factor: of successive halving; None: every training comes to its end.
    """

    def __init__(self, points: Points, trial: str, reduction_factor: int | None) -> None:
        self.points, self.trial, self.reduction_factor = points, trial, reduction_factor
        self.part: Part = "trained"

    def stops(self, step: int, value: float) -> bool:
        """Whether the training ends here, `value` measured after `step`: decided by the curves of all points."""
        if self.reduction_factor is None:
            return False
        from vssl.sweeps.search_optuna import stops

        others = {one.point.trial: one.probes for one in self.points.told()}
        others.pop(self.trial, None)
        run = self.points.state.read(self.trial).run
        before = probed(self.points.state.sweep / run, before=step) if run else []
        if stops(list(others.values()), [*before, value], self.reduction_factor):
            self.part = "stopped"
        return self.part == "stopped"


def course_of(sweep: Path, trial: str) -> Course | None:
    """None where no search is about the trial, or it has chosen the trial: then it is one like any other."""
    points = Points(sweep)
    what = points.what
    if what is None or trial in points.chosen or all(point.trial != trial for point in points):
        return None
    return Course(points, trial, what["reduction_factor"])
