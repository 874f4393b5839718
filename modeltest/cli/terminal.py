"""Standard input, output and error as every command may use them, whatever the shell has made of them.

A closed one (`>&-`) is open to nowhere: else Python has none, and the next file that is opened takes its
number, so that what a library prints ends up in a journal. What an encoding cannot spell is escaped. What
cannot be said on standard error is lost, as nobody could be told; what cannot be written to standard output
is an error.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from typing import TextIO

_INPUT, _OUTPUT, _ERROR = range(3)


def open_standard_streams() -> None:
    """Make `sys.stdout` and `sys.stderr` fit to be written to; those that somebody has replaced stay."""
    for descriptor in (_INPUT, _OUTPUT, _ERROR):
        if not _is_open(descriptor):
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    if sys.stdin is None:
        sys.stdin = _text(io.FileIO(_INPUT, "r", closefd=False))
    if sys.stdout is None:
        sys.stdout = _text(io.FileIO(_OUTPUT, "w", closefd=False))
    elif isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        sys.stderr = _text(_IgnoringWriteErrors(_ERROR), encoding=getattr(sys.stderr, "encoding", None))


def flush_output() -> None:
    """Write what standard output still holds.

    Raises: OSError; what is held is then dropped, so that Python does not fail again when it ends.
    """
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
        raise


class _IgnoringWriteErrors(io.RawIOBase):
    """A descriptor whose write errors are ignored: its other end may be closed, full or hung up."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        view = memoryview(data)  # type: ignore[arg-type]
        with suppress(OSError):
            return os.write(self._descriptor, view)
        return view.nbytes


def _text(raw: io.RawIOBase, encoding: str | None = None) -> TextIO:
    buffer = io.BufferedReader(raw) if raw.readable() else io.BufferedWriter(raw)
    return io.TextIOWrapper(
        buffer, encoding=encoding or "utf-8", errors="backslashreplace", line_buffering=True
    )


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError as problem:
        return problem.errno != errno.EBADF
    return True
