"""How long a dashboard takes to learn of one more run: a site over thousands of runs, brought up to date.

python benchmarks/dashboard_growth.py --help
"""

from __future__ import annotations

import resource
import subprocess
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import click
from synthetic.lines import LINES
from synthetic.runs import Plan, write_run, write_runs

from modeltest.start import python_command

MMLU_QUESTIONS = 14_042
_FOLDER = click.Path(file_okay=False, path_type=Path)


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of the clock, and of a processor: on a busy machine only these say what the work takes."""

    wall_s: float
    processor_s: float

    def __str__(self) -> str:
        return f"{self.wall_s:.2f} s, {self.processor_s:.2f} s of a processor"


@click.command()
@click.option("--runs", "count", type=click.IntRange(min=1), default=2000, show_default=True, metavar="N")
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True, metavar="N")
@click.option(
    "--questions", type=click.IntRange(min=60), default=120, show_default=True, help="Of each accuracy run."
)
@click.option(
    "--most-questions",
    type=click.IntRange(min=60),
    default=MMLU_QUESTIONS,
    show_default=True,
    help="Of the largest run.",
)
@click.option("--work-dir", type=_FOLDER, help="Where runs and site are left, and found again.")
def main(count: int, rounds: int, questions: int, most_questions: int, work_dir: Path | None) -> None:
    """Build a site over N synthetic runs, then add one run at a time, each as a command of its own.

    \b
    Needs: some 300 KB of disk per run.
    Time:  for 2000 runs about ten minutes on 2 cores, nearly all of it to write the runs; with --work-dir
           they are written once.
    """
    with tempfile.TemporaryDirectory() as scratch:
        place = work_dir or Path(scratch)
        runs, site = place / "runs", place / "site"
        if not runs.exists():
            write_runs(runs, count, questions=questions)
        known = len([*runs.iterdir()])
        click.echo(f"{known} runs; first build: {timed(runs, site)}")
        click.echo(f"medians of {rounds}:")
        click.echo(f"nothing new: {typical(timed(runs, site) for _ in range(rounds))}")
        night = known // len(LINES) + 1
        by_task = {line.mode: line for line in LINES}
        for mode, line in by_task.items():
            times = []
            for number in range(rounds):
                write_run(runs, Plan(line, night + number, 40), questions=questions)
                times.append(timed(runs, site))
            click.echo(f"one more run of {mode}: {typical(times)}")
        mmlu = replace(by_task["full_MMLU"], model="all-questions")
        times = []
        for number in range(rounds):
            write_run(runs, Plan(mmlu, night + number, 60), questions=most_questions)
            times.append(timed(runs, site))
        click.echo(f"one more run of {most_questions} questions: {typical(times)}")
        for name in ("index.html", "runs.html", "index.sqlite"):
            click.echo(f"{name}: {(site / name).stat().st_size / 1e6:.2f} MB")


def timed(runs: Path, site: Path) -> Cost:
    """Bring `site` up to date as a user does, and return what that took."""
    command = python_command("modeltest.cli", "dashboard", str(runs), "--out", str(site))
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor_s = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Cost(time.perf_counter() - began, processor_s)


def typical(costs: Iterable[Cost]) -> str:
    """Say the medians of several."""
    listed = list(costs)
    return str(Cost(median(each.wall_s for each in listed), median(each.processor_s for each in listed)))


if __name__ == "__main__":
    main()
