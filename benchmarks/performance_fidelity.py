"""ModelTest's `performance` beside a bare loop and optimum-benchmark: do the same times come out?

python benchmarks/performance_fidelity.py --help
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from fidelity.markdown import document
from fidelity.rounds import Bench, Job
from fidelity.summary import GOAL_ROUNDS, Round, summarize
from lm_eval_comparison import machine
from lm_eval_comparison.processes import CommandFailed
from lm_eval_comparison.shapes import SHAPES

from modeltest.api.files import write_json, write_text

WORK_DIR = Path("~/.cache/modeltest/benchmarks")

_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)
_Measured = tuple[Job, tuple[Round, ...]]


@click.command()
@click.option(
    "--model", "models", type=click.Choice(tuple(SHAPES)), multiple=True, help="Default: 15M and 135M."
)
@click.option("--input-tokens", type=click.IntRange(min=1), default=128, show_default=True, metavar="N")
@click.option("--output-tokens", type=click.IntRange(min=2), default=64, show_default=True, metavar="N")
@click.option("--batch-size", type=click.IntRange(min=1), default=1, show_default=True, metavar="N")
@click.option("--rounds", type=click.IntRange(min=1), default=7, show_default=True, metavar="N")
@click.option("--trials", type=click.IntRange(min=3), default=7, show_default=True, metavar="N")
@click.option("--skip-optimum", is_flag=True, help="Leave optimum-benchmark out; nothing is installed then.")
@click.option("--quick", is_flag=True, help="One round of three trials: a look, not a measurement.")
@click.option(
    "--work-dir",
    type=_FOLDER,
    default=WORK_DIR,
    show_default=True,
    help="Where models and optimum-benchmark are kept and every run leaves its files.",
)
@click.option("--json", "json_file", type=_FILE, metavar="FILE", help="Write every figure of every round.")
@click.option("--markdown", "markdown_file", type=_FILE, metavar="FILE", help="Write the table.")
def main(models: tuple[str, ...], **options: Any) -> None:
    """Compare ModelTest's times with those of a bare loop and of optimum-benchmark 0.6.0.

    Each runs in a process of its own, in fp32 on the cpu, one after the other, for some rounds; which of
    ModelTest and the bare loop goes first alternates. The models have random weights and are made on the
    first run; optimum-benchmark needs transformers 4 and gets an environment of its own, once.

    \b
    Needs: a machine with nothing else to do, and a package index for optimum-benchmark.
    Time:  on 2 cores about 15 minutes; 1 minute with --quick --model 15M --skip-optimum.

    \b
    Examples:
      python benchmarks/performance_fidelity.py --json figures.json --markdown table.md
      python benchmarks/performance_fidelity.py --model 135M --input-tokens 512 --skip-optimum
      python benchmarks/performance_fidelity.py --quick --model 15M --skip-optimum

    Ends with 1 when TPOT or TTFT differ from the bare loop by more than 2 %, or timing costs more than 1 %;
    goals hold for 5 rounds or more.
    """
    jobs = [_job(model, options) for model in models or ("15M", "135M")]
    bench = Bench(
        work_dir=options["work_dir"].expanduser().absolute(),
        with_optimum=not options["skip_optimum"],
        quick=options["quick"],
        say=_say,
    )
    measured: list[_Measured] = []
    try:
        for job in jobs:
            measured.append((job, bench.measure(job)))
            # After each model: what took long must not hang on the last one.
            _write(measured, options["json_file"], options["markdown_file"])
    except CommandFailed as problem:
        hint = "" if options["skip_optimum"] else "\n(--skip-optimum leaves optimum-benchmark out)"
        raise click.ClickException(f"{problem}{hint}") from problem
    click.echo(_document(measured))
    sys.exit(1 if any(summarize(rounds).missed for _, rounds in measured) else 0)


def _job(model: str, options: dict[str, Any]) -> Job:
    rounds, trials = (1, 3) if options["quick"] else (options["rounds"], options["trials"])
    if not options["quick"] and rounds < GOAL_ROUNDS:
        _say(f"{rounds} rounds are too few for a verdict; {GOAL_ROUNDS} are needed")
    shape = (options["input_tokens"], options["output_tokens"], options["batch_size"])
    return Job(model, *shape, rounds=rounds, trials=trials)


def _write(measured: Sequence[_Measured], json_file: Path | None, markdown_file: Path | None) -> None:
    if markdown_file:
        write_text(markdown_file, _document(measured))
    if json_file:
        jobs = [
            {
                "job": asdict(job),
                "summary": asdict(summarize(rounds)),
                "rounds": [asdict(each) for each in rounds],
            }
            for job, rounds in measured
        ]
        write_json(json_file, {"machine": machine.describe(), "command": _command(), "jobs": jobs})


def _document(measured: Sequence[_Measured]) -> str:
    results = [(job.model, job.shape, summarize(rounds)) for job, rounds in measured]
    return document(results, machine=machine.describe(), command=_command())


def _command() -> str:
    return shlex.join(["python", *sys.argv])


def _say(line: str) -> None:
    click.echo(line, err=True)


if __name__ == "__main__":
    main()
