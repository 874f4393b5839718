"""The max-batch search beside the predecessor's way: wall time and answers, on the same engine and question.

python benchmarks/maxbs_cost.py --help
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from lm_eval_comparison import machine
from lm_eval_comparison.models import prepare_checkpoint
from lm_eval_comparison.processes import CommandFailed
from lm_eval_comparison.shapes import SHAPES
from maxbs_comparison.rounds import Bench, Question, Round
from maxbs_comparison.summary import document, summarize

from modeltest.api import ModelTestError
from modeltest.machine.files import write_json, write_text

DATA_DIR = Path(__file__).resolve().parents[2] / "shared" / "data"
WORK_DIR = Path("~/.cache/modeltest/benchmarks")

_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option("--model", type=click.Choice(tuple(SHAPES)), default="15M", show_default=True)
@click.option("--case", type=(int, int), default=(64, 64), show_default=True, metavar="IN OUT")
@click.option("--range", "bounds", type=(int, int), default=(1, 2048), show_default=True, metavar="LO HI")
@click.option("--limit-ms", type=click.FloatRange(min=0, min_open=True), default=25.0, show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True, metavar="N")
@click.option("--quick", is_flag=True, help="One round over at most 64 batch sizes: a look, no measurement.")
@click.option(
    "--data-dir",
    type=_FOLDER,
    envvar="MODELTEST_DATA_DIR",
    default=DATA_DIR,
    help="Datasets on whose text the model's tokenizer is trained. Default: ../shared/data.",
)
@click.option("--work-dir", type=_FOLDER, default=WORK_DIR, show_default=True, help="Models and run files.")
@click.option("--json", "json_file", type=_FILE, metavar="FILE", help="Write every figure of every round.")
@click.option("--markdown", "markdown_file", type=_FILE, metavar="FILE", help="Write the table.")
def main(model: str, **options: Any) -> None:
    """Compare the search of `modeltest maxbs` with bisection that reloads the model for each probe.

    The predecessor bisects the range; each probe is a process that loads the model and measures one batch
    once. ModelTest runs as a user runs it, in full and with `--quick`, which repeats as little as fits. All
    are timed from the first process to the last, then a referee measures the answers.

    \b
    Needs: the real datasets (`modeltest data fetch`) to make the model on the first run, and a machine with
           nothing else to do.
    Time:  on 2 cores some minutes a round; less than a minute with --quick.

    \b
    Examples:
      python benchmarks/maxbs_cost.py --json figures.json --markdown table.md
      python benchmarks/maxbs_cost.py --quick

    Ends with 1 when the search in full misses a goal: 5 times less wall time, the same or a better answer. A
    quick look has no goals.
    """
    quick = options["quick"]
    lowest, highest = options["bounds"]
    question = Question(
        *options["case"], lowest, min(highest, lowest + 63) if quick else highest, options["limit_ms"]
    )
    work_dir = options["work_dir"].expanduser().absolute()
    rounds: list[Round] = []
    try:
        directory = prepare_checkpoint(
            model, work_dir=work_dir, data_dir=str(options["data_dir"].absolute()), say=_say
        )
        bench = Bench(directory, question, work_dir, _say)
        for number in range(1 if quick else options["rounds"]):
            _say(f"round {number + 1}")
            rounds.append(bench.measure(number))
            # After each round: an hour of figures must not hang on the last one.
            _write(question, rounds, model, options["json_file"], options["markdown_file"])
    except (ModelTestError, CommandFailed, FileNotFoundError) as problem:
        raise click.ClickException(str(problem)) from problem
    click.echo(_document(question, rounds, model))
    sys.exit(1 if summarize(question, rounds).missed and not quick else 0)


def _write(
    question: Question,
    rounds: Sequence[Round],
    model: str,
    json_file: Path | None,
    markdown_file: Path | None,
) -> None:
    if markdown_file:
        write_text(markdown_file, _document(question, rounds, model))
    if json_file:
        content = {
            "machine": machine.describe(),
            "command": machine.command_line(),
            "model": model,
            "question": asdict(question),
            "summary": asdict(summarize(question, rounds)),
            "summary_quick": asdict(summarize(question, rounds, "quick")),
            "rounds": [asdict(each) for each in rounds],
        }
        write_json(json_file, content)


def _document(question: Question, rounds: Sequence[Round], model: str) -> str:
    return document(question, rounds, model=model, machine=machine.describe(), command=machine.command_line())


def _say(line: str) -> None:
    click.echo(line, err=True)


if __name__ == "__main__":
    main()
