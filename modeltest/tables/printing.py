"""A result on standard output: its table, what there is to say of it, its verdict and its files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from modeltest.api import RunResult, Verdict
from modeltest.console import plain_console
from modeltest.present import Level, outcome_of, presentation_of
from modeltest.present.cells import plain
from modeltest.run.record.directory import PARTIAL_FOLDER, SCRATCH_PREFIX
from modeltest.tables.headline import title_of
from modeltest.tables.remarks import remarks

_COLOURS = {Verdict.VALID: "green", Verdict.NOISY: "yellow", Verdict.INVALID: "red"}

_PLAIN_WIDTH = 140
"""Width of a table that goes to a file or a pipe, where nothing says how wide it may be."""


def print_result(result: RunResult, directory: Path) -> None:
    """Print the table of a finished run, its verdict, and the paths of its files."""
    console = result_console()
    console.print(result_table(result))
    for table in further_tables(result):
        console.print(table)
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
    if (outcome := outcome_of(result)) is not None:
        console.print(Text.assemble("decision: ", (outcome.word, _COLOURS[outcome.tone])))
        for reason in outcome.reasons:
            console.print(f"  {reason}", soft_wrap=True)
    verdict = result.verdict.value if result.verdict else result.status
    console.print(f"verdict: {verdict}")
    for reason in result.reasons:
        console.print(f"  {reason}", soft_wrap=True)
    for warning in result.warnings:
        console.print(f"warning: {warning}", soft_wrap=True)


def result_table(result: RunResult) -> Table:
    """Return the table that suits the summary of `result`."""
    summary = result.summary
    if summary is None:
        return titled_table(title_of(result), (), ())
    shown = presentation_of(summary)
    rows = list(shown.rows(summary))
    if any(row.level is Level.GROUP for row in rows):  # there may be dozens of their parts
        rows = [row for row in rows if row.level is not Level.PART]
    cells = ([plain(cell) for cell in row.cells] for row in rows)
    return titled_table(title_of(result), [column.name for column in shown.columns], cells)


def further_tables(result: RunResult) -> Iterator[Table]:
    """Yield what else there is to see of `result`: every batch size that a max-batch search tried."""
    if result.summary is not None:
        for table in presentation_of(result.summary).tables(result.summary):
            yield titled_table(table.title, table.header, table.rows)


def titled_table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Return a table whose first column is text; the others are aligned to the right."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for index, name in enumerate(header):
        table.add_column(name, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*row)
    return table
