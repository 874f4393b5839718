"""A result on standard output: its table, what there is to say of it, its verdict and its files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from modeltest.api import MaxBatchSummary, RunResult
from modeltest.console import plain_console
from modeltest.run.record.directory import PARTIAL_FOLDER, SCRATCH_PREFIX
from modeltest.tables.headline import title_of
from modeltest.tables.remarks import remarks
from modeltest.tables.rows import PROBE_HEADER, header_of, probe_rows, rows_of

_PLAIN_WIDTH = 140
"""Width of a table that goes to a file or a pipe, where nothing says how wide it may be."""


def print_result(result: RunResult, directory: Path) -> None:
    """Print the table of a finished run, its verdict, and the paths of its files."""
    console = result_console()
    console.print(result_table(result))
    if isinstance(result.summary, MaxBatchSummary):
        console.print(probe_table(result.summary))
    print_verdict(console, result)
    for path in files_of(directory):
        console.print(str(path), soft_wrap=True)


def files_of(directory: Path) -> list[Path]:
    """Return the files of a run in the order of their names, a partial result last; a folder is one."""
    files: list[Path] = []
    for folder in (directory, directory / PARTIAL_FOLDER):
        found = folder.iterdir() if folder.is_dir() else ()
        files += sorted(path for path in found if not path.name.startswith((SCRATCH_PREFIX, PARTIAL_FOLDER)))
    return files


def result_console() -> Console:
    """Return a console for results: as wide as the terminal, or wide enough when there is none."""
    console = plain_console()
    return console if console.is_terminal else plain_console(width=_PLAIN_WIDTH)


def print_rows(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a plain list as a table; long cells are folded, never cut."""
    table = Table(box=box.SIMPLE_HEAD)
    for name in header:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*row)
    result_console().print(table)


def print_verdict(console: Console, result: RunResult) -> None:
    """Print what the engine did and each case reached, what stopped it, verdict, reasons and warnings."""
    for line in remarks(result):
        console.print(line, soft_wrap=True)
    verdict = result.verdict.value if result.verdict else result.status
    console.print(f"verdict: {verdict}")
    for reason in result.reasons:
        console.print(f"  {reason}", soft_wrap=True)
    for warning in result.warnings:
        console.print(f"warning: {warning}", soft_wrap=True)


def result_table(result: RunResult) -> Table:
    """Return the table that suits the summary of `result`."""
    return _table(title_of(result), header_of(result.summary), rows_of(result.summary))


def probe_table(summary: MaxBatchSummary) -> Table:
    """Return every batch size a max-batch search tried, with its trials and what they decide."""
    return _table("batch sizes tried", PROBE_HEADER, probe_rows(summary))


def _table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for index, name in enumerate(header):
        table.add_column(name, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*row)
    return table
