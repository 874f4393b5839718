"""`modeltest quickstart`: every kind of run once, on a tiny model made on the spot."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modeltest import registry
from modeltest.api import RunResult, RunSpec, Verdict
from modeltest.start import python_command

if TYPE_CHECKING:
    from rich.console import Console

RUNS = (
    "hf_fp32 sample_BoolQ 8 llama {model} 1",
    "hf_fp32 sample_CEval 5 8 llama {model} 1",
    "hf_fp32 sample_MMLU 5 8 llama {model} 1",
    "hf_fp32 performance [[64,32],[32,16]] 1 llama {model} 1",
    "hf_fp32 performance_maxbs [[64,32]] [[1,16]] 20 llama {model} 1",
)
"""The words of each run, as a user would type them after `bash run.sh`, but for `--quick`."""

PAGE = "report.html"


@click.command()
@click.option(
    "--output",
    "output_dir",
    envvar="MODELTEST_OUTPUT_DIR",
    default="outputs",
    show_default=True,
    metavar="DIR",
    help="Where the demo model and the run directories are made.",
)
def quickstart(output_dir: str) -> int:
    """Build a tiny demo model and run every kind of task on it, on the CPU: about half a minute.

    The numbers say nothing about any real model; the files are exactly those of a real run.
    """
    model = Path(output_dir) / "demo-llama"
    if status := _build(model):
        return status  # it has said why
    results = []
    for words in RUNS:
        typed = words.format(model=model).split()
        click.echo(f"\n$ {shlex.join(['bash', 'run.sh', *typed, '--quick'])}", err=True)
        results.append(_run(_spec(typed, output_dir), command=shlex.join(["modeltest", *typed, "--quick"])))
    _print_summary(results)
    return 0


def _build(model: Path) -> int:
    """Return the exit status of the command that builds the model."""
    click.echo(f"$ bash run.sh demo-model llama {model}", err=True)
    command = python_command("modeltest.cli", "demo-model", "llama", str(model), "--force")
    status = subprocess.run(command, check=False).returncode
    return status if status >= 0 else 128 - status  # as a shell says that a signal ended it


def _spec(words: Sequence[str], output_dir: str) -> RunSpec:
    from modeltest.grammar.modes import all_modes
    from modeltest.grammar.parse import parse
    from modeltest.models.profiles import model_keys

    spec = parse(
        words,
        modes=all_modes(registry.declared_modes()),
        model_keys=model_keys(),
        engines=registry.engine_names(),
    )
    return replace(spec, output_dir=output_dir, quick=True)


def _run(spec: RunSpec, *, command: str) -> Path:
    from modeltest.run.planning.plan import plan
    from modeltest.run.supervisor.launch import launch
    from modeltest.run.supervisor.progress import progress_for

    outcome = launch(plan(spec), command=command, progress=progress_for(sys.stderr.isatty()))
    if outcome.interrupt is not None:
        raise outcome.interrupt
    return outcome.directory


def _print_summary(directories: list[Path]) -> None:
    from rich import box
    from rich.table import Table

    from modeltest.run.record.directory import read_result
    from modeltest.tables import headline, result_console

    console = result_console()
    table = Table(title="quickstart", title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("run", "result", "verdict"):
        table.add_column(name, overflow="fold")
    for directory in directories:
        result = read_result(directory)
        verdict = result.verdict.value if result.verdict else result.status
        table.add_row(result.spec.mode, headline(result).replace("; ", "\n"), verdict)
    console.print(table)
    for result in map(read_result, directories):
        if result.verdict is not Verdict.VALID:
            _print_reasons(console, result)
    for directory in directories:
        console.print(str(directory), soft_wrap=True)
        for path in sorted(directory.iterdir()):
            console.print(f"  {path.name}")
    if any((directory / PAGE).is_file() for directory in directories):
        console.print(f"{PAGE} is the page of a run: open it in a browser")


def _print_reasons(console: Console, result: RunResult) -> None:
    """Print why the numbers of a run may not be used; on a busy machine that is what to expect of times."""
    found = [*result.reasons, *result.warnings] or [result.error or result.status]
    console.print(f"{result.spec.mode}: {found[0]}", soft_wrap=True)
    if more := len(found) - 1:
        console.print(f"  and {more} more, which its summary.md has")
