"""What the script of a job says, as submitit's parameters."""

import os
import shlex
import signal
from typing import TYPE_CHECKING, Any

from vssl.sweeps.launchers.base import own_paths

if TYPE_CHECKING:
    from vssl.sweeps.launchers.slurm import Slurm

ENDED = 128 + signal.SIGTERM

# The shell outlives a signal to the whole job, to see what became of the trial.
BEFORE = ("trap : TERM",)
# Told to end, the trial has written its checkpoint. A job that Slurm still counts as running was told so by its time
# limit, by a preemption that leaves it time, or by hand: it is put back into the queue. One that was cancelled is not.
# SLURM_JOB_ID will not do for a name: that of an array's last task is the number of the whole array.
AFTER = (
    "code=$?",
    'job="${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"',
    f'if [ "$code" = {ENDED} ] && [ "$(squeue --noheader --jobs="$job" --format=%T)" = RUNNING ]; then',
    '    scontrol requeue "$job" && sleep 60',
    "fi",
    'exit "$code"',
)
# Ranks of a training on several nodes meet at the first of them.
MEET = (
    'VSSL_MEET="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1):$((20000 + SLURM_JOB_ID % 20000))"',
    "export VSSL_MEET VSSL_MEET_KEY=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \\n')",
)


def parameters(launcher: "Slurm", name: str) -> dict[str, Any]:
    """Of `submitit.SlurmExecutor.update_parameters`."""
    tasks = launcher.needed // launcher.nodes if launcher.nodes > 1 else 1
    cpus = None if launcher.cpus is None else max(1, launcher.cpus // tasks)
    found = {
        "job_name": name,
        "time": launcher.minutes,
        "partition": launcher.partition,
        "account": launcher.account,
        "qos": launcher.qos,
        "nodes": launcher.nodes,
        "ntasks_per_node": tasks,
        "cpus_per_task": cpus,
        "srun_args": None if cpus is None else [f"--cpus-per-task={cpus}"],  # since Slurm 22.05 srun takes one else
        "gpus_per_node": launcher.gpus,
        "mem": None if launcher.mem_gb is None else f"{launcher.mem_gb}GB",
        "array_parallelism": launcher.jobs,
        "wckey": None,
        "setup": [
            *BEFORE, *launcher.setup, *_paths(), *(MEET if launcher.nodes > 1 else ()),
        ],
        "teardown": list(AFTER),
        "additional_parameters": {
            "requeue": True, "signal": f"TERM@{launcher.end_s}",
            **{key.replace("_", "-"): value for key, value in launcher.options.items()},
        },
    }  # fmt: skip
    return {key: value for key, value in found.items() if value is not None or key == "wckey"}


def _paths() -> list[str]:
    own = own_paths()
    return [f"export PYTHONPATH={shlex.quote(os.pathsep.join(own))}"] if own else []
