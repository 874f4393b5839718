"""What Python is told when a run or a suite was stopped by a signal."""

from __future__ import annotations

from pathlib import Path


class RunInterrupted(KeyboardInterrupt):
    """A signal has stopped a run or a suite. Its workers are gone; what was done is in `directory`.

    `resume=directory` goes on from there. It is a `KeyboardInterrupt`, so that whatever ends a program at
    Ctrl-C still does.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(f"stopped; resume={str(directory)!r} goes on from there")
        self.directory = directory
