"""The command line: `modeltest COMMAND ...` and the words of `run.sh`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from types import FrameType

import click

from modeltest.api import ModelTestError
from modeltest.cli.root import root

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status; an error is one line on standard error."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        status = root.main(
            args=list(sys.argv[1:] if arguments is None else arguments),
            prog_name="modeltest",
            standalone_mode=False,
        )
    except ModelTestError as problem:
        click.echo(f"error: {problem}", err=True)
        return problem.exit_code
    except click.ClickException as problem:
        problem.show()
        return problem.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output went away; say nothing more
        return 0
    return status if isinstance(status, int) else 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
