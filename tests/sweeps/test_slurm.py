"""Slurm as the launcher sees it: what its scripts say, and commands that stand in for sbatch and squeue."""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import submitit

from vssl.config.errors import ConfigError, UserError, WorkError
from vssl.sweeps.launchers import slurm
from vssl.sweeps.launchers.slurm import Slurm
from vssl.sweeps.launchers.slurm_script import parameters
from vssl.sweeps.plan import Plan, plan
from vssl.sweeps.queue import Queue
from vssl.sweeps.run import launcher_of
from vssl.sweeps.state import PlanState

REFUSED = "sbatch: error: invalid partition specified: gpus"


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of commands: sbatch keeps scripts and counts jobs, squeue shows the file `queue`."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    commands = {
        "sbatch": "[ -e refuse ] && { cat refuse >&2; exit 1; }; "
        'cp "$script" "script$(ls script* 2>/dev/null | wc -l)"; '
        'echo "Submitted batch job $((6 + $(ls script* | wc -l)))"',
        "squeue": "[ -e down ] && { echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1; }; "
        "cat queue 2>/dev/null; true",
        "scancel": 'echo "$words" >>cancelled',
        "scontrol": "true",
        "srun": "true",
    }
    for name, body in commands.items():
        file = folder / name
        file.write_text(f'#!/bin/sh\nscript=$(realpath "$1" 2>/dev/null); words=$*\ncd {folder}\n{body}\n')
        file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    for name in ("LOOK_EVERY_S", "ASK_EVERY_S", "GONE_S"):
        monkeypatch.setattr(slurm, name, 0.0)
    return folder


@pytest.fixture
def sweep(tmp_path: Path) -> Plan:
    todo = plan("sweep", None, ["method=simsiam", "seed=0,1,2"], {"run.out": str(tmp_path / "runs")})
    for trial in todo.trials:
        PlanState(todo.folder).add(trial)
    return todo


def queue_of(todo: Plan, retries: int = 0) -> Queue:
    return Queue(PlanState(todo.folder), [trial.id for trial in todo.trials], retries)


def jobs_of(todo: Plan) -> list[dict[str, Any]]:
    return [json.loads((todo.folder / "trials" / one.id / "job.json").read_text()) for one in todo.trials]


def ends(todo: Plan, *statuses: Any) -> Callable[[], None]:
    """What the jobs do, one status a look: each look begins and ends the next trial."""
    steps = iter(zip(todo.trials, statuses, strict=False))

    def look() -> None:
        for trial, status in itertools.islice(steps, 1):
            PlanState(todo.folder).begin(trial.id)
            PlanState(todo.folder).end(trial.id, status, "loss is nan" if status == "failed" else None)

    return look


def script(launcher: Slurm, needed: int = 1, trials: int = 3) -> list[str]:
    """Lines of the script for an array of trials, as submitit writes it."""
    launcher.needed = needed
    executor = submitit.SlurmExecutor("/sweep/slurm", python="python")
    executor.update_parameters(**parameters(launcher, "vssl-seed-1"))
    executor.parameters["map_count"] = trials
    return executor._make_submission_file_text("work", "1").splitlines()


