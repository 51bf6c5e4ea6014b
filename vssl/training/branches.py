"""Several budgets from one training: shorter ones begin with its checkpoints, and only cool down by themselves."""

import logging
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vssl.config.errors import ConfigError, UserError
from vssl.method import Method
from vssl.records.atomic import atomic
from vssl.records.run_config import CONFIG, other_than
from vssl.training.budgets import Budget
from vssl.training.build import Study
from vssl.training.callbacks import CURVES, KEPT
from vssl.training.optimisers import Optimiser


@dataclass(frozen=True)
class Branch:
    """Where a run begins: in the folder of another, after a number of its steps."""

    trunk: Path
    checkpoint: Path
    step: int

    @property
    def told(self) -> dict[str, Any]:
        """For the record."""
        return {"of": self.trunk.name, "step": self.step}

    def copy(self, last: Path) -> None:
        """Makes it the first checkpoint of a run. Its curve comes first: training cuts it back to the checkpoint."""
        last.parent.mkdir(exist_ok=True)
        for source, target in ((self.trunk / CURVES, last.parents[1] / CURVES), (self.checkpoint, last)):
            if source.exists():
                with atomic(target) as temporary:
                    shutil.copyfile(source, temporary)


def check_branches(study: Study) -> None:
    """Raises ConfigError where trainings of another length are others from their first step."""
    asked = next((key for key in ("branches", "branch_of") if getattr(study.run, key)), None)
    if asked and (reason := dependence(study.optimiser, type(study.method), study.budget)):
        raise ConfigError(f"run.{asked}: {reason}")


def kept_steps(study: Study) -> frozenset[int]:
    """After how many steps `run.branches` begin to cool down."""
    (unit,) = study.budget.planned()
    lengths = [study.steps_of(Budget(**{unit: value})) for value in study.run.branches]  # type: ignore[arg-type]
    return frozenset(map(study.optimiser.schedule.stable_until, lengths))


def branch_of(study: Study) -> Branch | None:
    """What `run.branch_of` names; None where it keeps no checkpoint from before this run's cool-down.

    Raises:
        UserError: there is no run, or it is another one than this but for its length.
    """
    if study.run.branch_of is None:
        return None
    trunk = Path(study.run.branch_of)
    said = f"run.branch_of={trunk}"
    if not (trunk / CONFIG).is_file():
        raise UserError(f"{said}: there is no run")
    if other := other_than(trunk, study.bound, apart=("budget",)):
        raise UserError(f"{said}: that run is another one:\n  " + "\n  ".join(other[:12]))
    until = study.optimiser.schedule.stable_until(study.steps)
    kept = {step: path for path in trunk.glob(f"checkpoints/{KEPT.format('*')}") if (step := _step(path))}
    usable = [step for step in kept if step <= until]
    if not usable:
        told = f"those of steps {', '.join(map(str, sorted(kept)))}" if kept else "none"
        logging.getLogger("vssl").warning(
            "%s: no checkpoint from before step %d, where this run begins to cool down; that run keeps %s. This one "
            "trains from its first step; run.branches of the longer one says for which budgets it keeps one",
            said, until, told,
        )  # fmt: skip
        return None
    return Branch(trunk, kept[max(usable)], max(usable))


def dependence(optimiser: Optimiser, method: type[Method], budget: Budget) -> str | None:
    """What makes the first steps of a training depend on how many there are in all, if anything does."""
    schedule = optimiser.schedule
    if schedule.after == "cosine":
        return "optim.schedule.after=cosine falls from its first step on, cooldown at its end only"
    if schedule.warmup_steps is None and schedule.warmup_fraction > 0:
        return "the warm-up is a share of all steps; optim.schedule.warmup_steps says it in steps"
    if optimiser.final_weight_decay is not None:
        return "optim.final_weight_decay is come to along all steps"
    if method.knows_its_end:
        return f"{method.__name__} has settings of its own that follow the share of all steps done"
    if budget.seconds is not None:
        return "a budget in seconds is timed for each run by itself"
    return None


def _step(path: Path) -> int:
    """0 for what has another name."""
    found = re.fullmatch(KEPT.format(r"(\d+)").replace(".ckpt", r"\.ckpt"), path.name)
    return int(found[1]) if found else 0
