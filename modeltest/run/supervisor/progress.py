"""Progress of a run on standard error: a live bar on a terminal, sparse lines in a log."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import Any, Protocol, TextIO, cast

import click

LINE_INTERVAL_S = 10.0
"""How often a log that is no terminal gets a line."""

RATE_FROM_S = 1.0
"""How long work must have gone on for its rate to mean anything."""


class Progress(Protocol):
    """Where the supervisor says how far a run is.

    Write errors are ignored: a closed terminal or pipe must not end a run.
    """

    def line(self, text: str) -> None:
        """Print a line that stays."""

    def phase(self, name: str) -> None:
        """Say what is being done now."""

    def start(self, done: int) -> None:
        """Say how much an earlier worker had done: it does not count into the rate."""

    def update(self, done: int, total: int | None, unit: str, note: str) -> None:
        """Say how much of it is done; `total` is `None` when that cannot be known."""

    def close(self) -> None:
        """Stop: nothing is printed afterwards."""


def progress_for(stream_is_terminal: bool) -> Progress:
    """Return the progress that suits standard error."""
    return BarProgress() if stream_is_terminal else LineProgress()


def told(*, is_told: bool) -> Progress:
    """Return the progress that suits standard error, or one that says nothing to anybody."""
    if not is_told:
        return Silence()
    return progress_for(sys.stderr is not None and sys.stderr.isatty())


def aloud(progress: Progress, text: str) -> str:
    """Return `text` where `progress` says something to somebody, and nothing otherwise."""
    return "" if isinstance(progress, Silence) else text


class Silence:
    """Says nothing."""

    def line(self, text: str) -> None:
        """Say nothing."""

    def phase(self, name: str) -> None:
        """Say nothing."""

    def start(self, done: int) -> None:
        """Say nothing."""

    def update(self, done: int, total: int | None, unit: str, note: str) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Say nothing."""


class LineProgress:
    """Plain lines, at most one every `LINE_INTERVAL_S` and one at the end."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self._shown = self._begin
        self._before = 0

    def line(self, text: str) -> None:
        """Print `text`."""
        _say(text)

    def phase(self, name: str) -> None:
        """Print the phase and start its clock."""
        self._begin = self._shown = time.perf_counter()
        self._before = 0
        _say(f"{name} ...")

    def start(self, done: int) -> None:
        """Start the clock again, with `done` at its beginning."""
        self._begin = self._shown = time.perf_counter()
        self._before = done

    def update(self, done: int, total: int | None, unit: str, note: str) -> None:
        """Print how far it is when the last line is old or all is done."""
        now = time.perf_counter()
        if done != total and now - self._shown < LINE_INTERVAL_S:
            return
        self._shown = now
        state = _describe(done, total, unit, now - self._begin, before=self._before)
        _say(state + (f" ({note})" if note else ""))

    def close(self) -> None:
        """Nothing to clear."""


class BarProgress:
    """A live bar by rich."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        from modeltest.console import plain_console

        self._bar = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[state]}", markup=False),
            TimeElapsedColumn(),
            console=plain_console(file=cast(TextIO, _Forgiving(sys.stderr))),
            transient=True,
            # Drawing takes time from the cores that are being measured.
            refresh_per_second=2,
        )
        self._task: Any = None
        self._begin = time.perf_counter()
        self._before = 0

    def line(self, text: str) -> None:
        """Print `text` above the bar."""
        self._bar.console.print(text, soft_wrap=True)

    def phase(self, name: str) -> None:
        """Begin a new bar."""
        self._bar.start()
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._begin = time.perf_counter()
        self._before = 0
        self._task = self._bar.add_task(name, total=None, state="")

    def start(self, done: int) -> None:
        """Start the clock again, with `done` at its beginning."""
        self._begin = time.perf_counter()
        self._before = done

    def update(self, done: int, total: int | None, unit: str, note: str) -> None:
        """Move the bar."""
        elapsed_s = time.perf_counter() - self._begin
        state = note or _describe(done, total, unit, elapsed_s, before=self._before)
        self._bar.update(self._task, completed=done, total=total, state=state)

    def close(self) -> None:
        """Remove the bar."""
        self._bar.stop()


class _Forgiving:
    """A stream for rich, whose own thread writes too: what cannot be written is lost."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _say(text: str) -> None:
    with suppress(OSError):
        click.echo(text, err=True)


def _describe(done: int, total: int | None, unit: str, elapsed_s: float, *, before: int) -> str:
    if total is None:
        return f"{done} {unit}"
    if elapsed_s < RATE_FROM_S or done <= before:
        return f"{done}/{total} {unit}"
    rate = (done - before) / elapsed_s
    left = f", {_clock((total - done) / rate)} left" if done < total else ""
    return f"{done}/{total} {unit}, {rate:.{0 if rate >= 100 else 1}f}/s{left}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