@pytest.mark.usefixtures("cluster")
def test_the_script_asks_for_what_a_trial_needs_and_goes_back_into_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [f"{sys.prefix}/lib", "/tmp"])
    made = launcher_of(
        {
            "_target_": "vssl.sweeps.launchers.slurm.Slurm", "minutes": 600, "partition": "gpu", "account": "video",
            "qos": "low", "jobs": 2, "gpus": 4, "cpus": 32, "mem_gb": 100, "setup": ["module load cuda"],
            "options": {"gres-flags": "enforce-binding", "exclude": "node7"}, "end_s": 300,
        }
    )  # fmt: skip
    assert isinstance(made, Slurm)
    assert [line for line in script(made, needed=4) if line] == [
        "#!/bin/bash",
        "# Parameters",
        "#SBATCH --account=video",
        "#SBATCH --array=0-2%2",
        "#SBATCH --cpus-per-task=32",
        "#SBATCH --error=/sweep/slurm/%A_%a_0_log.err",
        "#SBATCH --exclude=node7",
        "#SBATCH --gpus-per-node=4",
        "#SBATCH --gres-flags=enforce-binding",
        "#SBATCH --job-name=vssl-seed-1",
        "#SBATCH --mem=100GB",
        "#SBATCH --nodes=1",
        "#SBATCH --ntasks-per-node=1",
        "#SBATCH --open-mode=append",
        "#SBATCH --output=/sweep/slurm/%A_%a_0_log.out",
        "#SBATCH --partition=gpu",
        "#SBATCH --qos=low",
        "#SBATCH --requeue",
        "#SBATCH --signal=TERM@300",
        "#SBATCH --time=600",
        "# setup",
        "trap : TERM",
        "module load cuda",
        "export PYTHONPATH=/tmp",
        "# command",
        "export SUBMITIT_EXECUTOR=slurm",
        "srun --unbuffered --output /sweep/slurm/%A_%a_%t_log.out --error /sweep/slurm/%A_%a_%t_log.err "
        "--cpus-per-task=32 work",
        "# teardown",
        "code=$?",
        'job="${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"',
        'if [ "$code" = 143 ] && [ "$(squeue --noheader --jobs="$job" --format=%T)" = RUNNING ]; then',
        '    scontrol requeue "$job" && sleep 60',
        "fi",
        'exit "$code"',
    ]


@pytest.mark.usefixtures("cluster")
def test_several_nodes_have_a_task_a_device_and_a_place_to_meet() -> None:
    lines = script(Slurm(nodes=2, gpus=4, cpus=32), needed=8)
    for line in ("--nodes=2", "--ntasks-per-node=4", "--gpus-per-node=4", "--cpus-per-task=8"):
        assert f"#SBATCH {line}" in lines
    (meet,) = [line for line in lines if line.startswith("VSSL_MEET=")]
    assert "scontrol show hostnames" in meet and "SLURM_JOB_ID" in meet
    with pytest.raises(ConfigError, match=r"launcher\.nodes=3: run\.devices=8 cannot be divided"):
        Slurm(nodes=3).check(8)
    with pytest.raises(ConfigError, match=r"launcher\.gpus=2: a trial trains on 4 device"):
        Slurm(nodes=2, gpus=2).check(8)


@pytest.mark.parametrize("code", [0, 1, 143])
@pytest.mark.parametrize("state", ["RUNNING", "COMPLETING", ""])
def test_a_job_is_put_back_where_its_trial_was_told_to_end_and_nobody_cancelled_it(
    cluster: Path, code: int, state: str
) -> None:
    (cluster / "queue").write_text(state)
    assert put_back(cluster, code, {"SLURM_JOB_ID": "7"}) == (["7"] if code == 143 and state == "RUNNING" else [])


