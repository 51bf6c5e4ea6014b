"""Outcomes: exit codes, one message on stderr, signals."""

import dataclasses
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from vssl import __version__
from vssl.cli import main as cli
from vssl.cli.arguments import Arguments
from vssl.config.errors import ConfigError, UserError, WorkError

Run = Callable[[Arguments], int]


def stub(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setitem(cli.COMMANDS, "doctor", dataclasses.replace(cli.COMMANDS["doctor"], run=run))


def raising(error: BaseException) -> Run:
    def run(arguments: Arguments) -> int:
        raise error

    return run


@pytest.mark.parametrize("code", [0, 1])
def test_the_exit_code_is_that_of_the_command(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    stub(monkeypatch, lambda arguments: code)
    assert cli.main(["doctor"]) == code


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (UserError("this is wrong", "do that"), 2, "error: this is wrong\n  hint: do that\n"),
        (ConfigError("no such key"), 2, "error: no such key\n"),
        (WorkError("the disk is full"), 1, "error: the disk is full\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (SystemExit(143), 143, "terminated\n"),
        (SystemExit(), 0, ""),
    ],
)
def test_outcomes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, told: str
) -> None:
    stub(monkeypatch, raising(error))
    assert cli.main(["doctor"]) == code
    out, err = capsys.readouterr()
    assert (out, err) == ("", told)


def test_a_bug_ends_in_one_message_with_type_text_and_place(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stub(monkeypatch, raising(ZeroDivisionError("by zero")))
    assert cli.main(["doctor"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ZeroDivisionError: by zero (")
    assert "test_main.py, line " in err
    assert "run again with --traceback" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("error", [ZeroDivisionError("by zero"), UserError("wrong")])
def test_traceback_shows_where(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    stub(monkeypatch, raising(error))
    assert cli.main(["doctor", "--traceback"]) in (1, 2)
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert "run again" not in err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["pretain"], "vssl has no command 'pretain'; did you mean 'pretrain'?"),
        (["--verion"], "vssl has no flag '--verion'"),
        (["pretrain", "--hlep"], "pretrain has no flag '--hlep'; did you mean '--help'?"),
        (["pretrain", "metod=simsiam"], "metod: there is no 'metod'; did you mean 'method'?"),
        (["pretrain", "method=simsam"], "did you mean 'simsiam'?; choices: "),
        (["pretrain", "runs/x"], "pretrain: 'runs/x' is not of the form key=value"),
        (["pretrain", "seed=0,1"], "only sweep and bench take axes"),
        (["evaluate"], "evaluate needs one ENCODER, 0 given"),
        (["evaluate", "a", "encoder=b"], "evaluate needs one ENCODER, 2 given"),
        (["bench"], "bench needs the NAME of a bench, given is none"),
        (["bench", "quik"], "given is 'quik'; did you mean 'quick'?"),
        (["table", "no/such/folder"], "there is no folder no/such/folder"),
        (["table", "seed=1"], "table does not take seed=1; it takes out="),
        (["data"], "data needs to be told what to do"),
        (
            ["data", "chek", "clips"],
            "data cannot 'chek'; did you mean 'check'?\n  hint: it can: check, prepare, overlap,",
        ),
        (["doctor", "seed=1"], "doctor does not take seed=1; it takes no keys"),
        (["config", "--config-dir", "no/such/folder"], "there is no such folder"),
    ],
)
def test_wrong_requests_exit_with_2(capsys: pytest.CaptureFixture[str], words: list[str], told: str) -> None:
    assert cli.main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert told in err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


def test_nothing_said_shows_help_and_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert "usage: vssl COMMAND" in capsys.readouterr().err


WAITING = """
import dataclasses, sys, time
from vssl.cli import main as cli

def wait(arguments):
    print("ready", flush=True)
    time.sleep(60)

cli.COMMANDS["doctor"] = dataclasses.replace(cli.COMMANDS["doctor"], run=wait)
sys.exit(cli.main(["doctor"]))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_before_training_end_with_their_code(number: signal.Signals, code: int) -> None:
    command = [sys.executable, "-c", WAITING]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert "Traceback" not in err


def test_a_reader_that_leaves_is_no_traceback() -> None:
    command = f"{sys.executable} -c 'print(1)' && {sys.executable} -m vssl --help | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""


def test_the_signal_handler_of_the_caller_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    stub(monkeypatch, lambda arguments: 0)
    cli.main(["doctor"])
    assert signal.getsignal(signal.SIGTERM) is before
