"""`vssl` as real processes without the seconds that importing torch takes: imported once, then forked for each command.

Reads one JSON line a command, {"words", "cwd", "env", "out", "err"}, and answers with the child's process id; the exit
code is written beside `err`, with the ending `.code`. A child ends like `python -m vssl`, through the interpreter's own
way out.
"""

import importlib
import json
import os
import signal
import sys
from typing import Any

HEAVY = (
    "vssl.sweeps.run", "vssl.report.files", "vssl.evaluation.knn", "vssl.evaluation.linear", "methods.simsiam",
    "methods.videomae", "methods.supervised", "datamodules.moving_shapes", "datamodules.video_list",
)  # fmt: skip


def serve() -> dict[str, Any] | None:
    """Forks for every line; returns what is asked, in the child."""
    signal.signal(signal.SIGCHLD, _reap)
    for line in sys.stdin:
        asked: dict[str, Any] = json.loads(line)
        with _quiet():
            pid = os.fork()
            if pid == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
                return asked
            _codes[pid] = os.path.splitext(asked["err"])[0] + ".code"
        print(pid, flush=True)
    return None


class _quiet:
    """No child is reaped before its number is known."""

    def __enter__(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])

    def __exit__(self, *_: object) -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])


_codes: dict[int, str] = {}


def _reap(*_: object) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        path = _codes.pop(pid)
        with open(f"{path}.new", "w") as file:
            file.write(str(os.waitstatus_to_exitcode(status)))
        os.replace(f"{path}.new", path)


def become(asked: dict[str, Any]) -> list[str]:
    """This process as the command would find itself: folder, environment, standard streams."""
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    os.setsid()
    for number, path in ((1, asked["out"]), (2, asked["err"])):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT, 0o666), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    return asked["words"]


if __name__ == "__main__":
    for name in HEAVY:
        importlib.import_module(name)
    from vssl.cli.main import main

    print("ready", flush=True)
    if (asked := serve()) is not None:
        sys.exit(main(become(asked)))
