"""Files that hang, crash or grow cost their own verdict and nothing else."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import alive, gone
from tests.video.upkeep.check_faults import look
from vssl.config.errors import WorkError
from vssl.video.decoding.errors import Limits
from vssl.video.upkeep.check_all import check_all
from vssl.video.upkeep.pool import PoolSettings

MakeVideo = Callable[..., Path]


def test_files_are_shared_out_and_each_is_told_once() -> None:
    paths = [f"{number}.mp4" for number in range(200)]
    found = list(check_all(paths, PoolSettings(workers=3), look))
    assert sorted(one.path for one in found) == sorted(paths)
    pids = {int(one.reason) for one in found}
    assert 1 <= len(pids) <= 3 and os.getpid() not in pids
    assert not any(alive(pid) for pid in pids)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_hangs_or_crashes_harms_no_other_file(workers: int) -> None:
    bad = {
        "hang.mp4": ("too_slow", "not decoded within 2 s (timeout_s)"),
        "crash.mp4": ("unreadable", "the process that decoded it was killed by SIGSEGV"),
        "killed.mp4": (
            "unreadable",
            "the process that decoded it was killed by SIGKILL; the machine was out of memory, perhaps",
        ),
        "exit.mp4": ("unreadable", "the process that decoded it ended with exit code 7"),
    }
    good = [f"{number}.mp4" for number in range(8)]
    paths = [path for pair in zip(good, [*bad, *bad], strict=True) for path in pair][:12] + good[6:]
    found = list(check_all(list(dict.fromkeys(paths)), PoolSettings(workers=workers, timeout_s=2), look))
    verdicts = {one.path: (one.verdict, one.reason) for one in found}
    assert len(found) == len(verdicts) == 12
    assert {path: verdicts[path] for path in bad} == bad
    assert all(verdicts[path][0] == "ok" for path in good)


def test_leaving_early_ends_the_workers() -> None:
    findings = check_all(["first.mp4", *(f"hang{n}.mp4" for n in range(5))], PoolSettings(workers=2), look)
    pid = int(next(findings).reason)
    assert alive(pid)
    findings.close()
    assert not alive(pid)


def test_memory_is_bounded_for_each_file(tmp_path: Path, make_video: MakeVideo) -> None:
    small, large = make_video(tmp_path / "a.mp4", frames=5), make_video(tmp_path / "b.mp4", frames=2, size=(2160, 4096))
    tight = PoolSettings(workers=1, memory_bytes=20_000_000)
    found = {one.path: one for one in check_all([str(large), str(small)], tight)}
    assert (found[str(small)].verdict, found[str(small)].frames) == ("ok", 5)
    assert (found[str(large)].verdict, found[str(large)].frames) == ("too_large", 0)
    assert "more memory than this process may have" in found[str(large)].reason
    (ample,) = check_all([str(large)], PoolSettings(workers=1))
    assert (ample.verdict, ample.frames) == ("ok", 2)


def test_memory_of_the_worker_itself_is_not_counted(tmp_path: Path, make_video: MakeVideo) -> None:
    (found,) = check_all([str(make_video(tmp_path / "a.mp4"))], PoolSettings(memory_bytes=10_000_000))
    assert found.verdict == "ok"


def test_a_worker_that_does_not_start_is_no_fault_of_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(WorkError, match="a worker does not start: ended with exit code 1"):
        list(check_all(["a.mp4"], PoolSettings(workers=1), look))


def test_modules_of_the_working_directory_are_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit('the wrong numpy')")
    monkeypatch.chdir(tmp_path)
    (found,) = check_all(["a.mp4"], PoolSettings(workers=1), look)
    assert found.verdict == "ok"


ORPHANING = """
import os, signal, sys
from tests.video.upkeep.check_faults import look
from vssl.video.upkeep import check_all, pool

pool.GRACE_S = 0
findings = check_all.check_all(sys.argv[1:], pool.PoolSettings(workers=1, timeout_s=1), look)
print(next(findings).reason, flush=True)
{then}
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(
    ("second", "then"),
    [
        ("b.mp4", ""),  # its pipe ends
        # The file is begun when the next finding is asked for.
        ("hang.mp4", "signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGKILL))\n"
                     "signal.setitimer(signal.ITIMER_REAL, 0.3)\nnext(findings)"),
    ],
)  # fmt: skip
def test_workers_do_not_outlive_a_parent_that_is_killed(second: str, then: str) -> None:
    command = [sys.executable, "-c", ORPHANING.format(then=then), "a.mp4", second]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert parent.wait(20) == -signal.SIGKILL
    assert gone([pid])


def test_workers_do_not_hear_the_signals_that_a_terminal_sends() -> None:
    findings = check_all([f"{number}.mp4" for number in range(20)], PoolSettings(workers=1), look)
    pid = int(next(findings).reason)
    os.kill(pid, signal.SIGINT)
    os.kill(pid, signal.SIGTERM)
    assert {one.reason for one in findings} == {str(pid)}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"workers": 0}, "workers is 0, allowed is at least 1"),
        ({"timeout_s": 0.0}, "timeout_s is 0.0, allowed is 0.1 to 604800"),
        ({"timeout_s": float("nan")}, "timeout_s is nan"),
        ({"memory_bytes": 1000}, r"memory_bytes is 1000, allowed is 1e\+06 to 1e\+15"),
    ],
)
def test_settings_are_checked(wrong: dict[str, float], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        PoolSettings(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["pixels", "frames", "seconds", "output_bytes", "decoded_pixels"])
def test_limits_are_checked(name: str) -> None:
    with pytest.raises(ValueError, match=f"limits.{name} is 0, allowed is"):
        Limits(**{name: 0})
