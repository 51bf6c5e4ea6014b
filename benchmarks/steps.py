"""Where a training step of `vssl bench quick` spends its time, for every method, by number of threads.

Run:     python benchmarks/steps.py [quick|real] [key=value ...]
Prints:  milliseconds a step for loading, augmentation, forward + backward, optimiser; steps/s; GFLOP/s, beside the rate
         of a plain 2048 x 2048 matrix product in the same process. Medians; threads are alternated step by step, since
         load from elsewhere changes a shared machine's speed within seconds.
"""

import statistics
import sys
from typing import Any

from vssl import _torchvision  # noqa: F401  (before anything that imports torchvision)

# isort: split
import torch
from rich.console import Console
from rich.table import Table
from timing import matrix_rate, timed

from vssl.config.paths import take_paths
from vssl.sweeps.plan import Trial, plan
from vssl.training.build import assemble

PARTS = ("load", "augment", "forward + backward", "optimiser")
THREADS = (1, 2)
STEPS = 12


def main(words: list[str]) -> None:
    name = words.pop(0) if words and "=" not in words[0] else "quick"
    overrides, paths = take_paths(words)
    table = Table(title=f"bench {name}: median ms a step of {STEPS} (torch {torch.__version__})")
    for column in ("method", "threads", *PARTS, "steps/s", "GFLOP/s", "matrix product"):
        table.add_column(column, justify="left" if column == "method" else "right")
    limit = {}
    for threads in THREADS:
        torch.set_num_threads(threads)
        limit[threads] = matrix_rate()
    for trial in plan(name, overrides, paths).trials:
        for threads, (cost, times) in measure(trial).items():
            middle = {part: statistics.median(times[part]) for part in PARTS}
            total = sum(middle.values())
            table.add_row(
                trial.composed.choices["method"], str(threads), *(f"{1e3 * middle[part]:.1f}" for part in PARTS),
                f"{1 / total:.1f}", f"{cost / total / 1e9:.0f}", f"{limit[threads] / 1e9:.0f}",
            )  # fmt: skip
    Console().print(table)


def measure(trial: Trial) -> dict[int, tuple[float, dict[str, list[float]]]]:
    """{threads: (FLOPs a step, {part: seconds of each step})}."""
    study = assemble(trial.composed, trial.bound)
    study.prepare()
    method, data = study.method, study.datamodule
    optimiser = study.optimiser.build(method, study.train.batch_size, study.steps)["optimizer"]
    loader = iter(data.train_dataloader())
    found = {threads: {part: list[float]() for part in PARTS} for threads in THREADS}

    def backward(batch: dict[str, Any]) -> None:
        method.losses(batch["views"], batch)["loss"].backward()  # type: ignore[arg-type]

    def update() -> None:
        optimiser.step()
        optimiser.zero_grad()

    for step in range(STEPS + 2):
        for threads in THREADS:
            torch.set_num_threads(threads)
            times = found[threads] if step >= 2 else {part: [] for part in PARTS}
            batch = timed(times["load"], next, loader)
            augmented = timed(times["augment"], data.augment, batch)
            timed(times["forward + backward"], backward, augmented)
            timed(times["optimiser"], update)
    return {threads: (study.flops_per_step, times) for threads, times in found.items()}


if __name__ == "__main__":
    main(sys.argv[1:])
