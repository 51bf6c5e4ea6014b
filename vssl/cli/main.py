"""`vssl`: finds the command, turns every outcome into an exit code and one message."""

import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from vssl import __version__
from vssl.cli import bench, checkpoint, config, data, doctor, evaluate, predict, pretrain, sweep, table
from vssl.cli.arguments import HELP, TRACEBACK, read_arguments
from vssl.cli.command import Command
from vssl.cli.help import command_help, overview
from vssl.config.errors import UserError, nearest

COMMANDS: dict[str, Command] = {
    part.COMMAND.name: part.COMMAND
    for part in (pretrain, evaluate, predict, sweep, bench, table, data, checkpoint, config, doctor)
}

DONE, FAILED, WRONG, INTERRUPTED, TERMINATED = 0, 1, 2, 128 + signal.SIGINT, 128 + signal.SIGTERM


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Returns:
        0 done; 1 the work failed; 2 the request is wrong; 130 interrupted; 143 terminated.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    show_traceback = TRACEBACK in words
    with _terminable():
        try:
            code = _dispatch(words)
            sys.stdout.flush()
            return code
        except UserError as error:
            return _fail(f"error: {error}", error.exit_code, show_traceback)
        except KeyboardInterrupt:
            return _fail("interrupted", INTERRUPTED, show_traceback)
        except SystemExit as stop:
            return _stopped(stop.code)
        except BrokenPipeError:
            _drop_output()  # `vssl config | head`: nobody reads on
            return FAILED
        except Exception as error:  # noqa: BLE001  (the outermost border: a bug still ends in one message)
            if isinstance(error, OSError) and not error.filename and (full := _output_trouble()):
                return _fail(f"error: cannot write to the standard output: {full}", FAILED, show_traceback)
            hint = "" if show_traceback else f"\n  hint: run again with {TRACEBACK}"
            return _fail(f"error: {type(error).__name__}: {error} ({_place(error)}){hint}", FAILED, show_traceback)


def _dispatch(words: Sequence[str]) -> int:
    if not words:
        print(overview(COMMANDS.values()), file=sys.stderr)
        return WRONG
    name, *rest = words
    if name in HELP:
        print(overview(COMMANDS.values()))
        return DONE
    if name == "--version":
        print(__version__)
        return DONE
    if name not in COMMANDS:
        what = "flag" if name.startswith("-") else "command"
        raise UserError(
            f"vssl has no {what} '{name}'{nearest(name, COMMANDS)}", f"commands: {', '.join(COMMANDS)}; see vssl --help"
        )
    command, rest = chosen(COMMANDS[name], rest)
    arguments = read_arguments(
        command.name, rest, first=command.first, own_paths=command.paths, configured=command.configured,
        flags=command.flags, own_keys=[key.name for key in command.keys],
    )  # fmt: skip
    if not arguments.flags.isdisjoint(HELP):
        print(command_help(command, arguments))
        return DONE
    _log_to_stderr()
    return command.run(arguments)


def chosen(command: Command, words: list[str]) -> tuple[Command, list[str]]:
    """The part that the first word names (`data check`), where the command has parts, and the words after it."""
    if not command.parts or not words or words[0].startswith("-"):
        return command, words
    parts = {part.name.removeprefix(f"{command.name} "): part for part in command.parts}
    if words[0] not in parts and command.first is not None:
        return command, words
    if words[0] not in parts:
        told = f"{command.name} cannot '{words[0]}'{nearest(words[0], parts)}"
        raise UserError(told, f"it can: {', '.join(parts)}; see vssl {command.name} --help")
    return parts[words[0]], words[1:]


def _log_to_stderr() -> None:
    """What the framework tells while it works, where no progress bar can be shown; results go to stdout."""
    logger = logging.getLogger("vssl")
    if not logger.handlers:
        logger.addHandler(logging.StreamHandler())
        logger.setLevel(logging.INFO)


def _fail(message: str, code: int, show_traceback: bool) -> int:
    if show_traceback:
        traceback.print_exc()
    print(message, file=sys.stderr)
    return code


def _output_trouble() -> str | None:
    """Why nothing more can be written to stdout (`vssl table > file` on a full disk); None where something can."""
    try:
        print(flush=True)  # what failed to be written is kept nowhere, so that a flush alone may succeed
    except OSError as error:
        _drop_output()
        return error.strerror
    return None


def _drop_output() -> None:
    """Without this the interpreter tries once more when it ends, and complains."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _stopped(code: object) -> int:
    """The exit code of a SystemExit, which a training raises after a signal."""
    if isinstance(code, str):
        print(code, file=sys.stderr)
        return FAILED
    if code in (INTERRUPTED, TERMINATED):
        print("interrupted" if code == INTERRUPTED else "terminated", file=sys.stderr)
    return code if isinstance(code, int) else DONE


def _place(error: BaseException) -> str:
    """File and line of the innermost frame outside installed packages, where a reader can look."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "site-packages" not in frame.filename] or list(frames)
    return f"{ours[-1].filename}, line {ours[-1].lineno}"


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends the command with 143, also during imports and scans; a training installs its own handler."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(TERMINATED)
