"""The command line: `modeltest COMMAND ...` and the words of `run.sh`."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress

import click

from modeltest.api import PrerequisiteError
from modeltest.cli.encodings import leave_ascii, refuse_undecodable
from modeltest.cli.root import root
from modeltest.cli.terminal import flush_output, open_standard_streams
from modeltest.run.supervisor.stop_signals import SIGNALLED, interrupt_behind, raise_signals
from modeltest.run.worker.machine_errors import known_error

INTERNAL_ERROR = 70
"""Exit status of a defect in ModelTest (EX_SOFTWARE of sysexits.h)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status; an error is one line on standard error."""
    open_standard_streams()
    if arguments is None:
        leave_ascii()
    with raise_signals() as signals:
        try:
            return _run(sys.argv[1:] if arguments is None else arguments)
        except SystemExit:
            raise
        except BaseException as problem:
            # Libraries make other errors of an interrupt: after a signal, whatever ends the command is its
            # doing.
            interrupt = interrupt_behind(problem)
            if interrupt is None and signals.number is None:
                return _failed(problem)
            _say("interrupted")
            return SIGNALLED + (getattr(interrupt, "number", None) or signals.number or signal.SIGINT)


def _run(arguments: Sequence[str]) -> int:
    refuse_undecodable(arguments, os.environ)
    try:
        status = root.main(args=list(arguments), prog_name="modeltest", standalone_mode=False)
        flush_output()
    except SystemExit as end:
        # click ends the process with 1, which means an invalid run here, when the reader of a pipe is gone.
        if isinstance(end.__context__, BrokenPipeError):
            return SIGNALLED + signal.SIGPIPE
        raise
    except BrokenPipeError:
        return SIGNALLED + signal.SIGPIPE
    return status if isinstance(status, int) else 0


def _failed(problem: BaseException) -> int:
    """Say what ended the command, and return its exit status."""
    if isinstance(problem, click.ClickException):
        with suppress(OSError):
            problem.show()
        return problem.exit_code
    if isinstance(problem, click.Abort):
        problem = problem.__context__ or problem  # click makes one of a terminal that is gone
    known = known_error(problem)
    if isinstance(problem, OSError) and problem.filename is None:
        known = PrerequisiteError(f"cannot write the output: {problem.strerror or problem}")
    if known is not None:
        _say(f"error: {known}")
        return known.exit_code
    traceback.print_exception(problem)
    _say(f"error: internal error: {type(problem).__name__}: {problem}")
    return INTERNAL_ERROR


def _say(text: str) -> None:
    with suppress(OSError):  # the terminal may be gone: that is one of the reasons to end
        click.echo(text, err=True)
