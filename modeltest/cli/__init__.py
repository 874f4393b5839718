"""The command line: `modeltest COMMAND ...` and the words of `run.sh`."""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType

import click

from modeltest.api import ModelTestError, PrerequisiteError
from modeltest.cli.root import root

INTERNAL_ERROR = 70
"""Exit status of a defect in ModelTest (EX_SOFTWARE of sysexits.h)."""

SIGNALLED = 128
"""What a shell adds to the number of the signal that ended a process."""


class _Stopped(KeyboardInterrupt):
    """A signal asks the process to end; what it has begun is cleaned up as at Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status; an error is one line on standard error."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup has it ignored
            signal.signal(number, _stop)
    try:
        return _run(sys.argv[1:] if arguments is None else arguments)
    except ModelTestError as problem:
        _say(f"error: {problem}")
        return problem.exit_code
    except click.ClickException as problem:
        problem.show()
        return problem.exit_code
    except (KeyboardInterrupt, click.Abort, OSError) as problem:
        # click makes an Abort of a KeyboardInterrupt, or fails to when it cannot write to the terminal.
        interrupt = _interrupt_behind(problem)
        if interrupt is None:
            _say(f"error: cannot write the output: {getattr(problem, 'strerror', None) or problem}")
            return PrerequisiteError.exit_code
        _say("interrupted")
        return SIGNALLED + (interrupt.number if isinstance(interrupt, _Stopped) else signal.SIGINT)
    except Exception as problem:
        traceback.print_exc()
        _say(f"error: internal error: {type(problem).__name__}: {problem}")
        return INTERNAL_ERROR


def _run(arguments: Sequence[str]) -> int:
    try:
        status = root.main(args=list(arguments), prog_name="modeltest", standalone_mode=False)
        sys.stdout.flush()
    except SystemExit as end:
        # click ends the process with 1, which means an invalid run here, when the reader of a pipe is gone.
        if isinstance(end.__context__, BrokenPipeError):
            return SIGNALLED + signal.SIGPIPE
        raise
    return status if isinstance(status, int) else 0


def _interrupt_behind(problem: BaseException | None) -> KeyboardInterrupt | None:
    while problem is not None and not isinstance(problem, KeyboardInterrupt):
        problem = problem.__cause__ or problem.__context__
    return problem


def _stop(number: int, _frame: FrameType | None) -> None:
    raise _Stopped(number)


def _say(text: str) -> None:
    with suppress(OSError):  # the terminal may be gone: that is one of the reasons to end
        click.echo(text, err=True)
