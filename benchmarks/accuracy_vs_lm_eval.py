"""ModelTest and lm-evaluation-harness side by side: time, memory, answers, and the floor under both.

python benchmarks/accuracy_vs_lm_eval.py --help
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from lm_eval_comparison import machine
from lm_eval_comparison.markdown import document
from lm_eval_comparison.processes import CommandFailed
from lm_eval_comparison.rounds import Bench, Measured
from lm_eval_comparison.shapes import SHAPES
from lm_eval_comparison.summary import summarize
from lm_eval_comparison.works import WORKS, choose_jobs

from modeltest.api import ModelTestError
from modeltest.api.files import write_json, write_text

LM_EVAL_VERSION = "0.4.13"
DATA_DIR = Path(__file__).resolve().parents[2] / "shared" / "data"
WORK_DIR = Path("~/.cache/modeltest/benchmarks")

_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option("--work", "works", type=click.Choice(tuple(WORKS)), multiple=True, help="Default: every one.")
@click.option(
    "--model", "models", type=click.Choice(tuple(SHAPES)), multiple=True, help="Default: 15M and 135M."
)
@click.option("--rounds", type=click.IntRange(min=1), metavar="N", help="Default: 3, for 135M 2.")
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Ask at most N questions of a subject."
)
@click.option("--quick", is_flag=True, help="One round of 5 questions a subject: a look, not a measurement.")
@click.option("--batch-size", type=click.IntRange(min=1), default=8, show_default=True, metavar="N")
@click.option(
    "--data-dir",
    type=_FOLDER,
    envvar="MODELTEST_DATA_DIR",
    default=DATA_DIR,
    help="Folder with boolq/, ceval/ and mmlu/ (also MODELTEST_DATA_DIR). Default: ../shared/data.",
)
@click.option(
    "--work-dir",
    type=_FOLDER,
    default=WORK_DIR,
    show_default=True,
    help="Where models are kept and every run leaves its files.",
)
@click.option("--json", "json_file", type=_FILE, metavar="FILE", help="Write every figure of every round.")
@click.option("--markdown", "markdown_file", type=_FILE, metavar="FILE", help="Write the tables.")
def main(works: tuple[str, ...], models: tuple[str, ...], **options: Any) -> None:
    """Compare ModelTest with lm-evaluation-harness on the same questions and models.

    Both run as a user runs them, in fp32 on the cpu, each in its own process, one after the other, for some
    rounds. Then plain forward calls over exactly the tokens that have to be computed give the floor. The
    models have random weights and are made on the first run; lm-eval's prompts are its own.

    \b
    Needs: pip install lm-eval==0.4.13, the real datasets (`modeltest data fetch`), and a machine with
           nothing else to do: beside other work the threads of both wait for each other.
    Time:  on 2 cores about 40 minutes for everything, 2 minutes with --quick --model 15M.

    \b
    Examples:
      python benchmarks/accuracy_vs_lm_eval.py --json figures.json --markdown tables.md
      python benchmarks/accuracy_vs_lm_eval.py --work mmlu --model 135M --rounds 1
      python benchmarks/accuracy_vs_lm_eval.py --quick --model 15M

    Ends with 1 when answers differ or a goal is missed; goals hold for full question counts only.
    """
    _require_lm_eval()
    jobs = choose_jobs(
        works, models, limit=options["limit"], rounds=options["rounds"], quick=options["quick"]
    )
    bench = Bench(
        work_dir=options["work_dir"].expanduser().absolute(),
        data_dir=str(options["data_dir"].absolute()),
        batch_size=options["batch_size"],
        say=_say,
    )
    measurements: list[Measured] = []
    try:
        for job in jobs:
            measurements.append(bench.measure(job))
            # After each job: an hour of figures must not hang on the last one.
            _write(measurements, options["json_file"], options["markdown_file"])
    except (ModelTestError, CommandFailed, ValueError, FileNotFoundError) as problem:
        raise click.ClickException(str(problem)) from problem
    click.echo(_tables(measurements))
    sys.exit(1 if any(summarize(measured).missed for measured in measurements) else 0)


def _write(measurements: Sequence[Measured], json_file: Path | None, markdown_file: Path | None) -> None:
    if markdown_file:
        write_text(markdown_file, _tables(measurements))
    if json_file:
        jobs = [
            {
                "job": asdict(measured.job),
                "summary": asdict(summarize(measured)),
                "rounds": [asdict(each) for each in measured.rounds],
            }
            for measured in measurements
        ]
        write_json(json_file, {"machine": machine.describe(), "command": _command(), "jobs": jobs})


def _tables(measurements: Sequence[Measured]) -> str:
    results = [(measured.job, summarize(measured)) for measured in measurements]
    return document(results, machine=machine.describe(), command=_command())


def _command() -> str:
    return shlex.join(["python", *sys.argv])


def _require_lm_eval() -> None:
    found = machine.installed("lm_eval")
    if found != LM_EVAL_VERSION:
        raise click.ClickException(
            f"lm-eval {LM_EVAL_VERSION} is needed, {f'{found} is' if found else 'it is not'} installed: "
            f"pip install lm-eval=={LM_EVAL_VERSION}"
        )


def _say(line: str) -> None:
    click.echo(line, err=True)


if __name__ == "__main__":
    main()
