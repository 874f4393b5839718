"""Progress of a run on standard error: a live bar on a terminal, sparse lines in a log."""

from __future__ import annotations

import time
from typing import Any, Protocol

import click

LINE_INTERVAL_S = 10.0
"""How often a log that is no terminal gets a line."""


class Progress(Protocol):
    """Where the supervisor says how far a run is."""

    def line(self, text: str) -> None:
        """Say something that stays."""

    def phase(self, name: str) -> None:
        """Say what is being done now."""

    def update(self, done: int, total: int | None, unit: str, note: str) -> None:
        """Say how much of it is done; `total` is `None` when that cannot be known."""

    def close(self) -> None:
        """Say no more."""


def progress_for(stream_is_terminal: bool) -> Progress:
    """Return the progress that suits standard error."""
    return BarProgress() if stream_is_terminal else LineProgress()


class LineProgress:
    """Plain lines, at most one every `LINE_INTERVAL_S` and one at the end."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self._shown = self._begin

    def line(self, text: str) -> None:
        """Print `text`."""
        click.echo(text, err=True)

    def phase(self, name: str) -> None:
        """Print the phase and start its clock."""
        self._begin = self._shown = time.perf_counter()
        click.echo(f"{name} ...", err=True)

    def update(self, done: int, total: int | None, unit: str, note: str) -> None:
        """Print how far it is when the last line is old or all is done."""
        now = time.perf_counter()
        if done != total and now - self._shown < LINE_INTERVAL_S:
            return
        self._shown = now
        click.echo(_describe(done, total, unit, now - self._begin) + (f" ({note})" if note else ""), err=True)

    def close(self) -> None:
        """Nothing to clear."""


class BarProgress:
    """A live bar by rich."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task: Any = None
        self._begin = time.perf_counter()

    def line(self, text: str) -> None:
        """Print `text` above the bar."""
        self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def phase(self, name: str) -> None:
        """Begin a new bar."""
        self._bar.start()
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._begin = time.perf_counter()
        self._task = self._bar.add_task(name, total=None, state="")

    def update(self, done: int, total: int | None, unit: str, note: str) -> None:
        """Move the bar."""
        state = note or _describe(done, total, unit, time.perf_counter() - self._begin)
        self._bar.update(self._task, completed=done, total=total, state=state)

    def close(self) -> None:
        """Remove the bar."""
        self._bar.stop()


def _describe(done: int, total: int | None, unit: str, elapsed_s: float) -> str:
    rate = done / elapsed_s if elapsed_s > 0 else 0.0
    if total is None:
        return f"{done} {unit}"
    left = f", {_clock((total - done) / rate)} left" if rate > 0 and done < total else ""
    return f"{done}/{total} {unit}, {rate:.3g}/s{left}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