def test_of_an_array_the_task_alone_is_put_back(cluster: Path) -> None:
    """The job id of the last task is the array's own: squeue and scontrol would take it for all tasks."""
    (cluster / "squeue").write_text('#!/bin/sh\ncase "$*" in *=7_2\\ *) ;; *) echo RUNNING ;; esac\necho RUNNING\n')
    last = {"SLURM_JOB_ID": "7", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2"}
    assert put_back(cluster, 143, last) == ["7_2"]


def put_back(cluster: Path, code: int, variables: dict[str, str]) -> list[str]:
    """The jobs that a script puts back into the queue, whose trial has ended with `code`."""
    (cluster / "scontrol").write_text(f'#!/bin/sh\necho "$2" >>{cluster}/requeued\nexit 1\n')
    last = "\n".join(parameters(Slurm(), "name")["teardown"])
    found = subprocess.run(["bash", "-c", f"(exit {code})\n{last}"], env={**os.environ, **variables})
    assert found.returncode == code
    return (cluster / "requeued").read_text().split() if (cluster / "requeued").exists() else []


def test_trials_are_one_array_and_what_became_of_them_stands_in_their_files(
    cluster: Path, sweep: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    (cluster / "queue").write_text("")
    launcher = Slurm()
    launcher.check(1)
    queue = queue_of(sweep)
    kept = []

    def watch() -> None:
        if not kept:
            kept.extend(jobs_of(sweep))
            (cluster / "queue").write_text("".join(f"{one['job']}|{one['name']}\n" for one in kept))
        look()

    look = ends(sweep, "done", "failed", "done")
    launcher.run(sweep.folder, queue, watch)
    assert [one["job"] for one in kept] == ["7_0", "7_1", "7_2"]
    assert queue.failed == {sweep.trials[1].id}
    assert len(list(cluster.glob("script*"))) == 1
    assert not list(sweep.folder.glob("trials/*/job.json"))
    assert "slurm: submitted 3 trial(s) as job 7" in capsys.readouterr().err


def test_a_planner_that_is_started_again_submits_only_trials_whose_jobs_are_gone(cluster: Path, sweep: Plan) -> None:
    def killed() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Slurm().run(sweep.folder, queue_of(sweep), killed)
    first, second, third = jobs_of(sweep)
    file = sweep.folder / "trials" / sweep.trials[1].id / "job.json"
    file.write_text(json.dumps({**second, "job": None}))  # killed before it knew the number
    (cluster / "queue").write_text(f"{first['job']}|{first['name']}\n{second['job']}|{second['name']}\n7_9|other\n")
    look = ends(sweep, "done", "done", "done")
    again: list[str] = []

    def watch() -> None:
        again.append(jobs_of(sweep)[2]["job"]) if not again else None
        look()

    Slurm().run(sweep.folder, queue_of(sweep), watch)
    assert third["job"] == "7_2" and again == ["8"]
    assert "--array" not in (cluster / "script1").read_text()


def test_a_job_that_ends_without_its_trial_costs_a_try(cluster: Path, sweep: Plan) -> None:
    looks: list[None] = []

    def watch() -> None:
        looks.append(None)
        assert len(looks) < 20

    queue = queue_of(sweep, retries=1)
    Slurm().run(sweep.folder, queue, watch)
    assert queue.failed == {trial.id for trial in sweep.trials}
    assert len(list(cluster.glob("script*"))) == 2
    known = PlanState(sweep.folder).read(sweep.trials[0].id)
    assert known.status == "failed" and "its job 8_0 ended without it" in (known.error or "")


@pytest.mark.parametrize("cancel", [False, True])
def test_an_interrupted_planner_leaves_its_jobs_or_cancels_them(
    cluster: Path, sweep: Plan, cancel: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt() -> None:
        raise SystemExit(143)

    with pytest.raises(SystemExit):
        Slurm(cancel=cancel).run(sweep.folder, queue_of(sweep), interrupt)
    told = capsys.readouterr().err
    if cancel:
        assert (cluster / "cancelled").read_text() == "7_0 7_1 7_2\n"
        assert "cancelled 3 job(s)" in told
    else:
        assert not (cluster / "cancelled").exists()
        assert "3 job(s) go on; the same command watches them again, scancel 7 ends them" in told


def test_what_does_not_work_is_one_message(
    cluster: Path, sweep: Plan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (cluster / "refuse").write_text(REFUSED)
    with pytest.raises(UserError, match=r"sbatch took no job: invalid partition specified: gpus\n.*launcher.partition"):
        Slurm(partition="gpus").run(sweep.folder, queue_of(sweep), lambda: None)
    assert not list(sweep.folder.glob("trials/*/job.json"))
    (cluster / "down").touch()
    with pytest.raises(WorkError, match="Slurm does not answer: slurm_load_jobs error: Unable to contact"):
        Slurm().check(1)
    with pytest.raises(ConfigError, match="end_s=600 leaves a trial no time: minutes=10"):
        launcher_of({"_target_": "vssl.sweeps.launchers.slurm.Slurm", "minutes": 10, "end_s": 600})
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match=r"needs submitit.*\n.*pip install 'vssl\[slurm\]'"):
        Slurm().check(1)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"there is no sbatch on this machine\n.*login node"):
        Slurm().check(1)
